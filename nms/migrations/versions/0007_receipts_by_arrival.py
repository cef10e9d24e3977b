"""Receipts are read by when they came: every few seconds the newest, out of all that are kept."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_receipt_received", "receipt", ["received"])
