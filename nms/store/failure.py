"""How the store says no: one exception that carries a diagnostic a person can act on."""

from __future__ import annotations

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from inventory.diagnostics import Diagnostic, Place
from nms.i18n import N_

CALLERS_FAULT = (IntegrityError, DataError, ProgrammingError, NotSupportedError)


class StoreError(Exception):
    """The store cannot do what was asked. ``diagnostic`` says why and what to do.

    Nothing of that request is kept; only after STO011 (the link was lost during the commit) it may be.
    """

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(f"[{diagnostic.code}] {diagnostic.place}: {diagnostic.text()}")
        self.diagnostic = diagnostic

    @property
    def code(self) -> str:
        return self.diagnostic.code


def locked(where: str, owner: str) -> StoreError:
    message = N_("the store is in use by another process ({owner})")
    fix = N_("stop the other hub first, or give this one a state folder of its own")
    return StoreError(Diagnostic("STO001", Place(where), message, fix, {"owner": owner}))


def newer(where: str, revision: str) -> StoreError:
    message = N_("the store was made by a newer program (revision {revision})")
    fix = N_("start the newer program, or restore the backup made before the upgrade")
    return StoreError(Diagnostic("STO002", Place(where), message, fix, {"revision": revision}))


def unopened(where: str, error: BaseException) -> StoreError:
    message = N_("the store cannot be opened: {error}")
    fix = N_("check that the path exists, belongs to this user and is a Loa store")
    return StoreError(Diagnostic("STO003", Place(where), message, fix, {"error": brief(error)}))


def unwritten(where: str, error: BaseException) -> StoreError:
    message = N_("the store could not write: {error}")
    fix = N_("check free space and health of the disk, then repeat what was refused")
    if where.startswith("postgresql"):
        fix = N_("check that the database server runs and can be reached, then repeat what was refused")
    return StoreError(Diagnostic("STO004", Place(where), message, fix, {"error": brief(error)}))


def unread(where: str, error: BaseException) -> StoreError:
    message = N_("the store could not read: {error}")
    fix = N_("check the disk's health and the database's log")
    if where.startswith("postgresql"):
        fix = N_("check that the database server runs and can be reached")
    return StoreError(Diagnostic("STO005", Place(where), message, fix, {"error": brief(error)}))


def closed(where: str) -> StoreError:
    message = N_("the store is closed")
    fix = N_("the hub is stopping: repeat when it runs again")
    return StoreError(Diagnostic("STO006", Place(where), message, fix))


def unusable(where: str) -> StoreError:
    message = N_("the store must be a file or a database server, not memory")
    fix = N_("give a path, sqlite:///path or postgresql://host/database")
    return StoreError(Diagnostic("STO007", Place(where), message, fix))


def alone(where: str) -> StoreError:
    message = N_("this store is for one process, which then does everything")
    fix = N_("set store to a PostgreSQL database: postgresql://user@host/database")
    return StoreError(Diagnostic("STO010", Place(where), message, fix))


def doubtful(where: str, error: BaseException) -> StoreError:
    message = N_("the link to the database was lost while it committed, and whether it did is not known: {error}")
    fix = N_("look whether what was asked for is there before repeating it")
    return StoreError(Diagnostic("STO011", Place(where), message, fix, {"error": brief(error)}))


def is_failure(error: BaseException) -> bool:
    """Whether the database failed (disk, lock, link), as opposed to having been asked something wrong."""
    return isinstance(error, (DBAPIError, PoolTimeout)) and not isinstance(error, CALLERS_FAULT)


def brief(error: BaseException) -> str:
    """The driver's own sentence, without the statement and its parameters, which may hold people's data."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return (str(cause) or type(cause).__name__).splitlines()[0]
