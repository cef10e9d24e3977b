"""What leaves the sound library and what stays, with a real store and real files."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from audio import retention
from audio.bulletin import State, compose
from audio.documents import Bulletin, ContentKind, NowKind, Result, Voice, encode
from audio.library import Library
from nms.store import AiringRow, BulletinRow, ContentRow, NowEntryRow, ReceiptRow, Store
from tests.audio.province import EVENING, ON, draft, network
from tests.audio.test_bulletin import Sound

KEEP = timedelta(days=30)
DAY = timedelta(days=1)


class Killed(Exception):
    pass


LONG_AGO = EVENING - timedelta(days=90)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "loa.db") as opened:
        yield opened


@pytest.fixture
def library(tmp_path: Path) -> Library:
    (tmp_path / "content").mkdir()
    return Library(tmp_path / "content", keep=KEEP)


def file(library: Library, name: str, age: timedelta = timedelta(days=90)) -> str:
    """A sound in the library that was imported so long ago."""
    data = name.encode()
    sha = hashlib.sha256(data).hexdigest()
    path = library._place(sha)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    then = time.time() - age.total_seconds()
    os.utime(path, (then, then))
    return sha


def bulletin(
    session: Session, sha: str, state: State, until: datetime = LONG_AGO + DAY, also: tuple[Voice, ...] = ()
) -> str:
    """A bulletin of 90 days ago."""
    made = compose(network(), ON, draft(), Sound(sha, kind=ContentKind.RECORDING), EVENING)
    assert isinstance(made, Bulletin)
    row = BulletinRow(
        id=made.id,
        version=1,
        state=state,
        cls=made.cls,
        tier=made.tier,
        origin=made.origin,
        title=made.title,
        author="chi",
        created=LONG_AGO,
        body=encode(replace(made, content=sha, also=also)),
        audience="",
        valid_from=LONG_AGO,
        valid_until=until,
    )
    session.add_all([row, ContentRow(sha=sha, size=1, duration_ms=1, codec="opus", created=LONG_AGO)])
    session.flush()
    return made.id


def airing(session: Session, name: str, latest: datetime) -> None:
    start = latest - timedelta(hours=1)
    session.add(AiringRow(id=name, bulletin=name, unit="23557", repeat=0, start=start, duration=8.0, latest=latest))


def order(session: Session, name: str, until: datetime) -> None:
    kind = NowKind.EMERGENCY
    row = NowEntryRow(id=name, target="u/64", issuer="64", kind=kind, from_=LONG_AGO, until=until, entry={})
    row.bulletin = name
    session.add(row)


def receipt(session: Session, name: str, received: datetime, content: str | None) -> None:
    row = ReceiptRow(
        id=name, device="23557-L01", airing="a", bulletin=name, repeat=0, result=Result.PLAYED, received=received
    )
    row.content = content
    session.add(row)


async def contents(store: Store) -> set[str]:
    return set(await store.read(lambda s: s.scalars(select(ContentRow.sha)).all()))


async def test_what_nobody_schedules_any_more_goes_with_its_row(store: Store, library: Library) -> None:
    over = [file(library, state) for state in ("aired", "failed", "cancelled")]
    orphan = file(library, "of a submission that was refused")
    for sha, state in zip(over, (State.AIRED, State.FAILED, State.CANCELLED), strict=True):
        await store.write(lambda s, sha=sha, state=state: bulletin(s, sha, state))  # type: ignore[misc]
    assert await retention.tidy(store, library, EVENING) == 4
    assert [library.path(sha) for sha in (*over, orphan)] == [None] * 4
    assert await contents(store) == set()
    assert await retention.tidy(store, library, EVENING) == 0


@pytest.mark.parametrize(
    "state", [State.SUBMITTED, State.RETURNED, State.APPROVED, State.SCHEDULED, State.AIRING], ids=str
)
async def test_what_an_open_bulletin_names_stays(store: Store, library: Library, state: State) -> None:
    sha = file(library, "open")
    await store.write(lambda s: bulletin(s, sha, state))
    assert await retention.tidy(store, library, EVENING) == 0
    assert library.path(sha) is not None
    assert await contents(store) == {sha}


@pytest.mark.parametrize("days", [1, -29], ids=["to come", "kept"])
@pytest.mark.parametrize("need", ["airing", "order", "validity"])
async def test_what_may_start_is_in_force_or_was_lately_stays(
    store: Store, library: Library, need: str, days: int
) -> None:
    sha, when = file(library, "needed"), EVENING + days * DAY

    def work(session: Session) -> None:
        name = bulletin(session, sha, State.AIRED, when if need == "validity" else LONG_AGO)
        if need == "airing":
            airing(session, name, when)
        elif need == "order":
            order(session, name, when)

    await store.write(work)
    assert await retention.tidy(store, library, EVENING) == 0
    assert library.path(sha) is not None
    assert await retention.tidy(store, library, when + KEEP + DAY) == 1


@pytest.mark.parametrize("named", [True, False])
async def test_what_receipts_of_a_week_speak_of_stays(store: Store, library: Library, named: bool) -> None:
    sha = file(library, "heard")

    def work(session: Session) -> None:
        name = bulletin(session, sha, State.AIRED)
        receipt(session, name, EVENING - 6 * DAY, sha if named else None)

    await store.write(work)
    assert await retention.tidy(store, library, EVENING) == 0
    assert await retention.tidy(store, library, EVENING + 2 * DAY) == 1


async def test_what_further_languages_say_stays_as_long_as_the_main_one(store: Store, library: Library) -> None:
    main, further = file(library, "main"), file(library, "further")
    await store.write(lambda s: bulletin(s, main, State.AIRING, also=(Voice("jra", further, 1),)))
    assert await retention.tidy(store, library, EVENING) == 0
    assert (library.path(main) is None, library.path(further) is None) == (False, False)


async def test_what_is_renewed_stays_and_what_is_gone_is_not_renewed(store: Store, library: Library) -> None:
    wanted, other = file(library, "wanted"), file(library, "other")
    assert library.renew(wanted)
    assert await retention.tidy(store, library, EVENING) == 1
    assert (library.renew(wanted), library.renew(other)) == (True, False)


async def test_what_was_imported_lately_stays_whoever_names_it(store: Store, library: Library) -> None:
    fresh = file(library, "fresh", timedelta(days=29))
    assert await retention.tidy(store, library, EVENING) == 0
    assert library.path(fresh) is not None


async def test_what_is_imported_again_in_the_middle_of_it_stays(
    store: Store, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = file(library, "again")
    removed = Library.remove

    def again(self: Library, gone: tuple[str, ...], before: float) -> int:
        file(library, "again", timedelta())
        return removed(self, gone, before)

    monkeypatch.setattr(Library, "remove", again)
    assert await retention.tidy(store, library, EVENING) == 0
    assert library.path(sha) is not None


async def test_a_run_that_was_cut_off_is_finished_by_the_next(
    store: Store, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, kept = file(library, "gone"), file(library, "kept")
    await store.write(lambda s: bulletin(s, gone, State.AIRED))
    await store.write(lambda s: bulletin(s, kept, State.SCHEDULED))

    def killed(*_: object) -> int:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(library, "remove", killed)
        with pytest.raises(Killed):
            await retention.tidy(store, library, EVENING)
    assert await contents(store) == {kept}
    assert await retention.tidy(store, library, EVENING) == 1
    assert (library.path(gone), library.path(kept) is None) == (None, False)


def link(library: Library, sha: str, mp3: str) -> None:
    library._link(sha).symlink_to(f"../{mp3[:2]}/{mp3}")


async def test_an_mp3_stays_as_long_as_a_sound_that_is_linked_to_it(store: Store, library: Library) -> None:
    lean, usual, shared, alone = (file(library, name) for name in ("lean", "usual", "shared", "alone"))
    other = file(library, "other")
    for sha, mp3 in ((lean, shared), (usual, shared), (other, alone)):
        link(library, sha, mp3)
    await store.write(lambda s: bulletin(s, usual, State.SCHEDULED))
    assert await retention.tidy(store, library, EVENING) == 2
    assert (library.mp3(usual), library.mp3(lean), library.mp3(other)) == (shared, None, None)
    assert [library.path(sha) is not None for sha in (lean, usual, shared, alone, other)] == [
        *(False, True, True, False, False)
    ]
    # killed after the sound, before its link: the next run takes link and MP3
    library._place(usual).unlink()
    assert await retention.tidy(store, library, EVENING) == 1
    assert not [path for path in library._folder.rglob("*") if not path.is_dir()]


async def test_a_folder_that_cannot_be_read_is_no_reason_to_stop(store: Store, tmp_path: Path) -> None:
    assert await retention.tidy(store, Library(tmp_path / "missing"), EVENING) == 0


async def test_a_disk_that_fails_is_logged(
    store: Store, library: Library, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: float) -> frozenset[str]:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(library, "aged", fails)
    assert await retention.tidy(store, library, EVENING) == 0
    assert "Input/output error" in caplog.text
