"""From a pre-approved script to an emergency: its blanks, who may send it alone, what has to be typed first.

Pure. The rules are domain.md's: a filled script for one commune needs one authorised person; a wider one, or free
words, a second one, or after a minute a typed reason (break-glass). An emergency is confirmed with the area's name, a
drill with another word. Words that follow an alarm need who may end it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from audio.bulletin import ALONE, may, order_kind, unit_name
from audio.documents import Audience, Bulletin, BulletinClass, NowKind
from audio.refusals import refuse
from audio.rights import Stored, may_approve, may_end
from audio.saying import say
from inventory.check_scripts import SPOKEN, blanks
from inventory.diagnostics import Diagnostic
from inventory.model import Network, Person, Script, ScriptClass, ScriptId, Tier, Unit, UnitId
from inventory.names import bare_name, key, unit_names
from nms.i18n import nfc

GLASS = timedelta(seconds=60)
"""How long a second person is waited for before one alone may send with a reason."""
LASTING = timedelta(hours=12)
"""A scripted emergency is repeated until its all-clear, and no longer than this."""
TOLD = timedelta(hours=12)
"""How long a correction or all-clear waits for a device that heard the alarm and is away."""
DRILL_WORD = "DIEN TAP"
LONGEST_BLANK = 60
"""Characters in one blank."""
_ENDS = re.compile(r"[!?;]|\.\s*\.")
"""What ends a sentence, or trails off, wherever it stands."""

Refusals = tuple[Diagnostic, ...]


class After(StrEnum):
    """What is said after an alarm: that it was wrong, or that it is over."""

    CORRECTION = "correction"
    ALL_CLEAR = "all_clear"


TITLES: Mapping[After, str] = {After.CORRECTION: "Tin đính chính", After.ALL_CLEAR: "Tin kết thúc"}
"""Begins the title of what follows; the bulletin's own title comes after it."""


class Submitted(Stored, Protocol):
    @property
    def created(self) -> datetime: ...


def find(network: Network, name: str) -> Script | Refusals:
    script = network.scripts.get(ScriptId(name))
    if script is None:
        return (refuse("BUL062", script=name, known=", ".join(sorted(network.scripts)) or "-"),)
    return script


def fill(script: Script, values: Mapping[str, str]) -> str | Refusals:
    """The script's Vietnamese words with every blank filled.

    A blank holds a place, an hour, an order: whoever may fill it alone does not say something else under its words.
    """
    text = script.alarm.text[SPOKEN]
    names = blanks(text)
    typed = {name: nfc(value.strip()) for name, value in values.items()}
    given = {name: " ".join(value.split()) for name, value in typed.items()}
    unknown = [name for name in given if name not in names]
    if unknown:
        return (refuse("BUL061", script=script.id, blanks=", ".join(unknown), known=", ".join(names) or "-"),)
    # at once, also while others are empty: who is filling them in sees it as soon as it is typed
    excess = [(name, what) for name in names if (what := _excess(typed.get(name, "")))]
    wrong = [refuse("BUL101", script=script.id, blank=n, most=LONGEST_BLANK, what=what) for n, what in excess]
    empty = [name for name in names if not given.get(name)]
    if empty:
        wrong.append(refuse("BUL060", script=script.id, blanks=", ".join(empty), blank=empty[0]))
    if wrong:
        return tuple(wrong)
    return re.sub(r"\{(\w+)\}", lambda found: given[found[1]], text)


def _excess(value: str) -> str:
    """What makes this more than the words of one blank: its length, a control character, the end of a sentence.

    The voice decides where a sentence ends: the points of ``2.500``, ``7.5 m`` and ``TP. Pleiku`` are read as words.
    """
    if len(value) > LONGEST_BLANK:
        return str(len(value))
    control = next((c for c in value if unicodedata.category(c)[0] == "C" or c in "\u2028\u2029"), None)
    if control is not None:
        return f"U+{ord(control):04X}"
    end = _ENDS.search(unicodedata.normalize("NFKC", value))
    if end is not None:
        return end[0]
    # between other words, because a text that begins with a point is read without it
    return next((sign for sign in say(f"tại {value} và").text if sign in ".!?;"), "")


def word(script: Script, unit: Unit) -> str:
    """What has to be typed before it is sent: the area's name, because numbers get copied unread."""
    if script.cls is ScriptClass.DRILL:
        return DRILL_WORD
    return bare_name(unit).upper()


def confirms(script: Script, unit: Unit, typed: str) -> bool:
    """Whether that was typed, with or without tones and the unit's type word."""
    if script.cls is ScriptClass.DRILL:
        return key(typed) == key(DRILL_WORD)
    return key(typed) in unit_names(unit)


def alone(network: Network, bulletin: Bulletin) -> bool:
    """Whether one authorised person suffices: words approved before, for a single commune."""
    return bool(bulletin.script) and one_commune(network, bulletin.audience)


def one_commune(network: Network, audience: Audience) -> bool:
    units = [network.units.get(UnitId(unit)) for unit in audience.units]
    single = len(units) == 1 and not (audience.groups or audience.devices)
    return single and units[0] is not None and units[0].tier is Tier.COMMUNE


def may_send(
    network: Network,
    person: Person,
    row: Submitted,
    authors: Collection[str],
    bulletin: Bulletin,
    now: datetime,
    reason: str = "",
) -> tuple[Diagnostic, ...]:
    """Why this person cannot put a submitted bulletin on the air now; ``reason``: that of a break-glass.

    ``authors`` as of ``may_approve``.
    """
    refused = may_approve(network, person, row, authors)
    if not refused or order_kind(bulletin) is None:
        return refused
    if bulletin.follows and row.state == "submitted":
        return may_end(network, person, row)
    if row.state != "submitted" or not may(network, person, ALONE, row.origin):
        return refused
    if alone(network, bulletin):
        return ()
    if bulletin.cls is not BulletinClass.EMERGENCY:
        return refused
    if not reason.strip():
        return (refuse("BUL065", unit=unit_name(network, row.origin), seconds=round(GLASS.total_seconds())),)
    passed = now - row.created
    if passed < GLASS:
        return (refuse("BUL066", passed=int(passed.total_seconds()), seconds=round(GLASS.total_seconds())),)
    return ()


def may_follow(network: Network, person: Person, row: Stored, bulletin: Bulletin) -> tuple[Diagnostic, ...]:
    """Why this person cannot say a correction or all-clear of that bulletin."""
    if order_kind(bulletin) not in (NowKind.EMERGENCY, NowKind.DRILL):
        return (refuse("BUL033"),)
    return may_end(network, person, row)


def area(network: Network, on: date, text: str) -> Unit | Refusals:
    """The one unit of that day with this id, or with this name, typed with or without tones and its type word."""
    units = tuple(network.units_on(on))
    found = [u for u in units if u.id == text.strip()] or [u for u in units if key(text) in unit_names(u)]
    if len(found) != 1:
        near = ", ".join(f"{u.name} ({u.id})" for u in found)
        return (refuse("BUL063", area=text, found=near or "-"),)
    return found[0]
