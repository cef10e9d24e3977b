"""The part of a network that is polled: whom to ask, what for, how often, and what health must know of them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Final

from inventory.diagnostics import Diagnostic
from inventory.model import Device, DeviceId, Network, Sim
from inventory.overlay import address
from nms.monitor.cellular import card
from nms.monitor.health import Member
from nms.monitor.limits import Limits, limits_of
from nms.monitor.profiles import Profile
from nms.monitor.schedule import Rule, budget
from nms.monitor.snmp.outcome import Target
from nms.monitor.snmp.usm import Security
from nms.monitor.windows import planned

LOOPBACK: Final = 127
"""An overlay in this network never leaves the machine and costs nobody anything."""


@dataclass(frozen=True, slots=True)
class PollSettings:
    """How the fleet is asked: seconds from question to question where the family does not say, first octet of the
    overlay, UDP port."""

    interval: float
    octet: int
    port: int
    security: Security = field(repr=False)


@dataclass(frozen=True, slots=True)
class Fleet:
    """The devices that are polled; ``sims``: the SIMs of those that have their own.

    ``shortest``: seconds from question to question of whoever is asked most often.
    """

    targets: Mapping[DeviceId, Target]
    members: Mapping[DeviceId, Member]
    limits: Mapping[DeviceId, Limits]
    rules: Mapping[DeviceId, Rule]
    sims: Mapping[DeviceId, Sim]
    shortest: float
    diagnostics: tuple[Diagnostic, ...]


def polled(device: Device, on: date) -> bool:
    """In use on that date, and not a board without a connection of its own."""
    return device.connected and device.in_use(on)


def fleet_of(network: Network, on: date, profiles: Mapping[str, Profile], settings: PollSettings) -> Fleet:
    """The devices to poll; one whose profile is unknown is left out and reported."""
    devices = [d for d in network.devices.values() if polled(d, on)]
    known = [d for d in devices if d.profile in profiles]
    targets = {
        d.id: Target(d.id, address(d.id, settings.octet), settings.port, settings.security, profiles[d.profile])
        for d in known
    }
    work = planned(network, on)
    intervals = {d.id: profiles[d.profile].interval or settings.interval for d in known}
    return Fleet(
        targets=MappingProxyType(targets),
        members=MappingProxyType({d.id: Member(d.uplink, d.power_area, work.get(d.id, ()), d.off) for d in known}),
        limits=MappingProxyType({d.id: limits_of(profiles[d.profile], d.limits) for d in known}),
        rules=MappingProxyType(_rules(known, network, on, settings, intervals)),
        sims=MappingProxyType({d.id: d.sim for d in known if d.sim is not None and card(d.sim)}),
        shortest=min(intervals.values(), default=settings.interval),
        diagnostics=tuple(_unknown(d, profiles) for d in devices if d.profile not in profiles),
    )


def _rules(
    devices: list[Device], network: Network, on: date, settings: PollSettings, intervals: Mapping[DeviceId, float]
) -> dict[DeviceId, Rule]:
    """All devices behind one SIM share what asking them may cost."""
    if settings.octet == LOOPBACK:
        return {d.id: Rule(intervals[d.id]) for d in devices}
    month = on.strftime("%Y-%m")
    payer = {d.id: d.uplink or d.id for d in devices}
    sharers = Counter(payer.values())
    rules: dict[DeviceId, Rule] = {}
    for device in devices:
        paying = network.devices.get(payer[device.id])
        sim = paying.sim if paying is not None else None
        bytes_ = budget(sim.plan, month, sharers[payer[device.id]]) if sim is not None else None
        rules[device.id] = Rule(intervals[device.id], bytes_)
    return rules


def _unknown(device: Device, profiles: Mapping[str, Profile]) -> Diagnostic:
    return Diagnostic(
        "MON009",
        device.place,
        "'{device}' is not polled: unknown profile '{profile}'",
        "use one of: {known}, or add a profile",
        {"device": device.id, "profile": device.profile, "known": ", ".join(profiles)},
    )
