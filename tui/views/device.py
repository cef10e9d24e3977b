"""Everything known of one device, on one page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from nms.i18n import N_, decimal
from tui.alarm_methods import Device, UsageRow
from tui.views.alarms import (
    MUTED_SIGN,
    alarm_json,
    alarm_line,
    call_lines,
    repair_json,
    repair_line,
    silenced_json,
    silenced_text,
)
from tui.views.status import device_json, device_line, event_line
from tui.views.times import rfc3339, shown

Translate = Callable[[str], str]

MEGA = 1_000_000


def device_lines(device: Device, translate: Translate) -> Iterator[str]:
    """The state first, then what is wrong and who mends it, then what it is, what it says, and what happened."""
    yield device_line(device.row, translate)
    yield from _standing(device, translate)
    yield from (f"  {translate(label)}: {value}" for label, value in _facts(device) if value)
    yield from _part(translate(N_("Alarms")), _alarms(device, translate))
    yield from _part(translate(N_("Repair orders")), (repair_line(row, translate) for row in device.repairs))
    works = (f"{shown(work.start)} – {shown(work.until)}: {work.reason}" for work in device.work)
    yield from _part(translate(N_("Planned work")), works)
    read = translate(N_("Last reading, {at}")).format(at=shown(device.read)) if device.read else ""
    yield from _part(read, (f"{name}: {value}" for name, value in device.row.values.items()))
    yield from _part(translate(N_("SIM usage")), (_usage(row, translate) for row in device.usage))
    yield from _part(translate(N_("What happened")), (event_line(row, translate) for row in device.events))


def device_document(device: Device) -> Mapping[str, Any]:
    """The JSON form."""
    return {
        **device_json(device.row),
        "name": device.row.name,
        "profile": device.profile,
        "contact": device.contact,
        "power_area": device.power_area,
        "sim": device.sim,
        "timer": device.timer,
        "in_service": device.in_service,
        "cell": device.cell,
        "read": rfc3339(device.read),
        "maintenance": [{"from": rfc3339(w.start), "until": rfc3339(w.until), "reason": w.reason} for w in device.work],
        "silenced": next((silenced_json(row) for row in device.silenced if not row.expired), None),
        "alarms": [alarm_json(row) for row in device.alarms],
        "repairs": [repair_json(row) for row in device.repairs],
        "usage": [
            {
                "month": u.month,
                "bytes": u.bytes,
                "quota": u.quota,
                "forecast": u.forecast,
                "level": u.level,
                "seconds_without_service": u.without_s,
            }
            for u in device.usage
        ],
        "events": [
            {"at": rfc3339(e.at), "kind": e.kind, "from": e.before, "to": e.after, "cause": e.cause}
            for e in device.events
        ],
    }


def _standing(device: Device, translate: Translate) -> Iterator[str]:
    """What keeps it from being heard, being missed or being lost now: a silence, an open repair, work."""
    for row in device.silenced:
        yield f"  {' ' if row.expired else MUTED_SIGN} {silenced_text(row, translate)}"
    for order in device.repairs:
        if not order.closed:
            yield f"  ⏸ {translate(N_('repair order'))}: {repair_line(order, translate)}"
    for work in device.work:
        if work.start <= device.now < work.until:
            message = translate(N_("in maintenance until {until}: {reason}"))
            yield f"  ⏸ {message.format(until=shown(work.until), reason=work.reason)}"


def _facts(device: Device) -> Iterable[tuple[str, str]]:
    row = device.row
    return (
        (N_("name"), row.name),
        (N_("state since"), shown(row.since) if row.since else ""),
        (N_("whom to call"), device.contact),
        (N_("device family"), device.profile),
        (N_("4G modem"), row.uplink),
        (N_("SIM"), device.sim),
        (N_("serving cell"), device.cell),
        (N_("power area"), device.power_area),
        (N_("off by timer"), device.timer),
        (N_("in service since"), device.in_service),
        (N_("playing"), row.playing),
    )


def _part(title: str, lines: Iterable[str]) -> Iterator[str]:
    """A titled block; nothing where there is nothing."""
    found = list(lines)
    if title and found:
        yield ""
        yield title
        yield from (f"  {line}" for line in found)


def _alarms(device: Device, translate: Translate) -> Iterator[str]:
    for row in device.alarms:
        yield alarm_line(row, translate)
        if row.state == "open":
            yield from call_lines(row, translate)


def _usage(row: UsageRow, translate: Translate) -> str:
    text = f"{row.month}: {decimal(row.bytes / MEGA)} MB"
    if row.quota is not None:
        text += " / " + f"{decimal(row.quota / MEGA)} MB"
    if row.forecast is not None:
        text += " · " + translate(N_("forecast {amount} MB")).format(amount=decimal(row.forecast / MEGA))
    return text
