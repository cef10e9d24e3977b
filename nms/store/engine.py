"""Opening the store: ownership, engines, migrations; then reads on a pool of threads and writes on one.

A SQLite file belongs to one process. Several may open a PostgreSQL database, each with its own claims.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session

from nms.store import postgres
from nms.store.failure import closed, is_failure, locked, unopened, unread, unusable
from nms.store.ownership import Claim
from nms.store.schema import upgrade
from nms.store.writer import Pulse, Writer

T = TypeVar("T")

READERS = 4
BUSY_SECONDS = 10.0
AWAY_SECONDS = 5.0
"""How long writes wait for a database server that went away, counted from when it did: a restart takes less."""


class Store:
    """The state of one hub. ``Store.open`` makes it; ``close`` finishes what is queued and lets go."""

    def __init__(self, where: str, write_engine: Engine, read_engine: Engine, lock: int | None) -> None:
        self._where = where
        self._write_engine = write_engine
        self._read_engine = read_engine
        self._lock = lock
        self._closed = False
        self._writer = Writer(write_engine, where, 0.0 if lock is not None else AWAY_SECONDS)
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")

    @classmethod
    def open(cls, location: str | Path, claims: Sequence[Claim] = ()) -> Store:
        """The store at a path or database URL, made if absent and migrated to this program's revision.

        ``claims`` are what this process alone does on a shared database: its writer has them whenever it writes.
        Raises StoreError: in use by another process, made by a newer program, not to be opened.
        """
        url = _url(location)
        where = url.database or "" if _is_sqlite(url) else url.render_as_string(hide_password=True)
        lock = _own(Path(where)) if _is_sqlite(url) else None
        engines: list[Engine] = []
        try:
            engines = _engines(url, claims)
            upgrade(engines[0], where)
        except BaseException as error:
            _release(engines, lock)
            if isinstance(error, (SQLAlchemyError, ImportError, ValueError)):
                raise unopened(where, error) from error
            raise
        return cls(where, engines[0], engines[1], lock)

    @property
    def pulse(self) -> Pulse:
        """How writing goes at this moment."""
        return self._writer.pulse

    async def write(self, work: Callable[[Session], T]) -> T:
        """What ``work(session)`` returned, once it is committed; its exception, if it failed.

        ``work`` runs on the writer's thread in a savepoint of its own. Rows it returns stay readable. Raises
        StoreError when the database could not keep it.
        """
        return await asyncio.wrap_future(self._writer.submit(work))

    def write_sync(self, work: Callable[[Session], T]) -> T:
        """As ``write``, for threads other than an event loop's."""
        if self._writer.owns_current_thread():
            raise RuntimeError("a write inside a write would wait for itself")
        return self._writer.submit(work).result()

    async def read(self, work: Callable[[Session], T]) -> T:
        """What ``work(session)`` returned; it sees one consistent state and cannot change it."""
        if self._closed:
            raise closed(self._where)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.read_sync, work)

    def read_sync(self, work: Callable[[Session], T]) -> T:
        if self._closed:
            raise closed(self._where)
        try:
            with Session(self._read_engine) as session:
                return work(session)
        except SQLAlchemyError as error:
            if is_failure(error):
                raise unread(self._where, error) from error
            raise

    def close(self) -> None:
        """Finish queued writes, then let go of the database. Twice is once."""
        if self._closed:
            return
        self._writer.close()
        self._closed = True
        self._pool.shutdown()
        _release([self._read_engine, self._write_engine], self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _url(location: str | Path) -> URL:
    text = str(location)
    if isinstance(location, Path) or "://" not in text:
        return URL.create("sqlite", database=str(Path(text).absolute()))
    try:
        url = make_url(text)
        url.get_dialect()
    except (ArgumentError, NoSuchModuleError) as error:
        raise unopened("store", error) from error
    if not _is_sqlite(url):
        return url
    if url.database in (None, "", ":memory:"):
        raise unusable(text)
    return url.set(database=str(Path(str(url.database)).absolute()))


def shared(location: str | Path) -> bool:
    """Whether several processes may open the store at this path or URL. Raises StoreError for a bad URL."""
    return not _is_sqlite(_url(location))


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _own(path: Path) -> int:
    """An exclusive lock on ``<path>.lock``, held until the descriptor is closed or the process ends in any way."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise unopened(str(path), error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        os.close(lock)
        raise locked(str(path), f"pid {owner or '?'}") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _release(engines: list[Engine], lock: int | None) -> None:
    for engine in engines:
        engine.dispose()
    if lock is not None:
        os.close(lock)


def _engines(url: URL, claims: Sequence[Claim]) -> list[Engine]:
    """The writer's, with one connection, and the readers'."""
    if postgres.is_postgresql(url):
        me = postgres.myself()
        return [postgres.engine(url, me, claims, 1), postgres.engine(url, me, (), READERS, read_only=True)]
    return [_engine(url, "BEGIN IMMEDIATE", 1), _engine(url, "BEGIN", READERS, read_only=True)]


def _engine(url: URL, begin: str, size: int, *, read_only: bool = False) -> Engine:
    engine = create_engine(url, pool_size=size, max_overflow=0 if size == 1 else size)
    if _is_sqlite(url):
        _prepare_sqlite(engine, begin, read_only)
    return engine


def _prepare_sqlite(engine: Engine, begin: str, read_only: bool) -> None:
    """WAL and FULL: a commit that has returned survives a power cut. Transactions begin where SQLAlchemy says so."""

    def on_connect(driver: Any, _record: Any) -> None:
        driver.isolation_level = None  # the driver's own implicit BEGIN would swallow savepoints
        for pragma in (
            f"busy_timeout = {int(BUSY_SECONDS * 1000)}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            f"query_only = {int(read_only)}",
        ):
            driver.execute(f"PRAGMA {pragma}").close()

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
