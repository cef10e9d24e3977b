"""What roll-outs need of a running hub: whom they change, and in which ways those are in contact."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Final

from audio.playout import Playout
from inventory.model import DeviceId
from nms.monitor.parts import Picture
from nms.provision.contact import MQTT, SNMP, SSH, Contact, greeting, polled, running, spoken
from nms.provision.deployer import Deployer
from nms.provision.reach import Counting
from nms.settings import Clock, Settings
from nms.store import Store
from tui.apply_service import ApplyService
from tui.plan_service import PlanService

SWEEPS: Final = 5
"""A device that answered none of so many polls was not in contact by SNMP before its change."""


def make_rollouts(
    settings: Settings,
    plans: PlanService,
    clock: Clock,
    picture: Picture,
    soon: Callable[[Collection[DeviceId]], None],
    playout: Playout,
    store: Store,
) -> ApplyService:
    """``soon`` has devices polled first."""
    checks = {SSH: greeting(), SNMP: polled(picture, soon), MQTT: spoken(playout.sessions)}
    recent = timedelta(seconds=SWEEPS * settings.snmp_interval)
    contact = Contact(checks, recent=recent, proofs={MQTT: running(playout.sessions, playout.ask)})

    def spent(device: DeviceId) -> tuple[int, int]:
        counts = [p.spent(device) for p in plans.provisioners.values() if isinstance(p, Counting)]
        return sum(sent for sent, _ in counts), sum(received for _, received in counts)

    deployer = Deployer(store, clock, plans.provisioners, contact, spent)
    return ApplyService(plans, deployer, clock, lambda: picture.latest, store)
