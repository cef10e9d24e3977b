"""Versions, series and offers of bulletins; approvals on paper; what bulletins are searched by."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

from inventory.names import fold

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TIME = sa.BigInteger()
"""Unix milliseconds."""


def upgrade() -> None:
    op.add_column("bulletin", sa.Column("every", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("bulletin", sa.Column("by_session", sa.Boolean(), nullable=False, server_default=sa.false()))
    for name in ("search", "on_behalf", "first", "replaces"):
        op.add_column("bulletin", sa.Column(name, sa.String(), nullable=False, server_default=""))
    op.create_index("ix_bulletin_first", "bulletin", ["first"])
    op.create_index("ix_bulletin_created", "bulletin", ["created"])
    op.add_column("approval", sa.Column("signer", sa.String(), nullable=False, server_default=""))
    op.add_column("approval", sa.Column("signed_at", TIME, nullable=True))
    op.create_table(
        "offer",
        sa.Column("bulletin", sa.String(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("picked", TIME, nullable=True),
        sa.Column("picked_by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["bulletin"], ["bulletin.id"], name="fk_offer_bulletin"),
        sa.PrimaryKeyConstraint("bulletin", "unit", name="pk_offer"),
    )
    op.create_index("ix_offer_unit", "offer", ["unit"])
    _known_bulletins()


def _known_bulletins() -> None:
    """Every bulletin so far is its own first version, and is found by what it says."""
    bulletin = sa.table(
        "bulletin",
        *(sa.column(name, sa.String()) for name in ("id", "title", "author", "first", "search")),
        sa.column("body", sa.LargeBinary()),
    )
    connection = op.get_bind()
    rows = connection.execute(sa.select(bulletin.c.id, bulletin.c.title, bulletin.c.author, bulletin.c.body)).all()
    for name, title, author, body in rows:
        said = json.loads(body)
        words = (title, author, *(said.get(part, "") for part in ("text", "authority", "supplier", "field")))
        values = {"first": name, "search": fold(" ".join(words))}
        connection.execute(sa.update(bulletin).where(bulletin.c.id == name).values(values))
