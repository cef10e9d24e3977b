"""What PostgreSQL needs that SQLite does not: sessions that hold claims, and the fate of a commit without an answer."""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, text

from nms.store.ownership import GATE, Claim, Holder, refusal

CONNECT_SECONDS: Final = 5
LOCK_SECONDS: Final = 10
"""How long a write waits for another process's rows; as long as SQLite waits for its file."""
FORMER_SECONDS: Final = 5
"""How long to wait for the end of this process's own former session."""

_SESSION: Final = {
    "synchronous_commit": "on",  # a commit that has returned survives a power cut
    "lock_timeout": f"{LOCK_SECONDS}s",
    "idle_in_transaction_session_timeout": "60s",  # a process that stands still holds nobody else up
    "tcp_keepalives_idle": "10",  # the locks of a machine that vanished are free again after 25 s
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_READING: Final = {"default_transaction_read_only": "on", "default_transaction_isolation": r"repeatable\ read"}

_HOLDERS: Final = """
SELECT l.classid::bigint, l.objid::bigint, l.pid, coalesce(a.application_name, '')
FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted AND l.pid <> pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class Fate(StrEnum):
    """What became of a transaction whose commit was sent and not answered."""

    KEPT = "committed"
    DROPPED = "aborted"
    OPEN = "in progress"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Me:
    """This process as other processes see it in the database's list of sessions; the token tells its lives apart."""

    name: str
    token: str

    @property
    def application(self) -> str:
        return f"loa {self.name} {self.token}"


def myself() -> Me:
    """Host and process number; PostgreSQL keeps 63 bytes of a session's name."""
    return Me(f"{platform.node()[:30]} pid {os.getpid()}", secrets.token_hex(4))


def is_postgresql(url: URL) -> bool:
    return url.get_backend_name() == "postgresql"


def driven(url: URL) -> URL:
    """The URL with our driver where it names none."""
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def engine(url: URL, me: Me, claims: Sequence[Claim], size: int, *, read_only: bool = False) -> Engine:
    """Sessions that are tried before each use. Each has taken the ``claims``; where it cannot, StoreError is raised."""
    options = _SESSION | (_READING if read_only else {})
    made = create_engine(
        driven(url),
        pool_size=size,
        max_overflow=0 if size == 1 else size,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "tcp_user_timeout": LOCK_SECONDS * 1000,
            "application_name": me.application,
            "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
        },
    )
    if claims:
        where = url.render_as_string(hide_password=True)
        event.listen(made, "connect", lambda driver, _: _take(driver, me, claims, where))
    return made


def _take(driver: Any, me: Me, claims: Sequence[Claim], where: str) -> None:
    """Take the claims for this session; the locks last until it ends, in whatever way."""
    try:
        with driver.transaction():
            driver.execute("SELECT pg_advisory_xact_lock(%s, %s)", GATE)
            holders = [_holder(row) for row in driver.execute(_HOLDERS)]
            for former in {h.session for h in holders if h.name == me.application}:
                # the server has not noticed yet that our last session's link is gone
                driver.execute("SELECT pg_terminate_backend(%s, %s)", (former, FORMER_SECONDS * 1000))
            refused = refusal(claims, [_named(h) for h in holders if h.name != me.application], where)
            if refused is not None:
                raise refused
            for claim in claims:
                driver.execute("SELECT pg_advisory_lock(%s, %s)", (claim.space, claim.number))
    except BaseException:
        driver.close()
        raise


def _holder(row: Sequence[Any]) -> Holder:
    return Holder(int(row[0]), int(row[1]), int(row[2]), str(row[3]))


def _named(holder: Holder) -> Holder:
    """The holder under the name a person can use: without our prefix and token, or the server's own session number."""
    words = holder.name.split()
    name = " ".join(words[1:-1]) if len(words) > 2 and words[0] == "loa" else f"session {holder.session}"
    return Holder(holder.space, holder.number, holder.session, name)


def in_turn(connection: Connection, key: tuple[int, int]) -> None:
    """On PostgreSQL wait until no other transaction is between this call and its end; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:space, :number)"), {"space": key[0], "number": key[1]})


def transaction_id(connection: Connection) -> str:
    """The number by which the server remembers what became of the connection's transaction."""
    return str(connection.scalar(text("SELECT pg_current_xact_id()::text")))


def fate(connection: Connection, transaction: str) -> Fate:
    status = connection.scalar(text("SELECT pg_xact_status(CAST(:id AS xid8))"), {"id": transaction})
    return Fate(status) if status is not None else Fate.UNKNOWN


def intact(connection: Connection) -> bool:
    """Whether a commit now would keep the transaction: the server answers COMMIT of a failed one with a rollback."""
    driver: Any = connection.connection.driver_connection
    return bool(driver.info.transaction_status.name == "INTRANS")
