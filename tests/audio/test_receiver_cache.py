from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from audio.receiver.cache import SOON, UNUSED, Cache, FetchError, HashError, fetch
from tests.audio.receiver_kit import ContentServer, Sound, content_server, make_sound, until


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    return make_sound(tmp_path_factory.mktemp("store"), 3_000, 21)


@pytest.fixture
def server(sound: Sound) -> Iterator[ContentServer]:
    with content_server(sound.path.parent) as server:
        yield server


class Told:
    def __init__(self) -> None:
        self.arrived: list[str] = []
        self.spoiled: list[str] = []


@pytest.fixture
def told() -> Told:
    return Told()


def cache_of(folder: Path, server: ContentServer, told: Told) -> closing[Cache]:
    return closing(Cache(folder, server.base, told.arrived.append, told.spoiled.append))


def test_what_is_wanted_is_fetched_once(tmp_path: Path, server: ContentServer, sound: Sound, told: Told) -> None:
    with cache_of(tmp_path, server, told) as cache:
        for _ in range(3):
            cache.want({sound.content: 0})
        until(lambda: told.arrived)
        cache.want({sound.content: 0})
        assert cache.has(sound.content)
        assert cache.held == (sound.content,)
        assert cache.path(sound.content).read_bytes() == sound.data
    assert told.arrived == [sound.content]
    assert server.requests == [(sound.content, "")]
    with cache_of(tmp_path, server, told) as again:
        assert again.has(sound.content)


def test_a_broken_fetch_is_resumed(tmp_path: Path, server: ContentServer, sound: Sound) -> None:
    server.short.add(sound.content)
    with pytest.raises(FetchError):
        fetch(server.base, sound.content, tmp_path)
    server.short.clear()
    fetch(server.base, sound.content, tmp_path)
    assert (tmp_path / sound.content).read_bytes() == sound.data
    assert server.requests[-1] == (sound.content, f"bytes={len(sound.data) // 2}-")
    assert [p.name for p in tmp_path.iterdir()] == [sound.content]


def test_what_is_not_what_was_asked_for_is_thrown_away(
    tmp_path: Path, server: ContentServer, sound: Sound, told: Told
) -> None:
    server.spoil.add(sound.content)
    with pytest.raises(HashError):
        fetch(server.base, sound.content, tmp_path)
    assert list(tmp_path.iterdir()) == []
    with cache_of(tmp_path, server, told) as cache:
        cache.want({sound.content: 0})
        until(lambda: told.spoiled)
        assert not cache.has(sound.content)
        server.spoil.clear()
        until(lambda: told.arrived)


def test_what_is_not_there_does_not_hold_up_the_rest(
    tmp_path: Path, server: ContentServer, sound: Sound, told: Told
) -> None:
    with cache_of(tmp_path, server, told) as cache:
        cache.want({"0" * 64: -1, sound.content: 0})
        until(lambda: told.arrived)
        assert not cache.has("0" * 64)


def test_a_fetch_is_spread_over_half_the_time_left(
    tmp_path: Path, server: ContentServer, sound: Sound, told: Told
) -> None:
    with cache_of(tmp_path, server, told) as cache:
        cache.want({sound.content: 10**9})
        cache.want({})
        cache.want({sound.content: 0})
        until(lambda: told.arrived)


def test_an_inline_sound_is_kept_and_an_unreadable_one_dropped(
    tmp_path: Path, server: ContentServer, sound: Sound, told: Told
) -> None:
    with cache_of(tmp_path, server, told) as cache:
        cache.put(sound.content, sound.data)
        assert cache.path(sound.content).read_bytes() == sound.data
        cache.drop(sound.content)
        assert not cache.has(sound.content)
        assert not cache.path(sound.content).exists()


def test_only_what_nobody_wanted_for_a_week_is_removed(tmp_path: Path, server: ContentServer, told: Told) -> None:
    now = 2_000_000_000.0
    names = {"a" * 64: UNUSED + 1, "b" * 64: UNUSED + 1, "c" * 64: UNUSED - 1}
    for name, age in names.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (now - age, now - age))
    with cache_of(tmp_path, server, told) as cache:
        cache.purge(now, frozenset({"b" * 64}))
        assert cache.held == ("b" * 64, "c" * 64)
        assert (tmp_path / ("b" * 64)).stat().st_mtime == now


