"""Power that fails at any byte, flash that rots, days of absence: what a device makes of what is left."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from copy import copy
from pathlib import Path

import pytest

from audio.documents import Ack, Airing, Receipt, Result, encode
from audio.receiver.cache import Cache
from audio.receiver.journal import Journal
from audio.receiver.sound import Round, blocks
from tests.audio.agent_kit import NOW, PROG, Hands, Rig, alarm
from tests.audio.receiver_kit import DEVICE, EVENING, ContentServer, Sound, content_server, make_sound, until

ITEMS = {"one": 1_000, "two": 4_000, "three": 7_000}
FAILS = EVENING + 8_700
"""The first has been heard and acknowledged, the second heard, the third is on the air."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    return make_sound(tmp_path_factory.mktemp("sounds"), 2_000, 31)


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of lives: what is written is read from memory anyway."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr("os.fdatasync", lambda _: None)


class Evening:
    """A device whose power fails while it plays; ``again`` gives it a copy of its storage, spoiled."""

    def __init__(self, folder: Path, sound: Sound) -> None:
        folder.mkdir()
        self.sound = sound
        self.rig = rig = Rig(folder, EVENING)
        rig.synchronise()
        rig.shelf.put(sound.content, sound.data)
        bulletin = rig.kit.bulletin(sound)
        airings = [Airing(name, bulletin.id, 0, EVENING + at, EVENING + 25_000) for name, at in ITEMS.items()]
        self.retained = {
            PROG: rig.kit.programme(*airings, signed={bulletin.id: rig.kit.signed(bulletin)}),
            NOW: rig.kit.orders(),
        }
        for topic, frame in self.retained.items():
            rig.say(topic, frame)
        rig.run(EVENING + 3_500)
        (heard,) = rig.receipts
        rig.say(f"loa/1/ack/{DEVICE}", rig.kit.seal(f"loa/1/ack/{DEVICE}", encode(Ack((heard.id,))), rig.kit.hub))
        rig.run(FAILS)
        journal = rig._journal
        assert journal is not None
        assert journal.open is not None
        journal.sounded(1_660 * 48, 1)
        self.begun = {s.airing for s in journal.history}
        self.acknowledged = heard.id
        rig.close()

    @contextmanager
    def again(self, folder: Path, spoil: Callable[[Path], object]) -> Iterator[Rig]:
        if folder.exists():
            shutil.rmtree(folder)
        shutil.copytree(self.rig.folder, folder)
        spoil(folder)
        rig = copy(self.rig)
        rig.folder, rig.clock = folder, Hands(FAILS + 3_000)
        rig.kit = copy(rig.kit)
        rig.kit.now = rig.clock.now
        try:
            rig.up()
            yield rig
        finally:
            rig.close()


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory, sound: Sound) -> Evening:
    made = Evening(tmp_path_factory.mktemp("evening") / "state", sound)
    assert made.begun == set(ITEMS)
    return made


def truncated(data: bytes, at: int) -> bytes:
    return data[:at]


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x11]) + data[at + 1 :]


def zeroed(data: bytes, at: int) -> bytes:
    """A block of the flash that was never written."""
    return data[:at] + bytes(len(data) - at)


def places(data: bytes, seed: int, count: int) -> list[int]:
    """The first bytes, the last, those around the ends of lines, and others by chance."""
    ends = [n + step for n, byte in enumerate(data) if byte == 10 for step in (-1, 0, 1)]
    chosen = [0, 1, len(data) - 1, *ends[-6:], *random.Random(seed).sample(range(len(data)), min(count, len(data)))]
    return sorted({place for place in chosen if 0 <= place < len(data)})


def lines_left(before: bytes, after: bytes) -> Iterator[Receipt]:
    """Receipts whose records are whole in what is left."""
    left = after.split(b"\n")[:-1]
    for line in before.split(b"\n")[:-1]:
        record = json.loads(line.partition(b" ")[2])
        if record["k"] == "end" and line in left:
            yield Receipt(**record["receipt"])


FILES = ("journal", "journal.at", "clock.json", "held/0", "held/1")


@pytest.mark.parametrize("spoil", [truncated, flipped, zeroed])
@pytest.mark.parametrize("name", FILES)
def test_whatever_is_left_of_a_file_nothing_plays_twice_and_no_receipt_is_lost(
    evening: Evening, tmp_path: Path, name: str, spoil: Callable[[bytes, int], bytes]
) -> None:
    original = _file(evening, name)
    before = original.read_bytes()
    source = evening.rig.folder
    for place in places(before, len(name), 8):
        after = spoil(before, place)

        def write(folder: Path, after: bytes = after) -> None:
            (folder / original.relative_to(source)).write_bytes(after)

        with evening.again(tmp_path / "state", write) as rig:
            assert rig.time.floor <= rig.clock.at
            _check(evening, rig, list(lines_left(before, after)) if name == "journal" else [])


def _file(evening: Evening, name: str) -> Path:
    folder, _, number = name.partition("/")
    return sorted((evening.rig.folder / folder).iterdir())[int(number)] if number else evening.rig.folder / name


