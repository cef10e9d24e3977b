"""What a device says of itself, for people and for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nms.i18n import N_
from nms.monitor.probe import Found, Interface, Probe, Shown
from nms.monitor.snmp.asn1 import oid_text

Translate = Callable[[str], str]

FOUND = {Found.READ: "", Found.ABSENT: N_("absent"), Found.ODD: N_("not understood")}


def lines(probe: Probe, where: str, translate: Translate) -> Iterator[str]:
    """Who answers, then a line for each metric of its family: name, value, raw value, OID."""
    profile = probe.profile
    yield f"{where}  {probe.name}".rstrip()
    yield f"  sysDescr     {probe.identity.description}".rstrip()
    yield f"  sysObjectID  {oid_text(probe.identity.object_id)}"
    if profile is None:
        yield "  " + translate(N_("no family of devices fits"))
        return
    yield f"  {profile.name} · {profile.title}"
    width = max(len(s.metric) for s in probe.shown)
    for shown in probe.shown:
        mark = "!" if shown.metric in probe.exceeded else " "
        value = _value(shown, translate)
        yield f"  {mark} {shown.metric:<{width}}  {value:<24} {shown.raw:<24} {shown.oid}"
    for interface in probe.interfaces:
        yield "    " + _interface(interface, translate)
    if probe.hidden:
        yield "    " + translate(N_("and {count} more interfaces")).format(count=probe.hidden)


def _value(shown: Shown, translate: Translate) -> str:
    if shown.value is None:
        return translate(FOUND[shown.found])
    if isinstance(shown.value, bool):
        return translate(N_("yes")) if shown.value else translate(N_("no"))
    text = f"{shown.value:.10g}" if isinstance(shown.value, float) else shown.value
    return f"{text} {shown.unit}".rstrip()


def _interface(interface: Interface, translate: Translate) -> str:
    state = translate(N_("on")) if interface.up else translate(N_("off"))
    octets = "".join(f"  {n} B" for n in (interface.received, interface.sent) if n is not None)
    return f"{interface.number:>3} {interface.name}  {state}{octets}"


def document(probe: Probe, where: str) -> dict[str, object]:
    profile = probe.profile
    return {
        "address": where,
        "name": probe.name,
        "description": probe.identity.description,
        "object_id": oid_text(probe.identity.object_id),
        "profile": profile.name if profile is not None else None,
        "metrics": [
            {
                "metric": s.metric,
                "value": s.value,
                "unit": s.unit,
                "raw": s.raw,
                "found": str(s.found),
                "oid": s.oid,
                "exceeded": s.metric in probe.exceeded,
            }
            for s in probe.shown
        ],
        "interfaces": [
            {"number": i.number, "name": i.name, "up": i.up, "received": i.received, "sent": i.sent}
            for i in probe.interfaces
        ],
        "interfaces_not_shown": probe.hidden,
    }
