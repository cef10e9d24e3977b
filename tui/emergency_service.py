"""What the hub answers about emergencies from scripts: which there are, whom one would reach, and their bulletins.

What is made here waits for a signature: the client signs with the unit's key and hands it in with ``approve``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from audio import emergency
from audio.bulletin import addressed
from audio.documents import Audience
from audio.emergency import Emergencies, Made, Prepared
from audio.scripts import After
from inventory.check_scripts import SPOKEN, blanks
from inventory.model import Device, DeviceKind, Script
from nms.moments import to_milliseconds
from tui import emergency_methods as e
from tui import methods as m
from tui.answers import done
from tui.hub import Caller, Handler, Refusal, refuse
from tui.overview import Places

if TYPE_CHECKING:
    from nms.monitor.loop import Snapshot

LOST = ("down", "unreachable")


class EmergencyService:
    """``where``: the places of today; ``latest``: the fleet as last known; ``unheard``: the silenced of an audience."""

    def __init__(
        self,
        where: Callable[[], Places],
        latest: Callable[[], Snapshot | None],
        unheard: Callable[[Audience], Awaitable[tuple[m.Silenced, ...]]],
        emergencies: Emergencies,
    ) -> None:
        self._where = where
        self._latest = latest
        self._unheard = unheard
        self._emergencies = emergencies

    def handlers(self) -> dict[str, Handler]:
        answers: tuple[tuple[m.Method[Any, Any], Any], ...] = (
            (e.SCRIPTS, self.scripts),
            (e.CALL_PREVIEW, self.preview),
            (e.CALL, self.call),
            (e.FOLLOW, self.follow),
        )
        return {method.name: Handler(method, answer=answer) for method, answer in answers}

    async def scripts(self, _: Caller, __: m.Nothing) -> e.ScriptRows:
        return e.ScriptRows(tuple(_script_row(s) for s in self._where().network.scripts.values()))

    async def preview(self, caller: Caller, params: e.Call) -> e.CallPreview:
        found: Prepared = done(await self._emergencies.prepare(caller.known(), _call(params)))
        places = self._where()
        meant = addressed(places.network, places.on, found.audience)
        boards = sum(
            d.kind is DeviceKind.BOARD and found.unit.id in places.chains[d.id] for d in places.devices.values()
        )
        return e.CallPreview(
            area=found.unit.name,
            word=found.word,
            cls=str(found.script.cls),
            text=found.text,
            devices=len(meant),
            lost=tuple(row for d in meant if (row := self._lost(places, d)) is not None),
            boards=boards,
            languages=_languages(places, meant, found.languages),
            alone=found.alone,
            problems=refuse(found.problems).problems,
            warnings=refuse(found.warnings).problems,
            silenced=await self._unheard(found.audience),
        )

    async def call(self, caller: Caller, params: e.Call) -> m.Submitted:
        return _made(await self._emergencies.call(caller.known(), _call(params), uid=caller.uid))

    async def follow(self, caller: Caller, params: e.Follow) -> m.Submitted:
        if params.what not in list(After):
            fields = {"value": params.what, "known": ", ".join(After)}
            raise Refusal(m.Problem("CFG107", "no class is called '{value}'", "one of: {known}", fields))
        what = After(params.what)
        person = caller.known()
        return _made(await self._emergencies.follow(person, params.bulletin, what, params.text, uid=caller.uid))

    def _lost(self, places: Places, device: Device) -> e.LostRow | None:
        snapshot = self._latest()
        health = snapshot.healths.get(device.id) if snapshot else None
        if health is None or str(health.state) not in LOST:
            return None
        since = to_milliseconds(health.since)
        return e.LostRow(device.id, places.hamlet(device), str(health.state), since, places.contact(device))


def _call(params: e.Call) -> emergency.Call:
    return emergency.Call(params.script, params.area, params.values, params.typed)


def _made(outcome: Any) -> m.Submitted:
    found: Made = done(outcome)
    return m.Submitted(found.bulletin, found.content.duration_ms, found.content.lufs, found.content.source)


def _script_row(script: Script) -> e.ScriptRow:
    text = script.alarm.text[SPOKEN]
    return e.ScriptRow(script.id, script.title, str(script.cls), text, blanks(text))


def _languages(places: Places, devices: tuple[Device, ...], has: tuple[str, ...]) -> dict[str, int]:
    """As ``Bulletin.said`` has it: those of the hamlet that there are, in its order; else Vietnamese."""
    counted: Counter[str] = Counter()
    for device in devices:
        hamlet = places.network.hamlets.get(device.hamlet) if device.hamlet else None
        listens = hamlet.languages if hamlet else (SPOKEN,)
        counted[", ".join(one for one in listens if one in has) or SPOKEN] += 1
    return dict(counted.most_common())
