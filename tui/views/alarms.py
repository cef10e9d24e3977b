"""Alarms as operators read them: what is wrong, since when, who has it in hand, whom to call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from nms.i18n import N_, number
from tui.alarm_methods import AlarmRow, RepairRow
from tui.views.times import rfc3339, shown
from tui.views.words import cause_text

Translate = Callable[[str], str]

ALARMS: Final[Mapping[str, str]] = {
    "device_down": N_("{name} lost"),
    "modem_down": N_("4G modem {name} lost"),
    "cell_lost": N_("cell {name} lost"),
    "power_lost": N_("mains lost in area {name}"),
    "degraded": N_("{name} works, but not well"),
    "flapping": N_("{name} comes and goes"),
    "quota": N_("SIM {name} nears its data quota"),
    "silent": N_("{name} should play and does not"),
    "unscheduled": N_("{name} plays and should not"),
    "wrong_content": N_("{name} plays something else than planned"),
    "clock_off": N_("the clock of {name} is wrong"),
    "cache_incomplete": N_("{name} lacks recordings of the next 24 hours"),
    "self_poller": N_("the hub polls late"),
    "self_disk": N_("the hub's disk is nearly full"),
    "self_database": N_("the hub's database does not take what happens"),
    "self_broker": N_("the hub has no connection to the broker"),
    "self_clock": N_("the hub's clock jumped"),
    "self_memory": N_("the hub needs too much memory"),
    "self_shard": N_("part {name} of the fleet is not polled"),
}

STATES: Final[Mapping[str, str]] = {
    "open": N_("not acknowledged"),
    "acknowledged": N_("acknowledged by {person}"),
    "repair": N_("in repair until {until}"),
    "over": N_("over since {at}"),
}

SIGNS: Final[Mapping[str, str]] = {"open": "✖", "acknowledged": "◐", "repair": "⏸", "over": "●"}

SHORT: Final = 8
"""Characters at the end of an alarm's id that tell it from all others."""


def alarm_line(row: AlarmRow, translate: Translate) -> str:
    """``✖ 3f2a90c1  17:02 01/10/2024  mất điện khu vực PC-24109 · Xã Uar: 12 thiết bị · chưa tiếp nhận``."""
    name = row.subject.partition(":")[2] or row.subject
    parts = [translate(ALARMS.get(row.kind, row.kind)).format(name=name)]
    if row.cause:
        parts[0] += f" ({cause_text(row.cause, translate)})"
    where = ", ".join(row.communes)
    if len(row.devices) > 1:
        count = translate(N_("{count} devices")).format(count=number(len(row.devices)))
        where = f"{where}: {count}" if where else count
    state = translate(STATES[row.state]).format(person=row.by, until=shown(row.quiet_until), at=shown(row.cleared))
    parts += [part for part in (where, state, row.comment) if part]
    return f"{SIGNS[row.state]} {row.id[-SHORT:]}  {shown(row.since)}  {' · '.join(parts)}"


def call_lines(row: AlarmRow, translate: Translate) -> Iterator[str]:
    """Whom to call, hamlet by hamlet."""
    for call in row.calls:
        count = translate(N_("{count} devices")).format(count=number(call.devices))
        contact = call.contact or translate(N_("no contact known"))
        yield f"    {call.hamlet}: {count} · {contact}"


def repair_line(row: RepairRow, translate: Translate) -> str:
    message = N_("{part}: {who}, until {until}")
    text = translate(message).format(part=row.part, who=row.who, until=shown(row.until))
    return f"{text} · {translate(N_('mended {at}')).format(at=shown(row.closed))}" if row.closed else text


def alarm_json(row: AlarmRow) -> Mapping[str, Any]:
    taken = {"at": rfc3339(row.acknowledged), "by": row.by, "comment": row.comment} if row.acknowledged else None
    return {
        "id": row.id,
        "subject": row.subject,
        "kind": row.kind,
        "state": row.state,
        "opened": rfc3339(row.opened),
        "since": rfc3339(row.since),
        "cause": row.cause,
        "devices": row.devices,
        "communes": row.communes,
        "calls": [
            {"hamlet": c.hamlet, "commune": c.commune, "devices": c.devices, "contact": c.contact} for c in row.calls
        ],
        "acknowledged": taken,
        "quiet_until": rfc3339(row.quiet_until),
        "cleared": rfc3339(row.cleared),
    }


def repair_json(row: RepairRow) -> Mapping[str, Any]:
    return {
        "id": row.id,
        "device": row.device,
        "part": row.part,
        "who": row.who,
        "until": rfc3339(row.until),
        "opened": rfc3339(row.opened),
        "opened_by": row.opened_by,
        "closed": rfc3339(row.closed),
        "closed_by": row.closed_by,
    }
