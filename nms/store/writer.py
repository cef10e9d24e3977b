"""The one thread that writes. Writes that wait together are committed together; each fails alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from nms.store import postgres
from nms.store.failure import StoreError, closed, doubtful, is_failure, unwritten
from nms.store.postgres import Fate

T = TypeVar("T")

BATCH = 256
"""Most writes in one transaction, so that the first waiter never waits for an endless batch."""
RETRY_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[Session], Any]
    future: Future[Any]


@dataclass(frozen=True, slots=True)
class _Done:
    value: Any


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


@dataclass(frozen=True, slots=True)
class Pulse:
    """How writing goes: since when (monotonic s) the present write is under way, the code of the last one's failure."""

    busy_since: float | None = None
    failure: str = ""


class Writer:
    """Runs functions on one connection, in order; a future resolves only after COMMIT has returned."""

    def __init__(self, engine: Engine, where: str, patience: float) -> None:
        """``patience``: seconds that writes wait for a database server, counted from when it went away."""
        self._engine = engine
        self._where = where
        self._patience = patience
        self._away_since: float | None = None
        self._closing = threading.Event()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self.pulse = Pulse()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Session], T]) -> Future[T]:
        """Queue ``work``; it runs inside a savepoint and must neither commit nor keep the session."""
        future: Future[T] = Future()
        with self._gate:
            if self._closed:
                raise closed(self._where)
            self._jobs.put(_Job(work, future))
        return future

    def owns_current_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """Refuse new work, finish what is queued, end the thread."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._closing.set()
                self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        going = True
        while going:
            batch, going = self._take()
            batch = [job for job in batch if job.future.set_running_or_notify_cancel()]
            if batch:
                self._settle(batch)

    def _take(self) -> tuple[list[_Job], bool]:
        """What waits now (at least one job), and whether more may come."""
        batch: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            batch.append(job)
            if len(batch) == BATCH:
                return batch, True
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return batch, True
        return batch, False

    def _settle(self, batch: list[_Job]) -> None:
        self.pulse = Pulse(monotonic(), self.pulse.failure)
        try:
            outcomes = self._commit(batch)
        except BaseException as error:  # the thread outlives whatever a driver or a caller raises
            self.pulse = Pulse(None, self._refused(error).code)
            for job in batch:
                job.future.set_exception(self._refused(error))
            return
        self.pulse = Pulse()
        for job, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, _Done):
                job.future.set_result(outcome.value)
            else:
                job.future.set_exception(self._explained(outcome.error))

    def _commit(self, batch: list[_Job]) -> list[_Done | _Failed]:
        with self._connected() as connection:
            transaction = connection.begin()
            try:
                number = postgres.transaction_id(connection) if connection.dialect.name == "postgresql" else None
                outcomes = [_attempt(connection, job.work) for job in batch]
            except BaseException:
                connection.invalidate()
                raise
            try:
                transaction.commit()
            except BaseException as error:
                connection.invalidate()
                if number is None or not self._kept(number, error):
                    raise
            return outcomes

    def _connected(self) -> Connection:
        """A connection. One wait for a server that went away, not one for every batch that finds it so."""
        while True:
            try:
                connection = self._engine.connect()
            except OperationalError:
                self._away_since = self._away_since or monotonic()
                if monotonic() - self._away_since >= self._patience or self._closing.wait(RETRY_SECONDS):
                    raise
            else:
                self._away_since = None
                return connection

    def _kept(self, number: str, error: BaseException) -> bool:
        """Whether the server kept a transaction whose commit it did not answer. Raises StoreError if it cannot say."""
        until = monotonic() + self._patience
        while True:
            try:
                with self._engine.connect() as connection:
                    fate = postgres.fate(connection, number)
            except (SQLAlchemyError, StoreError):
                fate = Fate.UNKNOWN
            if fate in (Fate.KEPT, Fate.DROPPED):
                return fate is Fate.KEPT
            if monotonic() >= until or self._closing.wait(RETRY_SECONDS):
                raise doubtful(self._where, error) from error

    def _explained(self, error: BaseException) -> BaseException:
        return self._refused(error) if is_failure(error) else error

    def _refused(self, error: BaseException) -> StoreError:
        """The error as the store's own refusal."""
        if isinstance(error, StoreError):
            return error
        failure = unwritten(self._where, error)
        failure.__cause__ = error
        return failure


def _attempt(connection: Connection, work: Callable[[Session], Any]) -> _Done | _Failed:
    """The outcome of one function in its own savepoint. Raises what ended the whole transaction, if it did end it.

    SQLite rolls everything back by itself on a full disk or an I/O error: then no function of the batch may be
    answered with success, and nothing more may run outside a transaction.
    """
    outcome: _Done | _Failed
    session = Session(connection, join_transaction_mode="create_savepoint", expire_on_commit=False)
    try:
        value = work(session)
        session.commit()
        outcome = _Done(value)
    except BaseException as error:
        outcome = _Failed(error)
    lost = _close(session)
    if lost is None and not _transaction_lives(connection):
        lost = RuntimeError("the transaction ended before its commit")
    if lost is not None:
        raise outcome.error if isinstance(outcome, _Failed) else lost
    return outcome


def _close(session: Session) -> BaseException | None:
    """Roll back what is left of the session's savepoint; the error, if there is no such savepoint any more."""
    try:
        session.close()
    except SQLAlchemyError as error:
        return error
    return None


def _transaction_lives(connection: Connection) -> bool:
    if connection.invalidated:
        return False
    if connection.dialect.name == "postgresql":
        return postgres.intact(connection)
    driver: Any = connection.connection.driver_connection
    return bool(driver.in_transaction)
