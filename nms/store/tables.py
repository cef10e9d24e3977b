"""The tables. A row is a value to fill and read; rules about rows live with what they are about.

Ids of rows are UUIDv7 text unless said otherwise. Times are aware UTC, cut to milliseconds. Words of closed lists are
text here: their enumerations belong to the rooms above; the few that decide what is heard are checked by the database.
Every change here needs a migration in ``nms/migrations/versions``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
    inspect,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, Session, mapped_column
from sqlalchemy.types import JSON

from nms.store.types import UtcTime

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(MappedAsDataclass, DeclarativeBase, kw_only=True):
    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcTime(),
        float: Double(),
        bytes: LargeBinary(),
        dict[str, Any]: JSON(none_as_null=True),
        list[str]: JSON(none_as_null=True),
    }


class DeviceStateRow(Base):
    """A device as last known. ``since`` is when ``state`` began, ``misses`` the polls without an answer since."""

    __tablename__ = "device_state"

    device: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    since: Mapped[datetime]
    updated: Mapped[datetime]
    cause: Mapped[str] = mapped_column(default="")
    misses: Mapped[int] = mapped_column(default=0)
    cell: Mapped[str | None] = mapped_column(default=None)
    last_seen: Mapped[datetime | None] = mapped_column(default=None)
    reading: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)
    memory: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)


class AlarmRow(Base):
    """One alarm from its opening to its end. At most one is open per ``subject`` and ``kind``.

    ``affected``: the devices it explains. ``quiet_until``: a repair keeps it quiet until then.
    """

    __tablename__ = "alarm"
    __table_args__ = (
        Index(
            "uq_alarm_open",
            "subject",
            "kind",
            unique=True,
            sqlite_where=text("cleared IS NULL"),
            postgresql_where=text("cleared IS NULL"),
        ),
        Index(None, "cleared"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str]
    kind: Mapped[str]
    opened: Mapped[datetime]
    since: Mapped[datetime]
    cause: Mapped[str] = mapped_column(default="")
    affected: Mapped[list[str]] = mapped_column(default_factory=list)
    acknowledged: Mapped[datetime | None] = mapped_column(default=None)
    acknowledged_by: Mapped[str] = mapped_column(default="")
    comment: Mapped[str] = mapped_column(default="")
    quiet_until: Mapped[datetime | None] = mapped_column(default=None)
    cleared: Mapped[datetime | None] = mapped_column(default=None)


class RepairRow(Base):
    """A repair order for a device: who does it until when with which part."""

    __tablename__ = "repair"
    __table_args__ = (Index(None, "device"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[str]
    who: Mapped[str]
    part: Mapped[str]
    opened: Mapped[datetime]
    opened_by: Mapped[str]
    until: Mapped[datetime]
    closed: Mapped[datetime | None] = mapped_column(default=None)
    closed_by: Mapped[str] = mapped_column(default="")


class MaintenanceRow(Base):
    """Work opened by a person in ``[from_, until)`` on the devices that ``selection`` meant when it was opened."""

    __tablename__ = "maintenance"
    __table_args__ = (Index(None, "until"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    selection: Mapped[str]
    devices: Mapped[list[str]]
    from_: Mapped[datetime]
    until: Mapped[datetime]
    reason: Mapped[str]
    opened_by: Mapped[str]


class SnmpEngineRow(Base):
    """A device's SNMPv3 engine as last proven: its boots and its seconds since boot at Unix time ``at`` (seconds)."""

    __tablename__ = "snmp_engine"

    device: Mapped[str] = mapped_column(primary_key=True)
    engine_id: Mapped[bytes]
    boots: Mapped[int] = mapped_column(BigInteger)
    time: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[float]


class SimUsageRow(Base):
    """One SIM in one month (``YYYY-MM``, Vietnam's time): ``nms.monitor.cellular.Usage``, seconds where it says so."""

    __tablename__ = "sim_usage"

    sim: Mapped[str] = mapped_column(primary_key=True)
    month: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[str]
    since: Mapped[datetime]
    updated: Mapped[datetime]
    bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    last_rx: Mapped[int | None] = mapped_column(BigInteger, default=None)
    last_tx: Mapped[int | None] = mapped_column(BigInteger, default=None)
    counted: Mapped[datetime | None] = mapped_column(default=None)
    without: Mapped[bool] = mapped_column(default=False)
    without_s: Mapped[float] = mapped_column(default=0.0)


class EventRow(Base):
    """One change, never altered; written by ``nms.journal.append``."""

    __tablename__ = "event"
    __table_args__ = (Index(None, "at"), Index(None, "subject", "at"))

    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    subject: Mapped[str]
    kind: Mapped[str]
    from_: Mapped[str] = mapped_column(default="")
    to: Mapped[str] = mapped_column(default="")
    cause: Mapped[str] = mapped_column(default="")
    data: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)


