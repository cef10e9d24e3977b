"""Facts, rollouts, backups, devices that wait to be bound, records made on the spot."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TIME = sa.BigInteger()
"""Unix milliseconds."""


def upgrade() -> None:
    op.create_table(
        "facts",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("at", TIME, nullable=True),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("failed", TIME, nullable=True),
        sa.Column("failure", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("device", name="pk_facts"),
    )
    _deployments()
    op.create_table(
        "backup",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_backup"),
    )
    op.create_index("ix_backup_device_at", "backup", ["device", "at"])
    op.create_table(
        "pending",
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("serial", sa.String(), nullable=False),
        sa.Column("first", TIME, nullable=False),
        sa.Column("last", TIME, nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_pending"),
    )
    op.create_table(
        "site_record",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_site_record"),
    )
    op.create_index("ix_site_record_subject_at", "site_record", ["subject", "at"])


def _deployments() -> None:
    op.create_table(
        "deployment",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("started", TIME, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("ended", TIME, nullable=True),
        sa.Column("reason", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deployment"),
    )
    op.create_index("ix_deployment_started", "deployment", ["started"])
    op.create_table(
        "deployment_device",
        sa.Column("deployment", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["deployment"], ["deployment.id"], name="fk_deployment_device_deployment"),
        sa.PrimaryKeyConstraint("deployment", "device", name="pk_deployment_device"),
    )
    op.create_index("ix_deployment_device_device", "deployment_device", ["device"])
