"""A correction or all-clear is an order of its own kind."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NAME = "ck_now_entry_kind"
KINDS = "kind IN ('emergency', 'stop', 'live', 'drill', 'follow_up')"


def upgrade() -> None:
    with op.batch_alter_table("now_entry") as batch:
        batch.drop_constraint(op.f(NAME), type_="check")
        batch.create_check_constraint(op.f(NAME), KINDS)
