"""The first tables: device state, events, bulletins and their airings, receipts, audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.BigInteger()
"""Unix milliseconds."""


def upgrade() -> None:
    _devices_and_events()
    _signing_and_audit()
    _bulletins()
    _airings()
    _now_and_receipts()


def _devices_and_events() -> None:
    op.create_table(
        "device_state",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("updated", TIME, nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("misses", sa.Integer(), nullable=False),
        sa.Column("cell", sa.String(), nullable=True),
        sa.Column("last_seen", TIME, nullable=True),
        sa.Column("reading", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("device", name="pk_device_state"),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("from_", sa.String(), nullable=False),
        sa.Column("to", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
    )
    op.create_index("ix_event_at", "event", ["at"])
    op.create_index("ix_event_subject_at", "event", ["subject", "at"])


def _signing_and_audit() -> None:
    op.create_table(
        "sequence",
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("kid", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "kid", name="pk_sequence"),
    )
    op.create_table(
        "audit",
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("uid", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("previous", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("n", name="pk_audit"),
    )
    op.create_table(
        "content",
        sa.Column("sha", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("codec", sa.String(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("lufs", sa.Double(), nullable=True),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("sha", name="pk_content"),
    )


def _bulletins() -> None:
    op.create_table(
        "bulletin",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("cls", sa.String(), nullable=False),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("audience", sa.String(), nullable=False),
        sa.Column("valid_from", TIME, nullable=False),
        sa.Column("valid_until", TIME, nullable=False),
        sa.Column("play_now", sa.Boolean(), nullable=False),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.Column("signed", sa.LargeBinary(), nullable=True),
        sa.Column("requested_at", TIME, nullable=True),
        sa.CheckConstraint(
            "state IN ('draft', 'submitted', 'approved', 'scheduled', 'airing',"
            " 'aired', 'failed', 'cancelled', 'returned')",
            name=op.f("ck_bulletin_state"),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_bulletin"),
    )
    op.create_index("ix_bulletin_state", "bulletin", ["state"])
    op.create_table(
        "approval",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("bulletin", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("on_behalf", sa.String(), nullable=True),
        sa.Column("paper", sa.String(), nullable=True),
        sa.CheckConstraint("decision IN ('approved', 'returned')", name=op.f("ck_approval_decision")),
        sa.ForeignKeyConstraint(["bulletin"], ["bulletin.id"], name="fk_approval_bulletin"),
        sa.PrimaryKeyConstraint("id", name="pk_approval"),
    )
    op.create_index("ix_approval_bulletin", "approval", ["bulletin"])


def _airings() -> None:
    op.create_table(
        "airing",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("bulletin", sa.String(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column("start", TIME, nullable=False),
        sa.Column("duration", sa.Double(), nullable=False),
        sa.Column("latest", TIME, nullable=False),
        sa.Column("cancelled", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["bulletin"], ["bulletin.id"], name="fk_airing_bulletin"),
        sa.PrimaryKeyConstraint("id", name="pk_airing"),
        sa.UniqueConstraint("bulletin", "unit", "repeat", name="uq_airing_bulletin_unit_repeat"),
    )
    op.create_index("ix_airing_unit_start", "airing", ["unit", "start"])


def _now_and_receipts() -> None:
    op.create_table(
        "now_entry",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("from_", TIME, nullable=False),
        sa.Column("until", TIME, nullable=False),
        sa.Column("entry", sa.JSON(), nullable=False),
        sa.Column("bulletin", sa.String(), nullable=True),
        sa.Column("ended", TIME, nullable=True),
        sa.CheckConstraint("kind IN ('emergency', 'stop', 'live', 'drill')", name=op.f("ck_now_entry_kind")),
        sa.ForeignKeyConstraint(["bulletin"], ["bulletin.id"], name="fk_now_entry_bulletin"),
        sa.PrimaryKeyConstraint("id", name="pk_now_entry"),
    )
    op.create_index("ix_now_entry_target_issuer", "now_entry", ["target", "issuer"])
    op.create_table(
        "receipt",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("airing", sa.String(), nullable=False),
        sa.Column("bulletin", sa.String(), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("received", TIME, nullable=False),
        sa.Column("started", TIME, nullable=True),
        sa.Column("ended", TIME, nullable=True),
        sa.Column("offset_ms", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("lufs", sa.Double(), nullable=True),
        sa.Column("clock_error_ms", sa.Double(), nullable=True),
        sa.Column("content", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_receipt"),
    )
    op.create_index("ix_receipt_bulletin_device", "receipt", ["bulletin", "device"])
    op.create_index("ix_receipt_device_started", "receipt", ["device", "started"])