class BulletinRow(Base):
    """One version of a bulletin. ``body`` is the exact JSON bytes that the approver signs, ``signed`` their frame.

    ``first`` is the id of version 1, ``replaces`` of the version before. ``on_behalf``: the upper unit that entered it
    for ``origin``. Its ``repeats`` begin ``every`` ms apart, or one in each session (``by_session``); with neither, one
    after the other. ``search`` is what it is found by, folded.
    """

    __tablename__ = "bulletin"
    __table_args__ = (
        CheckConstraint(
            "state IN ('draft', 'submitted', 'approved', 'scheduled', 'airing', 'aired', 'failed', 'cancelled',"
            " 'returned')",
            name="state",
        ),
        Index(None, "state"),
        Index(None, "first"),
        Index(None, "created"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    state: Mapped[str]
    cls: Mapped[str]
    tier: Mapped[str]
    origin: Mapped[str]
    title: Mapped[str]
    author: Mapped[str]
    created: Mapped[datetime]
    body: Mapped[bytes]
    audience: Mapped[str]
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime]
    play_now: Mapped[bool] = mapped_column(default=False)
    repeats: Mapped[int] = mapped_column(default=1)
    signed: Mapped[bytes | None] = mapped_column(default=None)
    requested_at: Mapped[datetime | None] = mapped_column(default=None)
    every: Mapped[int] = mapped_column(BigInteger, default=0)
    by_session: Mapped[bool] = mapped_column(default=False)
    search: Mapped[str] = mapped_column(default="")
    on_behalf: Mapped[str] = mapped_column(default="")
    first: Mapped[str] = mapped_column(default="")
    replaces: Mapped[str] = mapped_column(default="")


class OfferRow(Base):
    """A higher tier's normal bulletin, offered to one commune. It airs there once the commune has ``picked`` it."""

    __tablename__ = "offer"
    __table_args__ = (Index(None, "unit"),)

    bulletin: Mapped[str] = mapped_column(ForeignKey("bulletin.id"), primary_key=True)
    unit: Mapped[str] = mapped_column(primary_key=True)
    picked: Mapped[datetime | None] = mapped_column(default=None)
    picked_by: Mapped[str] = mapped_column(default="")


class ApprovalRow(Base):
    """A decision on one version. ``on_behalf`` names the unit it was entered for.

    ``paper``: the document that ``signer`` signed at ``signed_at``; ``person`` is then the one who recorded it.
    """

    __tablename__ = "approval"
    __table_args__ = (CheckConstraint("decision IN ('approved', 'returned')", name="decision"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    bulletin: Mapped[str] = mapped_column(ForeignKey("bulletin.id"), index=True)
    version: Mapped[int]
    person: Mapped[str]
    at: Mapped[datetime]
    decision: Mapped[str]
    reason: Mapped[str] = mapped_column(default="")
    on_behalf: Mapped[str | None] = mapped_column(default=None)
    paper: Mapped[str | None] = mapped_column(default=None)
    signer: Mapped[str] = mapped_column(default="")
    signed_at: Mapped[datetime | None] = mapped_column(default=None)


class AiringRow(Base):
    """One planned start of a bulletin in one unit. ``duration`` in seconds; ``latest`` is the last moment to begin."""

    __tablename__ = "airing"
    __table_args__ = (UniqueConstraint("bulletin", "unit", "repeat"), Index(None, "unit", "start"))

    id: Mapped[str] = mapped_column(primary_key=True)
    bulletin: Mapped[str] = mapped_column(ForeignKey("bulletin.id"))
    unit: Mapped[str]
    repeat: Mapped[int]
    start: Mapped[datetime]
    duration: Mapped[float]
    latest: Mapped[datetime]
    cancelled: Mapped[bool] = mapped_column(default=False)


class NowEntryRow(Base):
    """An order or live session for one ``target`` (``u/<unit>``, ``g/<group>``, ``d/<device>``).

    In force in ``[from_, until)`` unless ``ended`` earlier. ``entry`` is what the published document carries.
    """

    __tablename__ = "now_entry"
    __table_args__ = (
        CheckConstraint("kind IN ('emergency', 'stop', 'live', 'drill', 'follow_up')", name="kind"),
        Index(None, "target", "issuer"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    target: Mapped[str]
    issuer: Mapped[str]
    kind: Mapped[str]
    from_: Mapped[datetime]
    until: Mapped[datetime]
    entry: Mapped[dict[str, Any]]
    bulletin: Mapped[str | None] = mapped_column(ForeignKey("bulletin.id"), default=None)
    ended: Mapped[datetime | None] = mapped_column(default=None)


class ReceiptRow(Base):
    """What a device says it played; ``id`` is the device's own. Insert with ``add_once``: devices send again.

    No foreign keys: a receipt is kept whatever the hub knows of the airing.
    """

    __tablename__ = "receipt"
    __table_args__ = (Index(None, "bulletin", "device"), Index(None, "device", "started"), Index(None, "received"))

    id: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[str]
    airing: Mapped[str]
    bulletin: Mapped[str]
    repeat: Mapped[int]
    result: Mapped[str]
    received: Mapped[datetime]
    started: Mapped[datetime | None] = mapped_column(default=None)
    ended: Mapped[datetime | None] = mapped_column(default=None)
    offset_ms: Mapped[int] = mapped_column(default=0)
    reason: Mapped[str] = mapped_column(default="")
    lufs: Mapped[float | None] = mapped_column(default=None)
    clock_error_ms: Mapped[float | None] = mapped_column(default=None)
    content: Mapped[str | None] = mapped_column(default=None)


class SequenceRow(Base):
    """The last sequence number the hub signed with ``kid`` for ``topic``."""

    __tablename__ = "sequence"

    topic: Mapped[str] = mapped_column(primary_key=True)
    kid: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)


class ContentRow(Base):
    """An encoded recording, named by the SHA-256 of its bytes. ``source`` says how it came to be."""

    __tablename__ = "content"

    sha: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    duration_ms: Mapped[int] = mapped_column(BigInteger)
    codec: Mapped[str]
    created: Mapped[datetime]
    lufs: Mapped[float | None] = mapped_column(default=None)
    title: Mapped[str] = mapped_column(default="")
    source: Mapped[str] = mapped_column(default="")


class AuditRow(Base):
    """One act of a person, chained by hash; written by ``nms.journal.audit``. ``n`` counts from 1 without gaps."""

    __tablename__ = "audit"

    n: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    person: Mapped[str]
    uid: Mapped[int] = mapped_column(BigInteger)
    action: Mapped[str]
    subject: Mapped[str]
    data: Mapped[dict[str, Any]]
    previous: Mapped[str]
    hash: Mapped[str]


class ShardRow(Base):
    """Part ``part`` of the ``parts`` in which the fleet is polled, and ``holder``, the process that does it.

    ``swept`` is when it last wrote what it found (when it was first missed, if it never did), ``missed`` since when
    nothing is heard of it. ``stats`` are those of its last sweep.
    """

    __tablename__ = "shard"

    parts: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    part: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    swept: Mapped[datetime]
    holder: Mapped[str] = mapped_column(default="")
    missed: Mapped[datetime | None] = mapped_column(default=None)
    stats: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)


class FactsRow(Base):
    """What a device said about itself when it was last asked; ``document`` is ``nms.provision.facts``' form.

    ``failed``: since when it could not be asked, ``failure`` why; both end with the next answer.
    """

    __tablename__ = "facts"

    device: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime | None] = mapped_column(default=None)
    document: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)
    failed: Mapped[datetime | None] = mapped_column(default=None)
    failure: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)