KB = 1024
LATER = SOON + 3_600_000


def sound_of(folder: Path, fill: int, size: int = 10 * KB) -> str:
    """Bytes in the server's folder, by their name."""
    data = bytes([fill]) * size
    name = hashlib.sha256(data).hexdigest()
    (folder / name).write_bytes(data)
    return name


@pytest.fixture
def far(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Path, ContentServer]]:
    """A server's folder, and nobody who spreads the fetching over half a minute."""
    monkeypatch.setattr("audio.receiver.cache.SPREAD", 0)
    folder = tmp_path_factory.mktemp("far")
    with content_server(folder) as running:
        yield folder, running


def small(folder: Path, server: ContentServer, told: Told) -> closing[Cache]:
    """Room for three sounds."""
    return closing(Cache(folder, server.base, told.arrived.append, told.spoiled.append, None, 35 * KB))


def test_what_nobody_wants_goes_first_the_least_recently_wanted_before_others(
    tmp_path: Path, far: tuple[Path, ContentServer], told: Told
) -> None:
    folder, server = far
    names = [sound_of(folder, n) for n in range(4)]
    with small(tmp_path, server, told) as cache:
        for age, name in enumerate(names[:3]):
            cache.put(name, (folder / name).read_bytes())
            os.utime(tmp_path / name, (age * 100, age * 100))
        cache.want({names[0]: 0, names[3]: 0})
        until(lambda: told.arrived)
        assert cache.held == tuple(sorted((names[0], names[2], names[3])))


def test_what_is_needed_within_a_day_is_kept_beyond_the_quota(
    tmp_path: Path, far: tuple[Path, ContentServer], told: Told
) -> None:
    folder, server = far
    names = [sound_of(folder, n) for n in range(5)]
    with small(tmp_path, server, told) as cache:
        cache.want({names[0]: LATER, names[1]: LATER})
        until(lambda: len(told.arrived) == 2)
        os.utime(tmp_path / names[0], (0, 0))
        soon = dict.fromkeys(names[2:], SOON - 1)
        cache.want({names[0]: LATER, names[1]: LATER, **dict.fromkeys(names[2:], 0)})
        until(lambda: len(told.arrived) == 5)
        assert set(cache.held) == set(names[2:])
        # what gave way is not fetched again before its day
        cache.want({names[0]: LATER, names[1]: LATER, **soon})
        requests = len(server.requests)
        cache.want({names[0]: 0, **soon})
        until(lambda: len(told.arrived) == 6)
        assert set(cache.held) == {names[0], *names[2:]}
        assert server.requests[requests:] == [(names[0], "")]


def test_what_is_needed_later_does_not_push_out_its_like(
    tmp_path: Path, far: tuple[Path, ContentServer], told: Told
) -> None:
    folder, server = far
    names = [sound_of(folder, n) for n in range(4)]
    with small(tmp_path, server, told) as cache:
        cache.want(dict.fromkeys(names[:3], LATER))
        until(lambda: len(told.arrived) == 3)
        cache.want(dict.fromkeys(names, LATER))
        until(lambda: (names[3], "") in server.requests)
        until(lambda: names[3] not in cache._wants)
        assert set(cache.held) == set(names[:3])
        cache.want(dict.fromkeys(names, LATER))
        assert names[3] not in cache._wants


def test_a_full_disk_is_said_and_makes_room_of_what_nobody_wants(
    tmp_path: Path, far: tuple[Path, ContentServer], told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, server = far
    names = [sound_of(folder, n) for n in range(3)]
    real = fetch

    def full(*arguments: object) -> None:
        if (tmp_path / names[0]).exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*arguments)  # type: ignore[arg-type]

    with small(tmp_path, server, told) as cache:
        cache.put(names[0], (folder / names[0]).read_bytes())
        monkeypatch.setattr("audio.receiver.cache.fetch", full)
        cache.want({names[1]: 0})
        until(lambda: told.arrived == [names[1]])
        assert (cache.held, cache.lack) == ((names[1],), "no content")

        def never(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("audio.receiver.cache.write_atomic", never)
        cache.put(names[2], (folder / names[2]).read_bytes())
        assert not cache.has(names[2])
        assert cache.lack == "storage full"
