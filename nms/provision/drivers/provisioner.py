"""Modems behind the one door: reads and changes them through their drivers, several at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from time import sleep
from typing import Any, Final, TypeVar

from inventory.diagnostics import Diagnostic
from inventory.model import DeviceId
from nms.provision.apply_faults import fault
from nms.provision.drivers import faults
from nms.provision.drivers.faults import Failed, failed
from nms.provision.drivers.language import (
    MASK,
    Driver,
    Unchangeable,
    host,
    missing,
    plain,
    possible,
    recalled,
    wishes,
)
from nms.provision.drivers.routeros import RouterOS
from nms.provision.drivers.session import Access, Session, opened
from nms.provision.drivers.uci import Uci
from nms.provision.drivers.vtysh import Vtysh
from nms.provision.reach import Target, Unreached
from nms.provision.values import Facts, Family, Kind, Observed, Outcome, Result, digest_of

log = logging.getLogger("loa.drivers")

T = TypeVar("T")

DRIVERS: Final[Mapping[Family, Driver]] = {Family.UCI: Uci(), Family.ROUTEROS: RouterOS(), Family.VTYSH: Vtysh()}

PARALLEL: Final = 16
"""Sessions at a time: each is a thread that mostly waits for its link."""

TRIES: Final = 20
"""How often, a second apart, a device is asked whether its change works."""

Wish = Callable[[Target, Mapping[str, str], str], tuple[dict[str, str | None], tuple[str, ...]]]
"""From a device's options now (and the option it remembers in) to the options wanted and services to restart."""

Keep = Callable[[DeviceId, str, str], Coroutine[Any, Any, None]]
"""Takes a configuration without its secrets: of which device, why (before, after), the text."""

UNFORESEEN: Final = "PLN315"
"""The hub's own failure at one device: the others go on."""

BEFORE: Final = "before"
AFTER: Final = "after"


def of_manifest(
    target: Target, current: Mapping[str, str], memory: str
) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """The wish of an ordinary change: the device's manifest."""
    return wishes(target.manifest, current, memory)


@dataclass(frozen=True, slots=True)
class CliProvisioner:
    """``nms.provision.reach.Provisioner`` for modems. ``keep`` gets every configuration before and after a change."""

    access: Access
    clock: Callable[[], datetime]
    keep: Keep
    wish: Wish = of_manifest
    drivers: Mapping[Family, Driver] = field(default_factory=lambda: DRIVERS)
    _spent: dict[DeviceId, tuple[int, int]] = field(default_factory=dict, repr=False)

    def spent(self, device: DeviceId) -> tuple[int, int]:
        """Bytes sent and received for facts and confirmations, since this was asked last."""
        return self._spent.pop(device, (0, 0))

    async def facts(self, targets: Sequence[Target]) -> AsyncIterator[Facts | Unreached]:
        """What each device says about itself, as the answers come in."""
        async for target, answer in self._each(targets, self._facts):
            yield Unreached(target.device, answer) if isinstance(answer, Diagnostic) else answer

    async def apply(self, targets: Sequence[Target], within: float) -> AsyncIterator[Result]:
        """Each device on probation for ``within`` seconds, as they get done."""
        loop = asyncio.get_running_loop()

        def keep(device: DeviceId, text: str) -> None:
            asyncio.run_coroutine_threadsafe(self.keep(device, BEFORE, text), loop).result()

        async for target, answer in self._each(targets, lambda target: self._change(target, within, keep)):
            yield _unapplied(target, answer) if isinstance(answer, Diagnostic) else answer

    async def confirm(self, targets: Sequence[Target]) -> Mapping[DeviceId, Diagnostic | None]:
        """Ends the probation of every device that has what is wanted, seen over a new connection."""
        found: dict[DeviceId, Diagnostic | None] = {}
        async for target, answer in self._each(targets, self._confirm):
            if isinstance(answer, str):
                await self.keep(target.device, AFTER, answer)
            found[target.device] = answer if isinstance(answer, Diagnostic) else None
        return found

    async def export(self, targets: Sequence[Target]) -> AsyncIterator[tuple[DeviceId, str | Diagnostic]]:
        """Each device's configuration without its secrets."""
        async for target, answer in self._each(targets, self._export):
            yield target.device, answer

    async def _each(
        self, targets: Sequence[Target], work: Callable[[Target], T]
    ) -> AsyncIterator[tuple[Target, T | Diagnostic]]:
        """The work on every target in threads of its own, results as they come."""

        def one(target: Target) -> tuple[Target, T | Diagnostic]:
            try:
                return target, work(target)
            except Failed as failure:
                return target, failure.diagnostic
            except Exception as error:
                log.exception("%s: nobody thought of this", target.device)
                return target, fault(UNFORESEEN, device=target.device, reason=type(error).__name__)

        loop = asyncio.get_running_loop()
        pool = ThreadPoolExecutor(max(1, min(PARALLEL, len(targets))), thread_name_prefix="modem")
        try:
            for done in asyncio.as_completed([loop.run_in_executor(pool, one, target) for target in targets]):
                yield await done
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    # -- in a thread

    def _driver(self, target: Target) -> Driver:
        return self.drivers[target.manifest.family]

    @contextmanager
    def _counted(self, target: Target, driver: Driver) -> Iterator[Session]:
        """A session whose bytes are in no result."""
        with opened(target, driver.words, self.access) as session:
            try:
                yield session
            finally:
                before, now = self._spent.get(target.device, (0, 0)), session.traffic
                self._spent[target.device] = before[0] + now[0], before[1] + now[1]

    def _wanted(
        self, target: Target, current: Mapping[str, str], driver: Driver
    ) -> tuple[dict[str, str | None], tuple[str, ...]]:
        wanted, restarts = self.wish(target, current, driver.words.memory)
        return possible(driver.words, wanted), restarts

    def _facts(self, target: Target) -> Facts:
        driver = self._driver(target)
        with self._counted(target, driver) as session:
            text = session.run(driver.words.export)
        options = driver.parse(text)
        recall = recalled(options.get(driver.words.memory, ""))
        left = {f"{Kind.OPTION}:{name}": digest for name, digest in recall.items()}
        secret = {one.key for one in target.manifest.resources.values() if one.secret}
        keys = {key for key, one in target.manifest.resources.items() if one.kind is Kind.OPTION} | left.keys()
        found = {key: options[name] for key in keys if (name := key.removeprefix(f"{Kind.OPTION}:")) in options}
        observed = {key: _observed(value, key in secret) for key, value in found.items()}
        return Facts(target.device, self.clock(), observed, left, host(text))

    def _export(self, target: Target) -> str:
        driver = self._driver(target)
        with self._counted(target, driver) as session:
            return _keepable(driver, target, session.run(driver.words.export))

    def _change(self, target: Target, within: float, keep: Callable[[DeviceId, str], None]) -> Result:
        """Arm, change, hang up. A session that breaks while it changes says nothing yet: ``confirm`` finds out."""
        driver, device = self._driver(target), target.device
        with opened(target, driver.words, self.access) as session:
            text = session.run(driver.words.export)
            current = driver.parse(text)
            wanted, restarts = self._wanted(target, current, driver)
            if not missing(current, wanted):
                return Result(device, Outcome.UNCHANGED, None, *session.traffic)
            try:
                commands = driver.change(current, wanted, restarts)
            except Unchangeable as option:
                raise failed(faults.NO_COMMAND, device=device, option=str(option)) from None
            keep(device, _keepable(driver, target, text))
            session.run(driver.arm(within))
            problem = _tried(driver, target, session, commands, current)
            outcome = Outcome.APPLIED if problem is None else Outcome.FAILED
            return Result(device, outcome, problem, *session.traffic)

    def _confirm(self, target: Target) -> str:
        """Over connections made anew until the change works: one that was made before proves nothing."""
        for _ in range(TRIES):
            text = self._confirmed(target)
            if text:
                return text
            sleep(1.0)
        raise failed(faults.EARLY, device=target.device)

    def _confirmed(self, target: Target) -> str:
        """The configuration that stays; empty as long as it does not work yet."""
        driver, device = self._driver(target), target.device
        with self._counted(target, driver) as session:
            text = session.run(driver.words.export)
            current, probation = driver.parse(text), host(text).get("probation", "")
            wanted, _ = self._wanted(target, current, driver)
            absent = missing(current, wanted)
            if absent and driver.arm(0) and not probation:
                raise failed(faults.WENT_BACK, device=device)
            if not absent and probation == "early":
                return ""
            if absent:
                names = ", ".join(name for name in absent if name != driver.words.memory) or driver.words.memory
                raise failed(faults.NOT_TAKEN, device=device, options=names)
            try:
                session.run(driver.words.confirm)
            except Failed as failure:
                if failure.diagnostic.code == faults.REFUSED:
                    raise failed(faults.WENT_BACK, device=device) from None
                raise
        return _keepable(driver, target, text)


