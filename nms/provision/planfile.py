"""A plan as a file: JSON, one device on each line, read strictly; and what has changed since it was made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from inventory.diagnostics import Diagnostic, Place
from inventory.model import DeviceId
from nms.i18n import VIETNAM
from nms.provision.plan_faults import fault
from nms.provision.problems import from_json, to_json
from nms.provision.values import Action, Change, DevicePlan, Family, Kind, Plan

T = TypeVar("T")

FORMAT_VERSION: Final = 1
_HEAD: Final = frozenset({"format_version", "id", "made", "by", "selection", "inputs", "devices"})
_DEVICE: Final = frozenset(
    {"device", "family", "wanted", "known", "known_at", "changes", "unreachable_since", "problem"}
)
_CHANGE: Final = frozenset({"action", "kind", "name", "diff"})
_NAMED: Final = 5
"""Devices that a sentence names."""


def pieces(plan: Plan, size: int = 200) -> Iterator[str]:
    """The file's text in pieces of ``size`` devices."""
    head = {
        "format_version": FORMAT_VERSION,
        "id": plan.id,
        "made": _time(plan.made),
        "by": plan.by,
        "selection": plan.selection,
        "inputs": dict(plan.inputs),
    }
    yield _dumps(head)[:-1] + ',"devices":[\n'
    lines = [_dumps(device_document(device)) for device in plan.devices]
    for start in range(0, len(lines), size):
        end = ",\n" if start + size < len(lines) else "\n"
        yield ",\n".join(lines[start : start + size]) + end
    yield "]}\n"


def dumps(plan: Plan) -> str:
    """The file's text. Holds no secret: a plan has none."""
    return "".join(pieces(plan))


def device_document(device: DevicePlan) -> dict[str, Any]:
    """What is empty is left out."""
    found: dict[str, Any] = {"device": device.device, "family": str(device.family)}
    found |= {name: value for name in ("wanted", "known") if (value := getattr(device, name))}
    times = ((name, getattr(device, name)) for name in ("known_at", "unreachable_since"))
    found |= {name: _time(at) for name, at in times if at is not None}
    if device.changes:
        found["changes"] = [_change_document(change) for change in device.changes]
    if device.problem is not None:
        found["problem"] = to_json(device.problem)
    return found


def loads(text: str, file: str) -> Plan | Diagnostic:
    """The plan in a file's text, or why it is none."""
    try:
        raw = json.loads(text)
    except RecursionError:
        return fault("PLN210", file, file=file, reason="JSON")
    except ValueError as error:
        line = getattr(error, "lineno", 0)
        return fault("PLN210", Place(file, line, getattr(error, "colno", 0)), file=file, reason="JSON")
    if isinstance(raw, dict) and raw.get("format_version", FORMAT_VERSION) != FORMAT_VERSION:
        return fault("PLN211", file, found=raw["format_version"], wanted=FORMAT_VERSION)
    try:
        return _plan(raw)
    except _Unfit as unfit:
        return fault("PLN210", file, file=file, reason=unfit.path)


def stale(
    plan: Plan, inputs: Mapping[str, str], wanted: Mapping[DeviceId, str], known: Mapping[DeviceId, str]
) -> tuple[Diagnostic, ...]:
    """What is not as it was when the plan was made; empty where it may be applied.

    ``wanted`` and ``known`` are the present digests of manifests and facts by device, of the plan's devices at least.
    """
    found = [fault(code) for name, code in _INPUTS.items() if plan.inputs.get(name) != inputs.get(name)]
    others = [d.device for d in plan.devices if d.wanted != wanted.get(d.device, "")]
    changed = [d.device for d in plan.devices if d.known != known.get(d.device, "")]
    found += [fault("PLN222", devices=_some(others))] if others else []
    found += [fault("PLN223", devices=_some(changed))] if changed else []
    return tuple(found)


_INPUTS: Final = {"inventory": "PLN220", "templates": "PLN221"}


def _some(devices: list[DeviceId]) -> str:
    named = ", ".join(devices[:_NAMED])
    return f"{named}, … ({len(devices)})" if len(devices) > _NAMED else named


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _time(at: datetime) -> str:
    return at.astimezone(VIETNAM).isoformat(timespec="milliseconds")


def _change_document(change: Change) -> dict[str, Any]:
    found: dict[str, Any] = {"action": str(change.action), "kind": str(change.kind), "name": change.name}
    return found | ({"diff": list(change.diff)} if change.diff else {})


class _Unfit(Exception):
    """Something does not fit; ``path`` says what, as in ``devices[3].action``."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def _plan(raw: Any) -> Plan:
    head = _record(raw, _HEAD, _HEAD, "")
    inputs = _record(head["inputs"], None, frozenset(), "inputs")
    devices = _list(head["devices"], "devices")
    return Plan(
        id=_text(head, "id", ""),
        made=_moment(head, "made", ""),
        by=_text(head, "by", ""),
        selection=_text(head, "selection", ""),
        inputs={name: _text(inputs, name, "inputs.") for name in inputs},
        devices=tuple(_device(one, f"devices[{n}]") for n, one in enumerate(devices)),
    )


def _device(raw: Any, path: str) -> DevicePlan:
    one = _record(raw, _DEVICE, frozenset({"device", "family"}), path)
    at = f"{path}."
    changes = _list(one.get("changes", []), f"{at}changes")
    return DevicePlan(
        device=DeviceId(_text(one, "device", at)),
        family=_made(Family, one["family"], f"{at}family"),
        wanted=_text(one, "wanted", at) if "wanted" in one else "",
        known=_text(one, "known", at) if "known" in one else "",
        known_at=_moment(one, "known_at", at) if "known_at" in one else None,
        changes=tuple(_change(change, f"{at}changes[{n}]") for n, change in enumerate(changes)),
        unreachable_since=_moment(one, "unreachable_since", at) if "unreachable_since" in one else None,
        problem=_made(from_json, one["problem"], f"{at}problem") if "problem" in one else None,
    )


def _change(raw: Any, path: str) -> Change:
    one = _record(raw, _CHANGE, _CHANGE - {"diff"}, path)
    diff = _list(one.get("diff", []), f"{path}.diff")
    if not all(isinstance(line, str) for line in diff):
        raise _Unfit(f"{path}.diff")
    kind, action = _made(Kind, one["kind"], f"{path}.kind"), _made(Action, one["action"], f"{path}.action")
    return Change(action, kind, _text(one, "name", f"{path}."), tuple(diff))


def _record(raw: Any, known: Iterable[str] | None, needed: frozenset[str], path: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise _Unfit(path or "{}")
    before = f"{path}." if path else ""
    for missing in sorted(needed - raw.keys()):
        raise _Unfit(before + missing)
    for unknown in sorted(raw.keys() - set(known if known is not None else raw)):
        raise _Unfit(before + unknown)
    return raw


def _list(raw: Any, path: str) -> list[Any]:
    if not isinstance(raw, list):
        raise _Unfit(path)
    return raw


def _text(record: Mapping[str, Any], name: str, before: str) -> str:
    value = record[name]
    if not isinstance(value, str):
        raise _Unfit(before + name)
    return value


def _moment(record: Mapping[str, Any], name: str, before: str) -> datetime:
    at = _made(datetime.fromisoformat, record[name], before + name)
    if at.utcoffset() is None:
        raise _Unfit(before + name)
    return at


def _made(make: Callable[[Any], T], raw: Any, path: str) -> T:
    try:
        return make(raw)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _Unfit(path) from None