def _check(evening: Evening, rig: Rig, kept: list[Receipt]) -> None:
    """The rest of the evening: the broker's retained frames, the hub's time, everything that may still begin."""
    assert rig._journal is not None
    known = {r.id for r in rig._journal.unacknowledged}
    assert {r.id for r in kept} - {evening.acknowledged} <= known
    rig.synchronise()
    for topic, frame in evening.retained.items():
        rig.say(topic, frame)
    rig.run(EVENING + 30_000)
    whole = b"".join(blocks(Round(((rig.shelf.path(evening.sound.content), 2_000),), volume=80)))
    for played in rig.ears.played:
        # without the mark it goes on where the journal knew it last, less than two seconds before
        assert len(played) < len(whole) / 2, "only what was cut short may go on"
        assert whole.endswith(played)
    again = [r for r in rig.receipts if r.started > FAILS and r.result in (Result.PLAYED, Result.PARTIAL)]
    assert all(r.offset > 0 and r.airing == "three" for r in again), again


def test_a_spoiled_journal_lets_begin_what_is_due_later(evening: Evening, tmp_path: Path, sound: Sound) -> None:
    def spoil(folder: Path) -> None:
        lines = (folder / "journal").read_bytes().splitlines(keepends=True)
        (folder / "journal").write_bytes(b"".join((lines[0], b"?", *lines[2:])))

    with evening.again(tmp_path / "state", spoil) as rig:
        rig.synchronise()
        bulletin, start = rig.kit.bulletin(sound, id="later"), rig.clock.at + 5_000
        items = (
            Airing("later", "later", 0, start, start + 60_000),
            Airing("doubt", "later", 0, FAILS - 5, start + 3_000),
        )
        rig.say(PROG, rig.kit.programme(*items, signed={"later": rig.kit.signed(bulletin)}))
        rig.run(start + 70_000)
        told = {r.airing: (r.result, r.reason) for r in rig.receipts}
        assert told["later"] == (Result.PLAYED, "")
        assert told["doubt"] == (Result.MISSED, "restart")


def test_doubt_lasts_over_further_starts(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"\0" * 100)
    for later in range(3):
        with closing(Journal(path, EVENING + later)) as journal:
            assert journal.doubt == EVENING
    path.unlink()
    with closing(Journal(path, EVENING)) as fresh:
        assert fresh.doubt == 0


def test_after_an_absence_only_what_is_still_valid_plays(tmp_path: Path, sound: Sound) -> None:
    rig = Rig(tmp_path, EVENING)
    rig.synchronise()
    rig.shelf.put(sound.content, sound.data)
    bulletin, hour = rig.kit.bulletin(sound), 3_600_000
    ends = rig.kit.bulletin(sound, id="ends", valid_until=EVENING + hour)
    items = (
        Airing("stale", bulletin.id, 0, EVENING + 60_000, EVENING + 600_000),
        Airing("invalid", "ends", 0, EVENING + 60_000, EVENING + 2 * hour),
        Airing("valid", bulletin.id, 1, EVENING + 120_000, EVENING + 2 * hour),
        Airing("next", bulletin.id, 2, EVENING + hour + 60_000, EVENING + 2 * hour),
    )
    signed = {"ends": rig.kit.signed(ends), bulletin.id: rig.kit.signed(bulletin)}
    rig.say(PROG, rig.kit.programme(*items, signed=signed))
    rig.say(NOW, rig.kit.orders(alarm(rig, sound, until=30_000), exp=EVENING + 30_000))
    rig.run(EVENING + 500)
    rig.crash(hour)
    rig.run(EVENING + hour + 200_000)
    told = [(r.airing, r.result, r.started - EVENING) for r in sorted(rig.receipts, key=lambda r: r.started)]
    heard = [(name, at) for name, result, at in told if result is Result.PLAYED]
    assert [name for name, _ in heard] == ["valid", "next"]
    assert heard[0][1] <= hour + 2_000
    assert heard[1][1] == hour + 60_000
    assert {name for name, result, _ in told if result is Result.MISSED} == {"stale", "invalid"}
    rig.close()


# --- the sounds


@pytest.fixture
def server(sound: Sound) -> Iterator[ContentServer]:
    with content_server(sound.path.parent) as running:
        yield running


@pytest.mark.parametrize("spoil", [truncated, flipped, zeroed])
def test_a_sound_that_rotted_is_not_played_but_fetched_again(
    tmp_path: Path, sound: Sound, server: ContentServer, spoil: Callable[[bytes, int], bytes]
) -> None:
    for place in places(sound.data, 5, 20):
        (tmp_path / sound.content).write_bytes(spoil(sound.data, place))
        arrived: list[str] = []
        with closing(Cache(tmp_path, server.base, arrived.append, arrived.append)) as cache:
            cache.has(sound.content)
            until(lambda arrived=arrived, cache=cache: cache.has(sound.content) or arrived)  # type: ignore[misc]
            assert cache.has(sound.content)
            assert cache.path(sound.content).read_bytes() == sound.data


def test_a_whole_sound_is_there_at_once(tmp_path: Path, sound: Sound, server: ContentServer) -> None:
    (tmp_path / sound.content).write_bytes(sound.data)
    with closing(Cache(tmp_path, server.base, print, print)) as cache:
        assert cache.has(sound.content)
    assert server.requests == []
