"""Who polls which part of the fleet, and when it last did."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIME = sa.BigInteger()
"""Unix milliseconds."""


def upgrade() -> None:
    op.create_table(
        "shard",
        sa.Column("parts", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("part", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("swept", TIME, nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("missed", TIME, nullable=True),
        sa.Column("stats", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("parts", "part", name="pk_shard"),
    )
