"""Bringing a database to this program's revision, or refusing one that is ahead of it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

import nms
from nms.store.failure import newer
from nms.store.ownership import MIGRATION
from nms.store.postgres import in_turn

MIGRATIONS = Path(nms.__file__).parent / "migrations"


def upgrade(engine: Engine, where: str) -> None:
    """Apply the missing migrations in one transaction.

    Raises StoreError for a revision this program does not know, ValueError where a migration cannot be found.
    """
    known = sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
    with engine.begin() as connection:
        in_turn(connection, MIGRATION)
        current = _revisions(connection)
        for revision in current:
            if revision not in known:
                raise newer(where, revision)
        if current != known[-1:]:
            _migrate(connection)


def _revisions(connection: Connection) -> list[str]:
    """Those the database says it is at: one, or none where it is new."""
    if not inspect(connection).has_table("alembic_version"):
        return []
    return list(connection.scalars(text("SELECT version_num FROM alembic_version")))


def _migrate(connection: Connection) -> None:
    # a third of a second that a hub's start does without where nothing is to be migrated
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ValueError(str(error)) from error
