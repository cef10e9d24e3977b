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
class _Plan:
    """What devices of one profile and security share; ``hints``: the layouts of each device's last answer."""

    profile: Profile
    reader: Reader
    wire: CommunityPlan[Value] | UserPlan[Value]
    hints: dict[DeviceId, Any] = field(default_factory=dict)


class Plans:
    """Exchanges for targets, and what they leave behind for the next time."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._plans: dict[tuple[Security, str], _Plan] = {}
        self._salts = count(secrets.randbits(64))

    def exchange(self, target: Target, request_id: int) -> tuple[Asking, Reader]:
        plan = self._plan(target)
        wire, hints = plan.wire, plan.hints.get(target.device)
        if isinstance(wire, CommunityPlan):
            return CommunityExchange(wire, request_id, hints), plan.reader
        return UserExchange(wire, request_id, self._engines.peer(target.device, wire.user), hints), plan.reader

    def _plan(self, target: Target) -> _Plan:
        key = (target.security, target.profile.name)
        plan = self._plans.get(key)
        if plan is None or plan.profile is not target.profile:
            plan = self._plans[key] = self._make(target.security, target.profile)
        return plan

    def _make(self, security: Security, profile: Profile) -> _Plan:
        get = Get(profile.oids)
        if isinstance(security, Community):
            return _Plan(profile, Reader(profile), CommunityPlan(security, get))
        return _Plan(profile, Reader(profile), UserPlan(security, get, self._salts))

    def remember(self, target: Target, exchange: Asking) -> None:
        """What the device's answer taught."""
        plan = self._plan(target)
        if isinstance(exchange, CommunityExchange):
            if exchange.layout is not None:
                plan.hints[target.device] = exchange.layout
            return
        if exchange.hints is not None:
            plan.hints[target.device] = exchange.hints
        if exchange.peer is not None and exchange.peer.proven:
            self._engines.learn(target.device, exchange.peer)

    def keep(self) -> None:
        """Gives the memory of engines what is new."""
        self._engines.keep()
