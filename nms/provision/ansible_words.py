"""What Ansible said of a device, in the hub's words. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from inventory.diagnostics import Diagnostic
from nms.provision.apply_faults import fault
from nms.provision.reach import Target, Unreached
from nms.provision.values import Facts, Kind, Observed, Outcome, Result

MODULE: Final = "loa_state"
REASON: Final = 300
"""Characters of a device's own words that are kept."""
MOST: Final = 2000
"""Resources of one device, and words about it."""
MOST_TEXT: Final = 64 * 1024
"""Characters of one resource, as many as devices send."""
_KINDS: Final = frozenset(Kind)
_SHA256: Final = re.compile(r"[0-9a-f]{64}").fullmatch
_NO_TEXT: Final = re.compile("[\0\ud800-\udfff]")
_BEFORE: Final = frozenset({"PLN300", "PLN301", "PLN302", "PLN303", "PLN304"})
"""What kept a device from being changed at all: it is as it was, and may be tried again."""
_NO_PYTHON: Final = re.compile(r"python3?: (?:command )?not found|python3?: No such file|python3: not executable")
_PREFIX: Final = re.compile(
    r"^(?:Task failed: )?(?:Failed to connect to the host via|.{,200}can be reached over) ssh: ", re.I
)
"""Ansible's words around ssh's."""


@dataclass(frozen=True, slots=True)
class Told:
    """``outcome``: APPLIED where the module answered, FAILED where it refused, LOST where the connection did not last.

    ``answer`` is the module's; ``reason`` what ssh or the device said; ``unlinked`` why no connection was made at all;
    ``hub`` what is wrong on this side; ``late``: seconds after which nobody waited any longer. ``sent`` and
    ``received`` in bytes.
    """

    outcome: Outcome
    answer: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    unlinked: str = ""
    hub: str = ""
    late: float = 0.0
    sent: int = 0
    received: int = 0


def told(event: Mapping[str, Any]) -> Told | None:
    """What an event says that decides about its device; None if nothing does."""
    said = event.get("res")
    answer = said if isinstance(said, Mapping) else {}
    if event["event"] == "runner_on_unreachable":
        return Told(Outcome.LOST, reason=_last(str(answer.get("msg", ""))))
    ours = str(event.get("task_action", "")).rpartition(".")[2] == MODULE
    if event["event"] == "runner_on_failed" and not event.get("ignore_errors"):
        return Told(Outcome.FAILED, answer if ours else {}, _reason(answer))
    return Told(Outcome.APPLIED, answer) if ours and event["event"] == "runner_on_ok" else None


def with_ssh(what: Told, said: str) -> Told:
    """With ssh's own words, where the connection was lost and it had any."""
    words = _last(said)
    return replace(what, reason=words) if what.outcome is Outcome.LOST and words else what


def facts_of(target: Target, what: Told, now: datetime) -> Facts | Unreached:
    problem = _problem(target, what)
    if problem is not None:
        return Unreached(target.device, problem)
    try:
        return _facts(target, what.answer.get("facts"), now)
    except _Unfit as unfit:
        return Unreached(target.device, fault("PLN326", device=target.device, reason=unfit))


class _Unfit(ValueError):
    """The part of an answer that is none."""


def _facts(target: Target, told_of: Any, now: datetime) -> Facts:
    """Whoever has the device in his hands says what he likes: it is his, and must fit. Raises _Unfit."""
    given = _mapping(told_of, "facts")
    found = {_key(key): _observed(target, key, one) for key, one in _mapping(given.get("found", {}), "found").items()}
    applied = {_key(k): _digest(one) for k, one in _mapping(given.get("applied", {}), "applied").items()}
    host = {_last(str(k), REASON): _last(str(v), REASON) for k, v in _mapping(given.get("host", {}), "host").items()}
    return Facts(target.device, now, found, applied, host)


def _mapping(raw: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping) or len(raw) > MOST:
        raise _Unfit(name)
    return raw


