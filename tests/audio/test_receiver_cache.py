from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from audio.receiver.cache import UNUSED, Cache, FetchError, HashError, fetch
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
