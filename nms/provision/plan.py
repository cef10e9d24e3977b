"""What would be done to a device: the difference between its manifest and its facts. Pure.

Drift is what is not as Loa left it; where the inventory changed as well, one change goes from what was found to what is
wanted. The diffs are for people: what a device said is cleaned of control characters, a secret is only a word.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Final

from inventory.diagnostics import Diagnostic
from inventory.model import DeviceId
from nms.provision.values import (
    Action,
    Change,
    DevicePlan,
    Facts,
    Family,
    Kind,
    Manifest,
    Observed,
    Plan,
    Resource,
    digest_of,
)

SECRET_WORD: Final = "<secret>"  # noqa: S105 (stands in a diff for what is not shown)
UNKEPT_WORD: Final = "<not kept>"
"""Stands in a diff for a text that is binary or too long."""

_ANY: Final = digest_of("")
_DIGEST_SHOWN: Final = 12
_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")


def make(
    manifest: Manifest,
    facts: Facts | None,
    unreachable_since: datetime | None = None,
    problem: Diagnostic | None = None,
) -> DevicePlan:
    """What brings the device to its manifest; without facts only that nothing is known. ``problem``: why it cannot be
    reached."""
    empty = DevicePlan(manifest.device, manifest.family, manifest.digest)
    empty = replace(empty, unreachable_since=unreachable_since, problem=problem)
    if facts is None:
        return empty
    changes = tuple(changes_of(manifest, facts))
    return replace(empty, known=facts.digest, known_at=facts.at, changes=changes)


def without(device: DeviceId, family: Family, problem: Diagnostic) -> DevicePlan:
    """The part of a device that has no manifest."""
    return DevicePlan(device, family, "", problem=problem)


def changes_of(manifest: Manifest, facts: Facts) -> Iterator[Change]:
    """In the manifest's order; what is to go comes last."""
    for key, resource in manifest.resources.items():
        found = facts.found.get(key)
        if found is None or not _is(resource, found):
            action = _action(key, found, facts)
            yield Change(action, resource.kind, resource.name, tuple(_diff(resource, found)))
    versions = {_beside(one.name) for one in manifest.resources.values() if one.kind is Kind.ARTIFACT}
    for key in sorted(facts.applied.keys() - manifest.resources.keys()):
        kind, _, name = key.partition(":")
        if kind == Kind.PACKAGE:  # stays on the device: removing it could take others along
            continue
        if kind == Kind.ARTIFACT and _beside(name) in versions:  # the device keeps the version before, to go back to
            continue
        yield Change(Action.REMOVE, Kind(kind), name)


def _beside(path: str) -> str:
    """The folder in which an artifact's versions lie side by side."""
    return path.rpartition("/")[0]


def drifted(facts: Facts) -> tuple[str, ...]:
    """The keys of what is not as Loa left it."""
    return tuple(key for key, left in facts.applied.items() if not _left(key, left, facts.found.get(key)))


def state_wanted(manifest: Manifest) -> str:
    """A digest that is ``state_left``'s where the device is as the manifest wants it."""
    return _state((key, resource.digest) for key, resource in manifest.resources.items())


def state_left(facts: Facts) -> str:
    """A digest of what Loa left on a device that is still so and has nothing else that was asked for; else empty."""
    if facts.found.keys() != facts.applied.keys() or drifted(facts):
        return ""
    return _state(facts.applied.items())


def _state(pairs: Iterable[tuple[str, str]]) -> str:
    return hashlib.sha256("".join(f"{key}\0{digest}\n" for key, digest in sorted(pairs)).encode()).hexdigest()


def only_drift(plan: Plan) -> Plan:
    """The plan's part that people caused on the devices: a report, not to be applied."""
    devices = (replace(d, changes=tuple(c for c in d.changes if c.action is Action.DRIFT)) for d in plan.devices)
    return replace(plan, devices=tuple(devices))


def counts(devices: Iterable[DevicePlan]) -> Mapping[Action, int]:
    """How many changes of each kind."""
    found = Counter(change.action for device in devices for change in device.changes)
    return {action: found[action] for action in Action}


def _is(resource: Resource, found: Observed) -> bool:
    """Whether the device has it; of a package without a version wanted, any does."""
    return found.digest == resource.digest or (resource.kind is Kind.PACKAGE and not resource.text)


def _left(key: str, left: str, found: Observed | None) -> bool:
    return found is not None and (found.digest == left or (key.startswith(f"{Kind.PACKAGE}:") and left == _ANY))


def _action(key: str, found: Observed | None, facts: Facts) -> Action:
    left = facts.applied.get(key)
    if left is not None and not _left(key, left, found):
        return Action.DRIFT
    return Action.CREATE if found is None else Action.CHANGE


def _diff(resource: Resource, found: Observed | None) -> Iterator[str]:
    if resource.secret:
        yield from _words(SECRET_WORD if found else "", SECRET_WORD)
    elif resource.kind is Kind.ARTIFACT:
        old = (found.text or found.digest)[:_DIGEST_SHOWN] if found else ""
        yield from _words(printable(old), resource.text[:_DIGEST_SHOWN])
    elif resource.kind is Kind.FILE:
        yield from _file(resource, found)
    else:
        old = (UNKEPT_WORD if found.text is None else found.text) if found else ""
        yield from map(printable, _words(old, resource.text))


def _words(old: str, new: str) -> Iterator[str]:
    if old:
        yield f"-{old}"
    if new:
        yield f"+{new}"


def _file(resource: Resource, found: Observed | None) -> Iterator[str]:
    """Owner and mode first, where they are new, then unified lines."""
    if found is None:
        yield f"+{resource.attributes}"
        yield from map(printable, _unified("", resource.text))
    elif found.text is None:
        yield from (f"-{UNKEPT_WORD}", f"+{resource.attributes}")
    else:
        if digest_of(found.text, resource.attributes) != found.digest:
            yield f"+{resource.attributes}"
        yield from map(printable, _unified(found.text, resource.text))


def _unified(old: str, new: str) -> Iterator[str]:
    """Without the two lines that name the files."""
    for line in islice(difflib.unified_diff(_LINE.findall(old), _LINE.findall(new)), 2, None):
        yield line.removesuffix("\n")
        if not line.endswith("\n"):
            yield "\\ No newline at end of file"


def printable(text: str) -> str:
    """What a device says can neither steer a terminal nor turn the direction of writing."""
    return "".join(c if c.isprintable() or c == "\t" else f"\\x{ord(c):02x}" for c in text)
