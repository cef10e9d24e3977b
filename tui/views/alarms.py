"""Alarms as operators read them: what is wrong, since when, who has it in hand, whom to call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from nms.i18n import N_, number
from tui.alarm_methods import AlarmRow, AlarmRows, RepairRow
from tui.methods import Silenced
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
    "quota": N_("data quota of the SIM in {name}"),
    "silent": N_("{name} should play and does not"),
    "unscheduled": N_("{name} plays and should not"),
    "wrong_content": N_("{name} plays something else than planned"),
    "clock_off": N_("the clock of {name} is wrong"),
    "cache_incomplete": N_("{name} lacks recordings of the next 24 hours"),
    "relay_failed_over": N_("relay {name}: another source is on the air"),
    "relay_lost": N_("relay {name}: no source has sound"),
    "policies": N_("policies of devices must be signed: loa policies"),
    "self_poller": N_("the hub polls late"),
    "self_disk": N_("the hub's disk is nearly full"),
    "self_database": N_("the hub's database does not take what happens"),
    "self_broker": N_("the hub has no connection to the broker"),
    "self_clock": N_("the hub's clock jumped"),
    "self_ntp": N_("nothing keeps the hub's clock right (NTP)"),
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

SEVERITY: Final[tuple[frozenset[str], ...]] = (
    frozenset(kind for kind in ALARMS if kind.startswith("self_")) | {"policies"},
    frozenset({"cell_lost", "power_lost", "modem_down"}),
    frozenset({"relay_lost", "device_down", "silent", "unscheduled", "wrong_content"}),
)
"""The worst first: the hub and what devices obey, what takes many along, what residents notice; then the rest."""

MUTED_SIGN: Final = "⊗"

SHORT: Final = 8
"""Characters at the end of an alarm's id that tell it from all others."""


def alarm_line(row: AlarmRow, translate: Translate) -> str:
    """``✖ 3f2a90c1  17:02 01/10/2024  mất điện khu vực PC-24109 · Xã Uar: 12 thiết bị · chưa tiếp nhận``."""
    where = ", ".join(row.communes)
    if len(row.devices) > 1:
        count = translate(N_("{count} devices")).format(count=number(len(row.devices)))
        where = f"{where}: {count}" if where else count
    parts = [part for part in (alarm_text(row, translate), where, alarm_state(row, translate), row.comment) if part]
    return f"{SIGNS[row.state]} {row.id[-SHORT:]}  {shown(row.since)}  {' · '.join(parts)}"


def alarm_text(row: AlarmRow, translate: Translate) -> str:
    """What is wrong: ``23557-L01 hoạt động không ổn định (quá nóng)``."""
    name = row.subject.partition(":")[2] or row.subject
    text = translate(ALARMS.get(row.kind, row.kind)).format(name=name)
    return f"{text} ({cause_text(row.cause, translate)})" if row.cause else text


def alarm_state(row: AlarmRow, translate: Translate) -> str:
    """Who has it in hand."""
    return translate(STATES[row.state]).format(person=row.by, until=shown(row.quiet_until), at=shown(row.cleared))


def by_severity(rows: AlarmRows) -> list[AlarmRow]:
    """The worst first, of those the oldest; what waits for a repair comes last."""
    return sorted(rows.alarms, key=lambda row: (row.state == "repair", _severity(row), row.since))


def _severity(row: AlarmRow) -> int:
    return next((n for n, kinds in enumerate(SEVERITY) if row.kind in kinds), len(SEVERITY))


def silenced_text(row: Silenced, translate: Translate) -> str:
    """``đang khóa đến 23:59 05/10/2024 (loa rú, Lê Ngọc Lan)``."""
    message = (
        N_("was silenced until {until} ({reason}, {person})")
        if row.expired
        else N_("silenced until {until} ({reason}, {person})")
    )
    return translate(message).format(until=shown(row.until), reason=row.reason, person=row.by)


def silenced_line(row: Silenced, translate: Translate) -> str:
    """``⊗ 23557-L01  Phường Yên Đỗ · làng Mơ Năng 2: đang khóa đến …``."""
    sign = " " if row.expired else MUTED_SIGN
    where = " · ".join(part for part in (row.commune, row.hamlet) if part)
    return f"{sign} {row.device}  {where}: {silenced_text(row, translate)}"


def unheard_lines(rows: Iterable[Silenced], translate: Translate, most: int = 20) -> Iterator[str]:
    """Who is addressed and will not hear, with whom to call there; nothing where all hear. At most so many by name."""
    found = list(rows)
    if not found:
        return
    yield translate(N_("WILL NOT HEAR: {count} silenced clusters")).format(count=number(len(found)))
    for row in found[:most]:
        where = " · ".join(part for part in (row.commune, row.hamlet) if part)
        contact = row.contact or translate(N_("no contact known"))
        call = translate(N_("call {contact}")).format(contact=contact) if row.contact else contact
        yield f"  {MUTED_SIGN} {row.device}  {where} – {call}"
    if len(found) > most:
        yield "  " + translate(N_("and {count} more")).format(count=number(len(found) - most))


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


def silenced_json(row: Silenced) -> Mapping[str, Any]:
    return {
        "device": row.device,
        "commune": row.commune,
        "hamlet": row.hamlet,
        "contact": row.contact,
        "since": rfc3339(row.since),
        "until": rfc3339(row.until),
        "by": row.by,
        "reason": row.reason,
        "expired": row.expired,
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
