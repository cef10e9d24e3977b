"""A province of two communes with a hub in it: real keys, sound, store and broker; devices are plain MQTT clients."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path

import aiomqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audio import envelope, trust
from audio.broker import Broker, Mosquitto
from audio.bulletin import Draft
from audio.documents import Ack, Bulletin, BulletinClass, DeviceState, Receipt, Result, decode, encode
from audio.library import Content, Library
from audio.measure import Progress, untold
from audio.playout import Approved, Playout, Submitted
from audio.receiver.trust import Content as Meaning
from audio.receiver.trust import Instant, Trust, kind_of
from inventory.diagnostics import Diagnostic
from inventory.model import (
    TIMEZONE,
    Device,
    DeviceId,
    DeviceKind,
    Group,
    GroupId,
    Network,
    Person,
    PersonId,
    QuietHours,
    Role,
    Session,
    Tier,
    Unit,
    UnitId,
    UnitType,
)
from nms.journal import new_id
from nms.moments import to_milliseconds
from nms.store import Store

PROVINCE, DISTRICT, WARD, OTHER = UnitId("64"), UnitId("622"), UnitId("23557"), UnitId("23560")
ON = date(2024, 10, 1)
EVENING = datetime(2024, 10, 1, 16, 59, 30, tzinfo=TIMEZONE)
HEARD = "Bà con chú ý, chiều mai tiêm phòng cho trẻ em tại nhà văn hóa."
WARNED = "Lũ đang lên nhanh, bà con lên chỗ cao ngay."

UNITS = (
    Unit(PROVINCE, "64", "Tỉnh Gia Lai", Tier.PROVINCE, UnitType.PROVINCE, None),
    Unit(DISTRICT, "622", "Thành phố Pleiku", Tier.DISTRICT, UnitType.CITY, PROVINCE),
    Unit(WARD, "23557", "Phường Yên Đỗ", Tier.COMMUNE, UnitType.WARD, DISTRICT),
    Unit(OTHER, "23560", "Phường Diên Hồng", Tier.COMMUNE, UnitType.WARD, DISTRICT),
)


def _device(name: str, unit: UnitId, kind: DeviceKind = DeviceKind.LOUDSPEAKER) -> Device:
    return Device(DeviceId(name), kind, unit, None, "loa-receiver", date(2024, 1, 1))


DEVICES = (
    _device("23557-L01", WARD),
    _device("23557-L02", WARD),
    _device("23557-B01", WARD, DeviceKind.BOARD),
    _device("23560-L01", OTHER),
)


def _person(name: str, area: UnitId, *roles: Role) -> Person:
    return Person(PersonId(name), name.title(), name, roles, area)


PEOPLE = {
    person.id: person
    for person in (
        _person("an", PROVINCE, Role.EDITOR, Role.OPERATOR),
        _person("binh", PROVINCE, Role.APPROVER),
        _person("chi", WARD, Role.EDITOR),
        _person("dung", WARD, Role.APPROVER, Role.OPERATOR),
        _person("em", WARD, Role.EDITOR, Role.APPROVER),
        _person("gia", DISTRICT, Role.VIEWER),
    )
}
AN, BINH, CHI, DUNG, EM, GIA = PEOPLE.values()


def network() -> Network:
    """Without keys: ``Keys`` adds them."""
    return Network(
        province=PROVINCE,
        name="Gia Lai",
        as_of=ON,
        overlay="127",
        units={unit.id: unit for unit in UNITS},
        hamlets={},
        stations={},
        devices={device.id: device for device in DEVICES},
        groups={GroupId("riverside"): Group(GroupId("riverside"), "Ven sông", (DEVICES[1].id, DEVICES[3].id))},
        people=PEOPLE,
        quiet_hours=(QuietHours(PROVINCE, clock_time(21), clock_time(5)),),
        sessions=(
            Session(PROVINCE, "sáng", clock_time(5), 3600.0),
            Session(PROVINCE, "chiều", clock_time(17), 3600.0),
        ),
    )


@dataclass(frozen=True)
class Keys:
    """A trusted province and the private keys to it."""

    network: Network
    hub: Ed25519PrivateKey
    hub_kid: str
    issuers: dict[UnitId, Ed25519PrivateKey]

    @classmethod
    def make(cls, folder: Path) -> Keys:
        plain = network()
        trusted = trust.make_keys(folder, plain, "mật khẩu dài", ON)
        assert not isinstance(trusted, Diagnostic)
        hub = trust.load_key(folder, "hub")
        assert isinstance(hub, Ed25519PrivateKey)
        issuers = {}
        for unit in plain.units:
            key = trust.load_issuer(folder, unit)
            assert isinstance(key, Ed25519PrivateKey)
            issuers[unit] = key
        kid = next(key.kid for key in trusted.keys if key.hub)
        return cls(replace(plain, trust=trusted), hub, kid, issuers)

    def sign(self, body: bytes, unit: UnitId, now: datetime, by: UnitId | None = None) -> bytes:
        """As the approver's own process does it, with the key of ``by`` (default: the unit's own)."""
        bulletin = decode(Bulletin, body)
        assert self.network.trust is not None
        public = trust.issuer(self.network.trust, by or unit)
        assert public is not None
        valid = bulletin.valid_from, bulletin.valid_until
        key = self.issuers[by or unit]
        return trust.sign_bulletin(body, bulletin.id, key, public.kid, by or unit, 1, to_milliseconds(now), *valid)


class Clock:
    """The province's time: it runs, and tests move it on. ``good``: what the hub knows of it, ``asked`` so often."""

    def __init__(self, start: datetime = EVENING) -> None:
        self._start = start
        self._began = time.monotonic()
        self._skipped = timedelta()
        self.good = True
        self.asked = 0

    def __call__(self) -> datetime:
        return self._start + self._skipped + timedelta(seconds=time.monotonic() - self._began)

    def skip(self, **by: float) -> None:
        self._skipped += timedelta(**by)

    def believed(self) -> bool:
        self.asked += 1
        return self.good

    @property
    def ms(self) -> int:
        return to_milliseconds(self())