def _tried(
    driver: Driver, target: Target, session: Session, commands: Sequence[str], before: Mapping[str, str]
) -> Diagnostic | None:
    """The change; when a command is refused the device is told to go back at once, and why is answered."""
    try:
        session.run(commands)
    except Failed as failure:
        if failure.diagnostic.code != faults.REFUSED:
            return None
        _undo(driver, session, before)
        return _without_secrets(failure.diagnostic, target)
    return None


def _undo(driver: Driver, session: Session, before: Mapping[str, str]) -> None:
    """Best effort: what is armed goes back anyway. What cannot be armed is changed back."""
    try:
        session.run(driver.words.back)
        if not driver.arm(0):
            now = driver.parse(session.run(driver.words.export))
            session.run(driver.change(now, {**dict.fromkeys(now), **before}, ()))
    except Failed:
        return


def _unapplied(target: Target, problem: Diagnostic) -> Result:
    """Nothing was changed: a device that could not be got at is done when it returns. What nobody foresaw may have
    changed it."""
    if problem.code == UNFORESEEN:
        return Result(target.device, Outcome.LOST, problem)
    refused = problem.code in (faults.REFUSED, faults.NO_COMMAND)
    return Result(target.device, Outcome.FAILED if refused else Outcome.DEFERRED, problem)


def _observed(text: str, secret: bool) -> Observed:
    return Observed(digest_of(text), None if secret else text)


def _keepable(driver: Driver, target: Target, text: str) -> str:
    """An export without what the language or the manifest calls a secret."""
    shown = driver.kept(plain(text))
    for secret in _secrets(target):
        shown = shown.replace(secret, MASK)
    return shown


def _without_secrets(problem: Diagnostic, target: Target) -> Diagnostic:
    reply = problem.fields["reply"]
    for secret in _secrets(target):
        reply = reply.replace(secret, MASK)
    return failed(faults.REFUSED, device=target.device, reply=reply).diagnostic


def _secrets(target: Target) -> list[str]:
    return [one.text for one in target.manifest.resources.values() if one.secret and one.text]