def _key(raw: str) -> str:
    kind, _, name = raw.partition(":")
    if kind not in _KINDS or not name.isprintable() or len(raw) > REASON:
        raise _Unfit(_last(raw, 80))
    return raw


def _digest(raw: Any) -> str:
    if not isinstance(raw, str) or _SHA256(raw) is None:
        raise _Unfit("digest")
    return raw


def _observed(target: Target, key: str, raw: Any) -> Observed:
    """A device that Loa has never changed does not know which of its files are secret; their texts end here."""
    told_of, wanted = _mapping(raw, _last(key, 80)), target.manifest.resources.get(key)
    text = told_of.get("text")
    told_text = isinstance(text, str) and not (wanted is not None and wanted.secret) and _keepable(text)
    return Observed(_digest(told_of.get("digest")), text if told_text else None)


def _keepable(text: str) -> bool:
    """Whether every database takes it."""
    return len(text) <= MOST_TEXT and _NO_TEXT.search(text) is None


def change_result(target: Target, what: Told, now: datetime) -> Result:
    """What an apply did, as far as it is known before anybody looked whether the device is in contact.

    LOST means that nobody knows: the connection ended meanwhile.
    """
    problem = _problem(target, what)
    facts = None
    with suppress(_Unfit):
        facts = _facts(target, what.answer.get("facts"), now)
    outcome = what.outcome
    if problem is None and not what.answer.get("changed"):
        outcome = Outcome.UNCHANGED
    elif problem is not None and problem.code in _BEFORE:
        outcome = Outcome.DEFERRED
    return Result(target.device, outcome, problem, what.sent, what.received, facts)


def unconfirmed(target: Target, what: Told) -> Diagnostic | None:
    """Why a confirmation did not reach the device or was refused; None if it was taken."""
    problem = _problem(target, what)
    if problem is None or problem.code != "PLN307":
        return problem
    return fault("PLN312", device=target.device, reason=problem.fields["reason"])


def _problem(target: Target, what: Told) -> Diagnostic | None:
    device = target.device
    if what.hub:
        return fault("PLN315", reason=what.hub)
    if what.late:
        return fault("PLN306", device=device, seconds=f"{what.late:.0f}")
    if what.outcome is Outcome.LOST:
        return _unreachable(device, what)
    if what.outcome is Outcome.FAILED:
        return _failed(device, what)
    return None


def _unreachable(device: str, what: Told) -> Diagnostic:
    """ssh's words, and those of ``link``. Where they do not say that nothing can have happened, something may have."""
    if what.unlinked:
        return fault("PLN300", device=device, reason=what.unlinked)
    code = next((code for sign, code in _SSH.items() if sign in what.reason), "PLN308")
    return fault(code, device=device, reason=what.reason)


_SSH: Final[Mapping[str, str]] = {
    "Host key verification failed": "PLN301",
    "REMOTE HOST IDENTIFICATION HAS CHANGED": "PLN301",
    "No ED25519 host key is known": "PLN301",
    "no matching host key type": "PLN301",
    "Permission denied": "PLN302",
    "Too many authentication failures": "PLN302",
    "during banner exchange": "PLN300",
    "kex_exchange_identification": "PLN300",
}


def _failed(device: str, what: Told) -> Diagnostic:
    if _NO_PYTHON.search(what.reason):
        return fault("PLN303", device=device)
    full = what.answer.get("reason") == "disk_full" or "No space left on device" in what.reason
    if full and not what.answer.get("reverted"):
        return fault("PLN304", device=device)
    return fault("PLN307", device=device, reason=what.reason)


def _reason(answer: Mapping[str, Any]) -> str:
    words = " ".join(str(answer.get(name, "")) for name in ("msg", "module_stderr", "module_stdout"))
    return _last(words, REASON)


def _last(text: str, most: int = 4 * REASON) -> str:
    """One line, without control characters: a device's words go to a terminal."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return _PREFIX.sub("", clean)[:most]
