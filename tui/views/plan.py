"""A plan as technicians read it: what would be done device by device, who cannot be reached, the counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from inventory.diagnostics import Diagnostic, Severity, render
from nms.i18n import N_, local, number
from nms.provision.plan import SECRET_WORD, UNKEPT_WORD, counts
from nms.provision.planfile import device_document
from nms.provision.values import Action, Change, DevicePlan, Plan

Translate = Callable[[str], str]
Paint = Callable[[str, str], str]
"""Text in a colour, or as it is."""

SIGNS: Final[Mapping[Action, tuple[str, str, str]]] = {
    Action.CREATE: ("+", N_("create"), "green"),
    Action.CHANGE: ("~", N_("change"), "yellow"),
    Action.DRIFT: ("!", N_("drift"), "magenta"),
    Action.REMOVE: ("-", N_("remove"), "red"),
}

KINDS: Final[Mapping[str, str]] = {
    "file": N_("file"),
    "service": N_("service"),
    "package": N_("package"),
    "artifact": N_("program"),
    "option": N_("option"),
}

_MASKS: Final = {SECRET_WORD: N_("<secret>"), UNKEPT_WORD: N_("<not kept>")}
_DIFF_COLOURS: Final = {"+": "green", "-": "red", "@": "cyan"}
_NAMED: Final = 8
"""Devices that a line names."""


def plain(text: str, colour: str) -> str:
    return text


def plan_lines(plan: Plan, translate: Translate, now: datetime, paint: Paint = plain) -> Iterator[str]:
    """Devices that would be changed, then those that cannot, then the counts."""
    for device in plan.devices:
        if device.changes:
            yield from _device(device, translate, now, paint)
            yield ""
    yield from _unreachable(plan.devices, translate, paint)
    yield from _problems(plan.devices, translate, paint)
    yield from _totals(plan.devices, translate, now)


def plan_json(plan: Plan) -> Mapping[str, Any]:
    """The plan, and what it comes to."""
    return {
        "id": plan.id,
        "selection": plan.selection,
        "inputs": dict(plan.inputs),
        "counts": {str(action): count for action, count in counts(plan.devices).items()},
        "changed": sum(1 for d in plan.devices if d.changes),
        "unreachable": [d.device for d in plan.devices if lost(d)],
        "devices": [device_document(d) for d in plan.devices],
    }


def lost(device: DevicePlan) -> bool:
    """Whether the device could not be asked when it was last tried."""
    return device.unreachable_since is not None


def broken(device: DevicePlan) -> bool:
    """Whether nothing can be planned for the device although it should be, and not because it does not answer."""
    problem = device.problem
    return problem is not None and problem.severity is Severity.ERROR and not lost(device)


def _device(device: DevicePlan, translate: Translate, now: datetime, paint: Paint) -> Iterator[str]:
    yield paint(device.device, "bold") + f"  {_known(device, translate, now)}"
    for change in device.changes:
        sign, word, colour = SIGNS[change.action]
        kind = translate(KINDS[change.kind])
        yield f"  {paint(f'{sign} {translate(word)}', colour)} {kind} {change.name}"
        yield from (f"      {line}" for line in _diff(change, translate, paint))


def _diff(change: Change, translate: Translate, paint: Paint) -> Iterator[str]:
    for line in change.diff:
        mask = _MASKS.get(line[1:])
        shown = line[0] + translate(mask) if mask is not None else line
        colour = _DIFF_COLOURS.get(line[:1])
        yield paint(shown, colour) if colour is not None else shown


def _known(device: DevicePlan, translate: Translate, now: datetime) -> str:
    if device.known_at is None:
        return ""
    message = N_("as it was {at} ({age} ago)")
    text = translate(message).format(at=local(device.known_at), age=age(now - device.known_at, translate))
    if device.unreachable_since is not None:
        text += " · " + translate(N_("lost since {at}")).format(at=local(device.unreachable_since))
    return text


def age(past: timedelta, translate: Translate) -> str:
    """``3 giờ``: in the largest unit of which there is one."""
    seconds = max(0, int(past.total_seconds()))
    for size, word in ((86_400, N_("{count} days")), (3_600, N_("{count} h")), (60, N_("{count} min"))):
        if seconds >= size:
            return translate(word).format(count=number(seconds // size))
    return translate(N_("{count} s")).format(count=seconds)


def _unreachable(devices: Iterable[DevicePlan], translate: Translate, paint: Paint) -> Iterator[str]:
    found = [d for d in devices if lost(d)]
    if not found:
        return
    yield paint(translate(N_("Not reachable")), "bold")
    for device in found:
        assert device.unreachable_since is not None
        why = device.problem.text(translate) if device.problem is not None else ""
        since = translate(N_("lost since {at}")).format(at=local(device.unreachable_since))
        yield f"  {device.device}  {since}" + (f" · {why}" if why else "")
    yield ""


def _problems(devices: Iterable[DevicePlan], translate: Translate, paint: Paint) -> Iterator[str]:
    """Each problem once, with the devices that have it."""
    found: dict[tuple[Any, ...], list[DevicePlan]] = {}
    for device in devices:
        if device.problem is not None and not lost(device):
            found.setdefault(_alike(device.problem), []).append(device)
    for some in found.values():
        problem = some[0].problem
        assert problem is not None
        colour = "red" if problem.severity is Severity.ERROR else "yellow"
        yield paint(render(problem, translate), colour)
        if len(some) > 1:
            names = ", ".join(d.device for d in some[:_NAMED]) + (", …" if len(some) > _NAMED else "")
            message = N_("{count} devices: {names}")
            yield "     = " + translate(message).format(count=number(len(some)), names=names)
        yield ""


def _alike(problem: Diagnostic) -> tuple[Any, ...]:
    """What problems of several devices have in common: all but the device's name and its line in the inventory."""
    fields = tuple(item for item in problem.fields.items() if item[0] != "device")
    return problem.code, fields, problem.place if problem.severity is Severity.ERROR else ""


def _totals(devices: Iterable[DevicePlan], translate: Translate, now: datetime) -> Iterator[str]:
    every = list(devices)
    changed = sum(1 for d in every if d.changes)
    silent, unknown = sum(map(lost, every)), sum(1 for d in every if not d.known)
    same = sum(1 for d in every if d.known and not d.changes)
    if changed:
        done = counts(every)
        parts = [f"{translate(SIGNS[a][1])} {number(n)}" for a, n in done.items() if n]
        text = translate(N_("{count} devices would be changed")).format(count=number(changed))
        yield f"{text}: {', '.join(parts)}."
    elif same:
        yield translate(N_("No changes.")) + " " + translate(N_("The devices are as the inventory says."))
    rest = ((same, N_("as wanted: {count}")), (unknown, N_("nothing known: {count}")), (silent, N_("lost: {count}")))
    line = " · ".join(translate(message).format(count=number(count)) for count, message in rest if count)
    if line:
        yield line
    yield from _oldest(every, translate, now)


def _oldest(devices: Iterable[DevicePlan], translate: Translate, now: datetime) -> Iterator[str]:
    times = [d.known_at for d in devices if d.known_at is not None]
    if times:
        message = N_("Oldest facts: {at} ({age} ago).")
        yield translate(message).format(at=local(min(times)), age=age(now - min(times), translate))
