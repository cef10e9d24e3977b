"""Alarms, repairs, maintenance; what health remembers of a device; SNMPv3 engines; bytes per SIM and month."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.BigInteger()
"""Unix milliseconds."""


def upgrade() -> None:
    op.add_column("device_state", sa.Column("memory", sa.JSON(), nullable=False, server_default="{}"))
    _alarms()
    _repairs_and_maintenance()
    _engines_and_sims()


def _alarms() -> None:
    op.create_table(
        "alarm",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("opened", TIME, nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("affected", sa.JSON(), nullable=False),
        sa.Column("acknowledged", TIME, nullable=True),
        sa.Column("acknowledged_by", sa.String(), nullable=False),
        sa.Column("comment", sa.String(), nullable=False),
        sa.Column("quiet_until", TIME, nullable=True),
        sa.Column("cleared", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_alarm"),
    )
    still_open = sa.text("cleared IS NULL")
    op.create_index(
        "uq_alarm_open",
        "alarm",
        ["subject", "kind"],
        unique=True,
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    op.create_index("ix_alarm_cleared", "alarm", ["cleared"])


def _repairs_and_maintenance() -> None:
    op.create_table(
        "repair",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("opened", TIME, nullable=False),
        sa.Column("opened_by", sa.String(), nullable=False),
        sa.Column("until", TIME, nullable=False),
        sa.Column("closed", TIME, nullable=True),
        sa.Column("closed_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_repair"),
    )
    op.create_index("ix_repair_device", "repair", ["device"])
    op.create_table(
        "maintenance",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("selection", sa.String(), nullable=False),
        sa.Column("devices", sa.JSON(), nullable=False),
        sa.Column("from_", TIME, nullable=False),
        sa.Column("until", TIME, nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("opened_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_maintenance"),
    )
    op.create_index("ix_maintenance_until", "maintenance", ["until"])


def _engines_and_sims() -> None:
    op.create_table(
        "snmp_engine",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("engine_id", sa.LargeBinary(), nullable=False),
        sa.Column("boots", sa.BigInteger(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("device", name="pk_snmp_engine"),
    )
    op.create_table(
        "sim_usage",
        sa.Column("sim", sa.String(), nullable=False),
        sa.Column("month", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("updated", TIME, nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("last_rx", sa.BigInteger(), nullable=True),
        sa.Column("last_tx", sa.BigInteger(), nullable=True),
        sa.Column("counted", TIME, nullable=True),
        sa.Column("without", sa.Boolean(), nullable=False),
        sa.Column("without_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("sim", "month", name="pk_sim_usage"),
    )
