from __future__ import annotations

import uuid
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.documents import Receipt, Result
from audio.receiver.journal import KEEP, Begun, Journal, level, uuid7
from tests.audio.receiver_kit import EVENING

BEGUN = Receipt("r1", "d", "a", "b", 0, "c", EVENING, EVENING, 0, Result.PLAYED)


def journal_at(path: Path, now: int = EVENING) -> closing[Journal]:
    return closing(Journal(path, now))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_a_closed_segment_is_history_and_a_receipt(path: Path) -> None:
    with journal_at(path) as journal:
        journal.begin(BEGUN)
        assert [s.ended for s in journal.history] == [None]
        journal.progress(48 * 2_000, 48 * 2_000 * 3277**2)
        receipt = journal.end(Result.PARTIAL, "emergency", True, EVENING)
        assert (receipt.ended, receipt.level, receipt.reason) == (EVENING + 2_000, -20.0, "emergency")
        assert [(s.ended, s.cut) for s in journal.history] == [(EVENING + 2_000, True)]
        assert journal.unacknowledged == (receipt,)


def test_everything_survives_a_restart(path: Path) -> None:
    with journal_at(path) as before:
        before.begin(BEGUN)
        before.progress(48, 1)
        before.end(Result.PLAYED, "", False, EVENING)
        before.report(replace(BEGUN, id="r2", airing="m", result=Result.MISSED))
        before.acknowledge(("r1", "unknown"))
        before.remember("t", "k", 7, "digest")
        before.begin(replace(BEGUN, id="r3", airing="o"))
        before.progress(480, 9)
    for later in (EVENING + 1, EVENING + 2):
        with journal_at(path, later) as after:
            assert after.history == before.history
            assert after.unacknowledged == before.unacknowledged
            assert after.reported == before.reported == {("a", 0), ("m", 0)}
            assert after.sequences == {("t", "k"): (7, "digest")}
            assert after.open == before.open
            assert after.since == EVENING


def test_what_had_sounded_is_known_of_a_process_that_was_killed(path: Path) -> None:
    killed = Journal(path, EVENING)
    killed.begin(BEGUN)
    for block in range(1, 31):
        killed.sounded(960 * block, 7 * block)
    with journal_at(path) as after:
        assert after.open == Begun(BEGUN, 960 * 30, 7 * 30)
        after.end(Result.PARTIAL, "restart", True, EVENING)
        after.begin(replace(BEGUN, id="r2"))
    killed.close()
    with journal_at(path) as later:
        assert later.open == Begun(replace(BEGUN, id="r2")), "another segment's mark says nothing of this one"


def write_receipts(path: Path, count: int) -> list[int]:
    """Receipts r0, r1, ... and the size of the file after each."""
    sizes = []
    with journal_at(path) as journal:
        for number in range(count):
            journal.report(replace(BEGUN, id=f"r{number}"))
            sizes.append(path.stat().st_size)
    return sizes


def receipts(path: Path, now: int = EVENING) -> list[str]:
    with journal_at(path, now) as journal:
        return [r.id for r in journal.unacknowledged]


@given(st.data())
def test_a_torn_tail_costs_only_the_torn_line(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("j") / "journal.jsonl"
    sizes = write_receipts(path, 3)
    size = data.draw(st.integers(0, sizes[-1]))
    path.write_bytes(path.read_bytes()[:size])
    assert receipts(path) == [f"r{number}" for number, end in enumerate(sizes) if end <= size]


@given(st.integers(0, 2000), st.integers(1, 255))
def test_a_spoiled_byte_costs_at_most_its_lines(
    tmp_path_factory: pytest.TempPathFactory, place: int, change: int
) -> None:
    path = tmp_path_factory.mktemp("j") / "journal.jsonl"
    write_receipts(path, 5)
    raw = bytearray(path.read_bytes())
    raw[place % len(raw)] ^= change
    path.write_bytes(raw)
    left = set(receipts(path))
    assert len(left) >= 3
    assert left <= {f"r{number}" for number in range(5)}


def test_what_is_old_and_acknowledged_is_forgotten(path: Path) -> None:
    write_receipts(path, 2)
    with journal_at(path) as journal:
        journal.acknowledge(("r1",))
    assert receipts(path, EVENING + KEEP + 1) == ["r0"]
    assert "r1" not in path.read_text()


def test_a_long_life_does_not_fill_the_flash(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audio.receiver.journal.REWRITE_AFTER", 50)
    with journal_at(path) as journal:
        for number in range(200):
            journal.remember("t", "k", number, "digest")
            journal.begin(replace(BEGUN, id=f"r{number}"))
            receipt = journal.end(Result.PLAYED, "", False, EVENING + KEEP + 1)
            journal.acknowledge((receipt.id,))
    assert len(path.read_bytes().splitlines()) < 60
    with journal_at(path) as journal:
        assert journal.sequences == {("t", "k"): (199, "digest")}


@pytest.mark.parametrize(
    ("samples", "energy", "expected"), [(0, 0, None), (10, 0, None), (1, 32768**2, 0.0), (4, 4 * 3277**2, -20.0)]
)
def test_level(samples: int, energy: int, expected: float | None) -> None:
    assert level(samples, energy) == expected


@given(st.integers(0, 2**47))
def test_uuid7_is_one_and_sorts_by_time(now: int) -> None:
    value = uuid.UUID(uuid7(now))
    assert (value.version, value.variant) == (7, uuid.RFC_4122)
    assert value.int >> 80 == now
    assert uuid7(now) < uuid7(now + 1)
