"""What enrolment needs of a running hub: the bench's door, the authority, the tunnel's peers, and proofs of contact."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import date, datetime
from time import monotonic
from typing import Final, Protocol

from audio.broker import Broker
from audio.desk import Refusals
from audio.documents import DeviceState, Result
from audio.playout import Playout
from audio.trials import Tried
from inventory import overlay
from inventory.diagnostics import Diagnostic
from inventory.model import Device, DeviceId, Network, Person
from nms.monitor.snmp.usm import Security
from nms.monitor.snmp.walk import Dialogue
from nms.provision.authority import PKI, Authority
from nms.provision.bench import SshDoor
from nms.provision.enrol import Proof, Step
from nms.provision.pending import TOPIC, Doorkeeper
from nms.provision.site import Tone
from nms.settings import Clock, Settings
from nms.store import Store
from tui.enrol_service import EnrolService, Tools, Trial
from tui.peers import Peers
from tui.plan_service import PlanService
from tui.polling import overlay as octet_of
from tui.polling import security_of, today
from tui.provisioning import ssh_key

NAME: Final = (1, 3, 6, 1, 2, 1, 1, 5, 0)
"""sysName, which every agent has."""

Task = Callable[[], Awaitable[None]]


def make_enrolment(
    settings: Settings,
    plans: PlanService,
    running: Callable[[], Network],
    clock: Clock,
    store: Store,
    playout: Playout,
    broker: Broker,
) -> tuple[EnrolService, Mapping[str, Task]]:
    """The service, and what runs for it. Announcements are heard from the broker's next connection on."""
    keeper = Doorkeeper(store, clock, monotonic)
    broker.hear(TOPIC, keeper.receive)

    def inventory() -> tuple[Network, date]:
        return running(), today(running(), clock)

    peers = Peers(settings.state_dir, inventory, lambda network: octet_of(settings, network))
    proofs = {
        Step.SNMP: answers(settings, lambda: octet_of(settings, running())),
        Step.MQTT: session(playout.words),
    }
    door = SshDoor(ssh_key(settings.state_dir))
    tools = Tools(door, lambda: _authority(settings), peers, proofs, sound(playout))
    service = EnrolService(plans, tools, running, clock, store)
    return service, {"peers": peers.keep, "announcements": keeper.run}


def _authority(settings: Settings) -> Authority | None:
    if not (settings.state_dir / PKI).exists():
        return None
    opened = Authority.open(settings.state_dir)
    return None if isinstance(opened, Diagnostic) else opened


def session(words: Callable[[], Awaitable[Mapping[str, DeviceState] | None]]) -> Proof:
    """Whether a device's MQTT session is up; of one that ends the broker tells."""

    async def proof(device: DeviceId, since: datetime) -> bool:
        del since
        state = (await words() or {}).get(device)
        return state is not None and state.online

    return proof


class Tries(Protocol):
    """Who orders a device to try itself out: ``Playout``."""

    async def test_tone(self, person: Person, device: str, silent: bool) -> Tried | Refusals: ...


def sound(playout: Tries) -> Trial:
    """The device's own test tone; where it refuses that because of the hour, its silent check."""

    async def tried(device: Device, person: Person) -> Tone:
        for silent, tone in ((False, Tone.HEARD), (True, Tone.SILENT)):
            answer = await playout.test_tone(person, device.id, silent)
            if isinstance(answer, Tried) and answer.passed:
                return tone
            if not isinstance(answer, Tried) or answer.result is not Result.REFUSED:
                return Tone.NONE
        return Tone.NONE

    return tried


def answers(settings: Settings, octet: Callable[[], int]) -> Proof:
    """Whether a device answers over SNMP as the inventory's secrets demand it, asked now."""
    security: Security | None = None

    def ask(address: str) -> bool:
        nonlocal security
        security = security or security_of(settings)
        try:
            with Dialogue(address, settings.snmp_port, security, settings.snmp_timeout) as device:
                return isinstance(device.get((NAME,)), tuple)
        except OSError:
            return False

    async def proof(device: DeviceId, since: datetime) -> bool:
        del since
        return await asyncio.to_thread(ask, overlay.address(device, octet()))

    return proof