class SpokenOnce(Library):
    """The real library; a text that it has spoken before, and still has, is not spoken again."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._spoken: dict[tuple[str, bool], Content] = {}

    async def speak(
        self, text: str, *, bitrate: int, chimed: bool = False, progress: Progress = untold
    ) -> Content | tuple[Diagnostic, ...]:
        known = self._spoken.get((text, chimed))
        if known is None or self.path(known.sha) is None:
            content = await super().speak(text, bitrate=bitrate, chimed=chimed, progress=progress)
            if isinstance(content, tuple):
                return content
            self._spoken[text, chimed] = content
        return self._spoken[text, chimed]


class Ear:
    """A device's MQTT side: the frames it got by topic, newest last, read as the real receiver reads them."""

    def __init__(self, keys: Keys, device: str, port: int, clock: Clock) -> None:
        subject = keys.network.devices[DeviceId(device)]
        assert keys.network.trust is not None
        self.device = device
        self.trust = Trust(trust.policy(keys.network, subject, ON, keys.network.trust))
        self.frames: dict[str, list[bytes]] = {}
        self._port = port
        self._clock = clock
        self._client: aiomqtt.Client | None = None

    async def run(self) -> None:
        while True:
            with suppress(aiomqtt.MqttError):
                async with aiomqtt.Client("127.0.0.1", self._port, protocol=aiomqtt.ProtocolVersion.V5) as client:
                    await client.subscribe("loa/1/#", qos=1)
                    self._client = client
                    async for message in client.messages:
                        assert isinstance(message.payload, bytes)
                        self.frames.setdefault(message.topic.value, []).append(message.payload)
            self._client = None
            await asyncio.sleep(0.05)

    def read(self, topic: str) -> Meaning | None:
        """The newest document on the topic as the device understands it."""
        if topic not in self.frames:
            return None
        instant = Instant(self._clock.ms, True, self._clock.ms)
        opened = self.trust.open_hub(self.frames[topic][-1], topic, instant)
        assert isinstance(opened, envelope.Opened), opened
        kind = kind_of(topic, self.trust.policy)
        assert kind is not None
        content = self.trust.read(opened, kind, instant)
        assert isinstance(content, Meaning), content
        return content

    def acknowledged(self) -> set[str]:
        found: set[str] = set()
        topic = f"loa/1/ack/{self.device}"
        for frame in self.frames.get(topic, []):
            opened = self.trust.open_hub(frame, topic, Instant(self._clock.ms, True, self._clock.ms))
            assert isinstance(opened, envelope.Opened)
            found.update(decode(Ack, opened.body).receipts)
        return found

    async def say(self, kind: str, payload: bytes, device: str = "") -> None:
        await eventually(lambda: self._client is not None)
        assert self._client is not None
        await self._client.publish(f"loa/1/dev/{device or self.device}/{kind}", payload, qos=1)

    async def receipt(self, receipt: Receipt, device: str = "") -> None:
        await self.say("receipt", encode(receipt), device)

    async def online(self) -> None:
        await self.say("state", encode(DeviceState(self.device, True, self._clock.ms)))