class DeploymentRow(Base):
    """One rollout: the plan as it was when it began, its author, its end. ``state`` is the rollout's."""

    __tablename__ = "deployment"
    __table_args__ = (Index(None, "started"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    plan: Mapped[dict[str, Any]]
    author: Mapped[str]
    started: Mapped[datetime]
    state: Mapped[str]
    ended: Mapped[datetime | None] = mapped_column(default=None)
    reason: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)


class DeploymentDeviceRow(Base):
    """One device in one rollout: its wave, what became of it, why, what it cost."""

    __tablename__ = "deployment_device"
    __table_args__ = (Index(None, "device"),)

    deployment: Mapped[str] = mapped_column(ForeignKey("deployment.id"), primary_key=True)
    device: Mapped[str] = mapped_column(primary_key=True)
    wave: Mapped[int]
    outcome: Mapped[str]
    at: Mapped[datetime]
    detail: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)
    sent: Mapped[int] = mapped_column(BigInteger, default=0)
    received: Mapped[int] = mapped_column(BigInteger, default=0)


class BackupRow(Base):
    """A device's configuration as it was at ``at``, without its secrets. ``why``: before, after, asked or restored."""

    __tablename__ = "backup"
    __table_args__ = (Index(None, "device", "at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[str]
    at: Mapped[datetime]
    why: Mapped[str]
    digest: Mapped[str]
    text: Mapped[str]
    by: Mapped[str] = mapped_column(default="")


class PendingRow(Base):
    """A device that announced itself and waits until a technician who has compared its fingerprint binds it."""

    __tablename__ = "pending"

    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str]
    serial: Mapped[str]
    first: Mapped[datetime]
    last: Mapped[datetime]
    document: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)


class SiteRow(Base):
    """A record a technician made on the spot: ``kind`` acceptance, survey, enrolment or replacement; its fields in
    ``document``. Never changed: a correction is a new one."""

    __tablename__ = "site_record"
    __table_args__ = (Index(None, "subject", "at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str]
    kind: Mapped[str]
    at: Mapped[datetime]
    by: Mapped[str]
    document: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)


def add_once(session: Session, row: Base) -> bool:
    """Insert the row unless its primary key is already there. True if it was new; the row kept is the first one."""
    mapper = inspect(type(row))
    table = mapper.local_table
    assert isinstance(table, Table)
    values = {attribute.key: getattr(row, attribute.key) for attribute in mapper.column_attrs}
    keys = list(table.primary_key.columns)
    if session.get_bind().dialect.name == "postgresql":
        in_postgresql = postgresql.insert(table).values(values).on_conflict_do_nothing(index_elements=keys)
        return session.execute(in_postgresql.returning(*keys)).first() is not None
    in_sqlite = sqlite.insert(table).values(values).on_conflict_do_nothing(index_elements=keys)
    return session.execute(in_sqlite.returning(*keys)).first() is not None
