"""The policies that the offline root has signed: handed out anew when they change, and compared with the inventory.

A device keeps quiet hours, silent windows, exceptions and trusted keys by its policy alone. Who changes them in the
inventory has changed nothing on a device until ``loa policies`` was run; and a policy that ends unnoticed would leave a
device mute. Both are an alarm.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

from audio import trust
from audio.documents import DocumentError, Policy, decode
from audio.envelope import Refused, parse
from audio.trust import Signed
from inventory.model import TIMEZONE, DeviceId, Network
from nms.alarm_store import settle
from nms.alarms import AlarmKind, Raised
from nms.moments import to_milliseconds
from nms.outage import Outage
from nms.store import Store, StoreError

log = logging.getLogger("loa.policies")

EVERY: Final = 60.0
SOON: Final = timedelta(days=30)
"""A policy that ends so soon must be signed anew: the root key lies in a safe, and whoever has it may be away."""
KINDS: Final = (AlarmKind.POLICIES,)
SUBJECT: Final = "policies"


class Lack(StrEnum):
    """Why a device's policy must be signed anew, the worst first."""

    UNSIGNED = "unsigned"
    ENDING = "ending"
    OTHER = "other_policy"
    """It says something else than the inventory."""


def lacking(network: Network, signed: Iterable[Signed], now: datetime) -> Mapping[DeviceId, Lack]:
    """The devices whose policies must be signed anew: today's, or one that is in force soon. Pure."""
    if network.trust is None:
        return {}
    on, root = network.on(now.astimezone(TIMEZONE).date()), trust.root_key(network.trust).kid
    given: dict[DeviceId, list[Signed]] = {}
    for one in signed:
        given.setdefault(one.device, []).append(one)
    found, days = {}, network.turns(on, SOON.days)
    for device in trust.listeners(network, on):
        wanted = tuple(trust.course(network, device, days, network.trust))
        lack = _lack(wanted, given.get(device.id, ()), root, on, to_milliseconds(now))
        if lack is not None:
            found[device.id] = lack
    return found


def _lack(
    wanted: Sequence[tuple[date, Policy]], signed: Sequence[Signed], root: str, on: date, now: int
) -> Lack | None:
    last = max((n for n, one in enumerate(signed) if one.since <= on), default=None)
    if last is None:
        return Lack.UNSIGNED
    given = []
    for one in (one for one in signed[last:] if one.since < on + SOON):
        opened = parse(one.frame)
        if isinstance(opened, Refused) or opened.header.kid != root or opened.header.exp <= now:
            return Lack.UNSIGNED
        if opened.header.exp <= now + SOON // timedelta(milliseconds=1):
            return Lack.ENDING
        try:
            given.append((max(one.since, on), _ahead(decode(Policy, opened.body), now)))
        except DocumentError:
            return Lack.UNSIGNED
    return None if given == [(day, _ahead(policy, now)) for day, policy in wanted] else Lack.OTHER


def _ahead(policy: Policy, now: int) -> Policy:
    """Without what is over: it was signed when that was still to come."""
    return replace(
        policy,
        exceptions=tuple(e for e in policy.exceptions if e.until > now),
        silent=tuple(w for w in policy.silent if w.until > now),
    )


class PolicyWatch:
    """``hand_out`` gives other policies than those of the start to their devices: newly signed ones, and on the day of
    a merge those that were signed for it.
    """

    def __init__(
        self,
        bundle: trust.Bundle,
        store: Store,
        network: Callable[[], Network],
        clock: Callable[[], datetime],
        hand_out: Callable[[Mapping[str, bytes]], Awaitable[None]],
    ) -> None:
        self._bundle = bundle
        self._store = store
        self._network = network
        self._clock = clock
        self._hand_out = hand_out
        self._given = self._in_force()
        self._since: dict[Lack, datetime] = {}
        self._whole: tuple[Network, tuple[Signed, ...], date] | None = None
        """For which nothing was lacking."""

    async def run(self) -> None:
        """Look each minute until cancelled."""
        outage = Outage(log)
        while True:
            try:
                await self.look()
                outage.over("policies are compared again")
            except (StoreError, OSError, ValueError) as error:
                outage.begun("policies are not compared: %s", error)
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        given, network, now = self._in_force(), self._network(), self._clock()
        if given != self._given:
            log.info("other policies are in force: %d are handed out", len(given))
            await self._hand_out(given)
            self._given = given
        found = await asyncio.to_thread(self._lacking, network, now)
        worst = min(found.values(), key=list(Lack).index, default=None)
        self._since = {worst: self._since.get(worst, now)} if worst is not None else {}
        affected = tuple(sorted(found))
        raised = [Raised(SUBJECT, AlarmKind.POLICIES, at, str(lack), affected) for lack, at in self._since.items()]
        await self._store.write(lambda s: settle(s, KINDS, raised, now))

    def _lacking(self, network: Network, now: datetime) -> Mapping[DeviceId, Lack]:
        """As ``lacking``; where nothing was, nothing is on the same day while both sides are the same."""
        signed, day = self._bundle.read(), now.astimezone(TIMEZONE).date()
        whole = self._whole
        if whole is not None and whole[0] is network and whole[1] is signed and whole[2] == day:
            return {}
        found = lacking(network, signed, now)
        self._whole = None if found else (network, signed, day)
        return found

    def _in_force(self) -> Mapping[str, bytes]:
        on = self._network().on(self._clock().astimezone(TIMEZONE).date())
        return trust.in_force(self._bundle.read(), on)