@dataclass
class Hub:
    """A running hub with its province; ``draft`` and ``push`` do what people do."""

    keys: Keys
    clock: Clock
    store: Store
    broker: Broker
    playout: Playout
    port: int
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def die(self) -> None:
        """End the hub's task and its devices; none of them may have failed by itself."""
        for task in self.tasks:
            task.cancel()
        results = await asyncio.gather(*self.tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results), results

    async def ear(self, device: str) -> Ear:
        ear = Ear(self.keys, device, self.port, self.clock)
        self.tasks.add(asyncio.create_task(ear.run()))
        await eventually(lambda: ear._client is not None)
        return ear

    async def submit(self, draft: Draft) -> str:
        submitted = await self.playout.submit(PEOPLE[draft.author], draft)
        assert isinstance(submitted, Submitted), submitted
        return submitted.bulletin

    async def sign(self, bulletin: str, unit: UnitId, by: UnitId | None = None) -> bytes:
        body = await self.playout.body(bulletin)
        assert isinstance(body, bytes)
        return self.keys.sign(body, unit, self.clock(), by)

    async def push(self, draft: Draft, approver: Person = BINH) -> tuple[str, Approved]:
        bulletin = await self.submit(draft)
        approved = await self.playout.approve(approver, bulletin, await self.sign(bulletin, draft.origin))
        assert isinstance(approved, Approved), approved
        return bulletin, approved

    async def state(self, bulletin: str) -> str:
        return next(view.state for view in await self.playout.bulletins() if view.id == bulletin)


@asynccontextmanager
async def hub(keys: Keys, folder: Path, library: Library, port: int, clock: Clock) -> AsyncIterator[Hub]:
    """A hub whose task runs until the block ends; it opens its store anew and rebuilds everything from it."""
    with Store.open(folder / "loa.db") as store:
        broker = Broker("127.0.0.1", port)
        key, kid = keys.hub, keys.hub_kid
        playout = Playout(store, lambda: keys.network, broker, key, kid, clock, {}, library, clock.believed)
        running = Hub(keys, clock, store, broker, playout, port)
        running.tasks.add(asyncio.create_task(playout.run()))
        await asyncio.wait_for(broker.wait_connected(), 60)
        try:
            yield running
        finally:
            await running.die()


@asynccontextmanager
async def mosquitto(folder: Path) -> AsyncIterator[Mosquitto]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with Mosquitto(folder / "broker", port) as running:
        yield running


async def eventually(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.02)


def codes(found: object) -> list[str]:
    """Of diagnostics that have their words and a fix."""
    assert isinstance(found, tuple), found
    assert all(isinstance(d, Diagnostic) and d.text() and d.fix_text() for d in found)
    return [d.code for d in found]


def draft(**changes: object) -> Draft:
    """A normal bulletin of the ward for the ward."""
    plain = Draft(
        tier=Tier.COMMUNE,
        origin=WARD,
        author=CHI.id,
        cls=BulletinClass.NORMAL,
        title="Tiêm phòng",
        audience="commune=23557",
        text=HEARD,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def emergency(**changes: object) -> Draft:
    """A province-wide emergency."""
    province = {
        "tier": Tier.PROVINCE,
        "origin": PROVINCE,
        "author": AN.id,
        "cls": BulletinClass.EMERGENCY,
        "title": "Cảnh báo lũ",
        "audience": "province=64",
        "text": WARNED,
        "authority": "Công điện số 5",
    }
    return draft(**(province | changes))


def receipt(device: str, bulletin: str, airing: str, started: int, **changes: object) -> Receipt:
    plain = Receipt(
        id=new_id(EVENING),
        device=device,
        airing=airing,
        bulletin=bulletin,
        repeat=0,
        content="",
        started=started,
        ended=started + 4_000,
        offset=0,
        result=Result.PLAYED,
        level=-20.5,
        clock_error=3,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]
