"""How each target is asked: one plan for all devices of a family that are asked alike, and what is known of each."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from inventory.model import DeviceId
from nms.monitor.profiles import Profile
from nms.monitor.readings import Reader
from nms.monitor.snmp.asn1 import Value
from nms.monitor.snmp.ber import Get
from nms.monitor.snmp.exchange import CommunityExchange, CommunityPlan
from nms.monitor.snmp.outcome import Target
from nms.monitor.snmp.peers import Engines
from nms.monitor.snmp.secure import UserExchange, UserPlan
from nms.monitor.snmp.usm import Community, Security

Asking = CommunityExchange[Value] | UserExchange[Value]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What devices of one profile and security share; ``hints``: the layouts of each device's last answer."""

    profile: Profile
    security: Security
    reader: Reader
    wire: CommunityPlan[Value] | UserPlan[Value]
    hints: dict[DeviceId, Any] = field(default_factory=dict)


class Plans:
    """Exchanges for targets, and what they leave behind for the next time."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._plans: dict[tuple[Security, str], Plan] = {}
        self._last: Plan | None = None
        self._salts = count(secrets.randbits(64))

    def plan(self, target: Target) -> Plan:
        """The plan of this target; neighbours mostly share one, and finding it anew would cost more than asking."""
        plan = self._last
        if plan is None or plan.profile is not target.profile or plan.security is not target.security:
            key = (target.security, target.profile.name)
            plan = self._plans.get(key)
            if plan is None or plan.profile is not target.profile:
                plan = self._plans[key] = self._make(target.security, target.profile)
            self._last = plan
        return plan

    def _make(self, security: Security, profile: Profile) -> Plan:
        get = Get(profile.oids)
        if isinstance(security, Community):
            return Plan(profile, security, Reader(profile), CommunityPlan(security, get))
        return Plan(profile, security, Reader(profile), UserPlan(security, get, self._salts))

    def exchange(self, device: DeviceId, plan: Plan, request_id: int) -> Asking:
        wire, hints = plan.wire, plan.hints.get(device)
        if isinstance(wire, CommunityPlan):
            return CommunityExchange(wire, request_id, hints)
        return UserExchange(wire, request_id, self._engines.peer(device, wire.user), hints)

    def remember(self, device: DeviceId, plan: Plan, exchange: Asking) -> None:
        """What the device's answer taught."""
        plan.hints[device] = exchange.hints
        if isinstance(exchange, UserExchange) and exchange.peer is not None and exchange.peer.proven:
            self._engines.learn(device, exchange.peer)

    def keep(self) -> None:
        """Gives the memory of engines what is new."""
        self._engines.keep()
