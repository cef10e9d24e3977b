"""The province at a glance, and what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nms.i18n import N_, decimal, number
from tui.methods import AlarmCounts, CauseRow, DeviceRow, EventRow, Overview, UnitRow
from tui.views.alarms import ALARMS
from tui.views.times import clock, rfc3339, shown
from tui.views.words import (
    BULLETIN_STATES,
    EVENT_CAUSES,
    EVENT_STATES,
    EVENTS,
    KINDS,
    ROLLOUT_STATES,
    SIGNS,
    STATES,
    cause_text,
    column,
)

Translate = Callable[[str], str]


def selection(row: UnitRow) -> str:
    """What means everything in that unit; empty for the province."""
    return "" if row.tier == "province" else f"{row.tier}={row.unit}"


def totals(overview: Overview) -> dict[str, int]:
    """Devices by state over the whole province."""
    return next((dict(row.states) for row in overview.units if row.tier == "province"), {})


def overview_lines(overview: Overview, translate: Translate) -> Iterator[str]:
    """Counts, then each cause with what is lost because of it, then districts that miss something."""
    counts = totals(overview)
    total = sum(counts.values())
    parts = [f"{SIGNS[s]} {translate(STATES[s])} {number(n)}" for s, n in sorted(counts.items()) if n and s in SIGNS]
    yield translate(N_("{total} devices: {parts}")).format(total=number(total), parts=" · ".join(parts))
    if overview.sweep is None:
        yield translate(N_("not polled yet"))
    else:
        yield translate(N_("last sweep {at}: {answered} of {polled} answered in {seconds} s")).format(
            at=clock(overview.sweep.at),
            answered=number(overview.sweep.answered),
            polled=number(overview.sweep.polled),
            seconds=decimal(overview.sweep.seconds, 2),
        )
    if not overview.broker:
        yield translate(N_("no connection to the broker: nothing new reaches the devices"))
    yield from (f"{SIGNS['down']} {text}" for text in hub_lines(overview, translate))
    yield alarm_counts(overview.alarms, translate)
    for cause in overview.causes:
        yield f"{SIGNS['down']} {cause_line(cause, translate)}"
    for row in overview.units:
        lost = row.states.get("down", 0) + row.states.get("unreachable", 0)
        if row.tier == "district" and lost:
            message = translate(N_("{name}: {lost} of {total} lost"))
            yield "  " + message.format(name=row.name, lost=lost, total=sum(row.states.values()))


def alarm_counts(counts: AlarmCounts, translate: Translate) -> str:
    """``Cảnh báo: 5, chưa tiếp nhận 3, chờ sửa chữa 1; 2 cụm loa đang khóa``."""
    if not counts.open and not counts.silenced:
        return translate(N_("no alarms"))
    message = N_("Alarms: {open}, not acknowledged {unacknowledged}, in repair {repair}")
    text = translate(message).format(
        open=number(counts.open), unacknowledged=number(counts.unacknowledged), repair=number(counts.repair)
    )
    if counts.silenced:
        text += "; " + translate(N_("{count} clusters silenced")).format(count=number(counts.silenced))
    return text


def hub_lines(overview: Overview, translate: Translate) -> Iterator[str]:
    """What is wrong with the hub itself; the broker has a line of its own."""
    for problem in overview.hub:
        kind, _, detail = problem.partition(":")
        if kind != "self_broker":
            text = translate(ALARMS.get(kind, kind)).format(name="")
            yield f"{text} ({cause_text(detail, translate)})" if detail else text


def cause_line(cause: CauseRow, translate: Translate) -> str:
    """``Thiết bị 4G 23557-M01 mất kết nối từ 17:02:10: 9 thiết bị``."""
    text = cause_text(cause.cause if ":" in cause.cause else f"{cause.kind}:{cause.cause}", translate)
    text += " " + translate(N_("since {at}")).format(at=clock(cause.since))
    if cause.kind in ("device", "flapping"):
        return text
    return text + ": " + translate(N_("{count} devices lost because of it")).format(count=len(cause.devices))


def device_line(row: DeviceRow, translate: Translate) -> str:
    state = translate(STATES.get(row.state, row.state))
    if row.cause:
        state += f" ({cause_text(row.cause, translate)})"
    kind = column(KINDS, row.kind, translate)
    return f"{SIGNS.get(row.state, '?')} {row.device:<11} {kind} {row.commune} · {row.hamlet}  {state}".rstrip()


def event_line(row: EventRow, translate: Translate) -> str:
    """``17:00 01/10/2024  23557-L01  thiết bị  đang kết nối → mất kết nối (…)``."""
    states = BULLETIN_STATES if row.kind.startswith("bulletin.") else {**STATES, **EVENT_STATES, **ROLLOUT_STATES}
    change = " → ".join(translate(states.get(part, part)) for part in (row.before, row.after) if part)
    said = EVENT_CAUSES.get(row.cause)
    cause = translate(said) if said else cause_text(row.cause, translate)
    parts = [change, f"({cause})" if cause else ""]
    head = f"{shown(row.at)}  {row.subject:<14} {column(EVENTS, row.kind, translate)}"
    return f"{head}  {' '.join(part for part in parts if part)}".rstrip()


def overview_json(overview: Overview) -> Mapping[str, Any]:
    sweep = overview.sweep
    return {
        "at": rfc3339(overview.now),
        "states": totals(overview),
        "broker": overview.broker,
        "alarms": {
            "open": overview.alarms.open,
            "unacknowledged": overview.alarms.unacknowledged,
            "repair": overview.alarms.repair,
            "silenced": overview.alarms.silenced,
        },
        "hub": [dict(zip(("problem", "detail"), problem.split(":", 1), strict=True)) for problem in overview.hub],
        "sweep": sweep and {"at": rfc3339(sweep.at), "seconds": sweep.seconds, "answered": sweep.answered},
        "causes": [
            {"cause": c.cause, "kind": c.kind, "since": rfc3339(c.since), "devices": c.devices} for c in overview.causes
        ],
        "units": [
            {"unit": u.unit, "name": u.name, "tier": u.tier, "states": dict(u.states), "playing": u.playing}
            for u in overview.units
        ],
    }


def device_json(row: DeviceRow) -> Mapping[str, Any]:
    return {
        "device": row.device,
        "kind": row.kind,
        "commune": row.commune,
        "hamlet": row.hamlet,
        "uplink": row.uplink,
        "state": row.state,
        "cause": row.cause,
        "since": rfc3339(row.since),
        "playing": row.playing,
        "values": dict(row.values),
    }
