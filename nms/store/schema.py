"""Bringing a database to this program's revision, or refusing one that is ahead of it."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

import nms
from nms.store.failure import newer
from nms.store.ownership import MIGRATION
from nms.store.postgres import in_turn

MIGRATIONS = Path(nms.__file__).parent / "migrations"


def upgrade(engine: Engine, where: str) -> None:
    """Apply the missing migrations in one transaction. Raises StoreError for a revision this program does not know."""
    scripts = ScriptDirectory(str(MIGRATIONS))
    known = {script.revision for script in scripts.walk_revisions()}
    with engine.begin() as connection:
        in_turn(connection, MIGRATION)
        current = MigrationContext.configure(connection).get_current_heads()
        for revision in current:
            if revision not in known:
                raise newer(where, revision)
        if set(current) == set(scripts.get_heads()):
            return
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        command.upgrade(config, "head")
