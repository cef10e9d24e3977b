"""Kept configurations: numbered, each only once in a row, comparable; of Linux devices what they said of themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from inventory.diagnostics import Diagnostic
from inventory.model import DeviceId
from nms.provision import backup
from nms.provision import facts as known
from nms.provision.backup import Backed, Why
from nms.provision.reach import Target, Unreached
from nms.provision.values import Facts, Family, Manifest, Observed, Outcome, Result, digest_of
from nms.store import Store

DEVICE, OTHER = DeviceId("24112-M01"), DeviceId("24112-L02")
NOW = datetime(2025, 11, 10, 16, tzinfo=UTC)


def at(minutes: int) -> datetime:
    return NOW + timedelta(minutes=minutes)


def test_a_backup_is_kept_when_it_says_something_new(location: str) -> None:
    with Store.open(location) as store:
        written = [
            store.write_sync(lambda s, n=n, t=t: backup.keep(s, DEVICE, Why.ASKED, t, at(n), "lan"))  # type: ignore[misc]
            for n, t in enumerate(("một", "một", "hai", "một"))
        ]
        assert written == [True, False, True, True]
        store.write_sync(lambda s: backup.keep(s, OTHER, Why.BEFORE, "một", at(9)))
        found = store.read_sync(lambda s: backup.history(s, DEVICE))
        assert [(one.number, one.at, one.text) for one in found] == [
            (1, at(0), "một"),
            (2, at(2), "hai"),
            (3, at(3), "một"),
        ]
        assert found[0].digest == found[2].digest
        assert store.read_sync(lambda s: backup.count(s, DEVICE)) == 3


def test_a_difference_shows_lines_and_steers_no_terminal() -> None:
    assert backup.difference("a\nb\n", "a\nb\n") == ()
    assert backup.difference("a\nb\x1b[2J\n", "a\nc\n") == ("@@ -1,2 +1,2 @@", " a", "-b\\x1b[2J", "+c")


def facts(text: str) -> Facts:
    found = {"file:/etc/x": Observed(digest_of(text), text), "file:/etc/key": Observed("ab" * 32)}
    return Facts(OTHER, NOW, found)


class Device:
    """A Linux device that takes what it is given."""

    async def facts(self, targets: Sequence[Target]) -> AsyncIterator[Facts | Unreached]:
        yield facts("old")

    async def apply(self, targets: Sequence[Target], within: float) -> AsyncIterator[Result]:
        yield Result(OTHER, Outcome.APPLIED, facts=facts("new"))

    async def confirm(self, targets: Sequence[Target]) -> Mapping[DeviceId, Diagnostic | None]:
        return {OTHER: None}

    def spent(self, device: DeviceId) -> tuple[int, int]:
        return (1, 2)


async def test_what_linux_devices_were_like_is_kept_around_a_change(location: str) -> None:
    with Store.open(location) as store:
        minutes = iter(range(9))
        backed = Backed(Device(), store, lambda: at(next(minutes)))
        target = Target(OTHER, "127.0.0.1", "root", "", Manifest(OTHER, Family.LINUX, {}))
        await store.write(lambda s: known.write(s, [facts("old")], NOW))
        assert [one.outcome async for one in backed.apply([target], 60)] == [Outcome.APPLIED]
        assert await backed.confirm([target]) == {OTHER: None}
        assert backed.spent(OTHER) == (1, 2)
        found = await store.read(lambda s: backup.history(s, OTHER))
        assert [(one.why, one.text) for one in found] == [
            (Why.BEFORE, "== file:/etc/key\nsha256 " + "ab" * 32 + "\n== file:/etc/x\nold\n"),
            (Why.AFTER, "== file:/etc/key\nsha256 " + "ab" * 32 + "\n== file:/etc/x\nnew\n"),
        ]
