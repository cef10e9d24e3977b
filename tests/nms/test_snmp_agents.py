"""The poll engine and the walk against real net-snmp agents with SNMPv3 users, and against simulated ones."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from inventory.model import DeviceId
from nms.monitor.profiles import Column, Kind, Profile
from nms.monitor.snmp.asn1 import oid_text
from nms.monitor.snmp.engines import Engine, StoreEngines
from nms.monitor.snmp.sweep import Outcome, Reading, Refusal, Silence, Sweep, Sweeper, Target
from nms.monitor.snmp.usm import AuthProtocol, Community, PrivProtocol, Security, User, unprotected_user, user
from nms.monitor.snmp.walk import Dialogue
from nms.store import Store
from tests.sim.snmp_responder import Responder, bind, number, text
from tests.sim.snmp_v3 import Login

AUTH, PRIV = b"mat khau dai", b"rieng tu 123"
LOA = user(b"loa", AuthProtocol.SHA256, AUTH, PrivProtocol.AES128, PRIV)
OLD = user(b"old", AuthProtocol.SHA1, AUTH, PrivProtocol.AES128, PRIV)
SYSTEM = (1, 3, 6, 1, 2, 1, 1)
ENGINE = "8000000001020304"
USERS = f"""
createUser loa SHA-256 "{AUTH.decode()}" AES "{PRIV.decode()}"
createUser old SHA "{AUTH.decode()}" AES "{PRIV.decode()}"
createUser semi SHA-256 "{AUTH.decode()}"
createUser naked
rouser loa priv
rouser old priv
rouser semi auth
rouser naked noauth
rocommunity loa 127.0.0.1
syslocation Tổ dân phố 1
sysservices 72
"""
PROFILE = Profile(
    name="test",
    title="",
    recognise=(),
    also=(),
    columns=(
        Column("uptime_s", (*SYSTEM, 3, 0), Kind.COUNTER, scale=0.01),
        Column("cell", (*SYSTEM, 6, 0), Kind.TEXT),
        Column("volume", (*SYSTEM, 7, 0)),
    ),
)
ME = DeviceId("23557-L01")


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Agent:
    """A net-snmp agent that keeps its boots in a file, as a device does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_udp_port()

    @contextmanager
    def running(self, boots: int = 1, engine: str = ENGINE) -> Iterator[None]:
        """With this engine id, at its ``boots``-th boot."""
        state = self.folder / "state"
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir()
        (state / "snmpd.conf").write_text(f"engineBoots {boots - 1}\noldEngineID 0x{engine}\n")
        (self.folder / "snmpd.conf").write_text(f"exactEngineID 0x{engine}\n{USERS}", encoding="utf-8")
        paths = {"SNMP_PERSISTENT_DIR": str(state), "SNMPCONFPATH": f"{self.folder}:{state}"}
        command = ["snmpd", "-f", "-Lo", "-p", str(self.folder / "pid"), f"udp:127.0.0.1:{self.port}"]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "MIBS": "", **paths}
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as agent:
            try:
                self._wait()
                yield
            finally:
                agent.terminate()

    def _wait(self) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with Dialogue("127.0.0.1", self.port, Community(b"loa"), timeout=0.2, retries=0) as dialogue:
                if isinstance(dialogue.get([(*SYSTEM, 3, 0)]), tuple):
                    return
            time.sleep(0.05)
        raise AssertionError("the agent did not answer")


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path)


@contextmanager
def asking(agent: Agent, timeout: float = 0.3) -> Iterator[Hub]:
    sweeper = Sweeper("127.0.0.1", timeout=timeout, retries=1)
    try:
        yield Hub(sweeper, agent)
    finally:
        sweeper.close()


class Hub:
    def __init__(self, sweeper: Sweeper, agent: Agent) -> None:
        self.sweeper = sweeper
        self.agent = agent

    def sweep(self, security: Security) -> Sweep:
        return self.sweeper.sweep([Target(ME, "127.0.0.1", self.agent.port, security, PROFILE)])

    def ask(self, security: Security) -> Outcome:
        return self.sweep(security).outcomes[ME]


def right(outcome: Outcome) -> bool:
    return (
        isinstance(outcome, Reading) and outcome.metrics["cell"] == "Tổ dân phố 1" and outcome.metrics["volume"] == 72
    )


def refused(outcome: Outcome) -> str:
    assert isinstance(outcome, Refusal), outcome
    return outcome.reason


def test_a_real_agent_answers_every_user_at_the_level_asked(agent: Agent) -> None:
    semi = user(b"semi", AuthProtocol.SHA256, AUTH)
    with agent.running(), asking(agent, timeout=2.0) as hub:
        for security in (LOA, OLD, semi, unprotected_user(b"naked"), Community(b"loa")):
            assert right(hub.ask(security)), security
        again = hub.sweep(LOA)
        assert right(again.outcomes[ME])
        assert again.stats.sent == 1
        assert again.outcomes[ME].octets > 300


@pytest.mark.parametrize(
    ("security", "reason"),
    [
        (
            user(b"loa", AuthProtocol.SHA256, b"mat khau sai", PrivProtocol.AES128, PRIV),
            "password: wrong",
        ),
        (user(b"loa", AuthProtocol.SHA1, AUTH, PrivProtocol.AES128, PRIV), "password: wrong"),
        (user(b"loa", AuthProtocol.SHA256, AUTH, PrivProtocol.AES128, b"rieng tu sai"), "decryption: "),
        (user(b"nobody", AuthProtocol.SHA256, AUTH, PrivProtocol.AES128, PRIV), "user: the device does not know"),
        (user(b"semi", AuthProtocol.SHA256, AUTH, PrivProtocol.AES128, PRIV), "level: the device does not offer"),
        (user(b"loa", AuthProtocol.SHA256, AUTH), "status: error-status 16"),
    ],
    ids=["password", "protocol", "privacy", "user", "no privacy there", "privacy demanded"],
)
def test_a_real_agent_s_refusal_is_named(agent: Agent, security: User, reason: str) -> None:
    with agent.running(), asking(agent) as hub:
        assert refused(hub.ask(security)).startswith(reason)


def test_reboots_and_a_lost_memory_of_a_real_agent(agent: Agent) -> None:
    with asking(agent, timeout=2.0) as hub:
        with agent.running(boots=5):
            assert right(hub.ask(LOA))
        with agent.running(boots=6):
            rebooted = hub.sweep(LOA)
            assert right(rebooted.outcomes[ME])
            assert rebooted.stats.sent == 2
        with agent.running(boots=2):
            assert refused(hub.ask(LOA)) == "engine: the engine's boots went down from 6 to 2"
            assert right(hub.ask(LOA))
        with agent.running(boots=3, engine="8000000005060708"):
            reason = refused(hub.ask(LOA))
            assert reason == f"engine: the engine id changed from {ENGINE} to 8000000005060708"
            assert right(hub.ask(LOA))


def test_a_walk_of_a_real_agent_is_what_snmpwalk_sees(agent: Agent) -> None:
    protection = ["-v3", "-l", "authPriv", "-u", "loa", "-a", "SHA-256", "-A", AUTH.decode(), "-x", "AES"]
    command = ["snmpwalk", "-On", "-Oq", *protection, "-X", PRIV.decode(), f"127.0.0.1:{agent.port}", "1.3.6.1.2.1.1.9"]
    table = (*SYSTEM, 9)
    with agent.running():
        environment = {"PATH": "/usr/bin:/bin", "MIBS": "", "SNMP_PERSISTENT_DIR": str(agent.folder)}
        peer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        for security in (LOA, Community(b"loa")):
            with Dialogue("127.0.0.1", agent.port, security) as dialogue:
                walk = dialogue.walk(table)
                part = dialogue.walk(table, limit=3)
                assert dialogue.get([(*SYSTEM, 7, 0), (*SYSTEM, 99, 0)]) == (72, None)
            assert [oid_text(oid) for oid, _ in walk.rows] == [line.split()[0][1:] for line in peer.splitlines()]
            assert (walk.fault, walk.cut) == (None, False)
            assert (part.rows, part.cut) == (walk.rows[:3], True)


def test_nobody_there_is_silence() -> None:
    with Dialogue("127.0.0.1", free_udp_port(), LOA, timeout=0.1) as dialogue:
        assert dialogue.get([(*SYSTEM, 3, 0)]) == Silence("Connection refused")


# --- simulated agents


class Box:
    def values(self, oids: object) -> list[bytes]:
        return [number(4200, 0x43), text("Tổ dân phố 1"), number(72)]


@contextmanager
def simulated(count: int, lose: int = 0) -> Iterator[int]:
    port = free_udp_port()
    login = Login.of("loa", AUTH.decode(), PRIV.decode())
    responder = Responder(bind(port), b"loa", lambda: 0, login)
    responder.lose = lose
    responder.agents = {socket.inet_aton(address(n)): Box() for n in range(count)}
    thread = threading.Thread(target=responder.serve)
    thread.start()
    try:
        yield port
    finally:
        responder.stop()
        thread.join()


def address(n: int) -> str:
    return f"127.9.{n // 200}.{n % 200 + 1}"


def targets(count: int, port: int, security: Security = LOA) -> list[Target]:
    return [Target(DeviceId(f"23557-L{n:03d}"), address(n), port, security, PROFILE) for n in range(count)]


class Memory:
    def __init__(self) -> None:
        self.engines: dict[DeviceId, Engine] = {}
        self.working = True

    def load(self) -> Mapping[DeviceId, Engine]:
        return dict(self.engines)

    def save(self, engines: Mapping[DeviceId, Engine]) -> bool:
        if self.working:
            self.engines.update(engines)
        return self.working


def test_a_fleet_is_discovered_once_and_a_restart_costs_no_discovery() -> None:
    memory = Memory()
    with simulated(300) as port:
        first = Sweeper("127.0.0.1", timeout=2.0, retries=1, memory=memory)
        sweeps = [first.sweep(targets(300, port)) for _ in range(2)]
        first.close()
        assert [s.stats.answered for s in sweeps] == [300, 300]
        assert [s.stats.sent for s in sweeps] == [600, 300]
        second = Sweeper("127.0.0.1", timeout=2.0, retries=1, memory=memory)
        restarted = second.sweep(targets(300, port))
        second.close()
    assert (restarted.stats.answered, restarted.stats.sent) == (300, 300)


def test_engines_the_memory_did_not_take_are_offered_again() -> None:
    memory = Memory()
    memory.working = False
    with simulated(3) as port:
        sweeper = Sweeper("127.0.0.1", timeout=2.0, retries=1, memory=memory)
        sweeper.sweep(targets(3, port))
        assert memory.engines == {}
        memory.working = True
        sweeper.sweep(targets(3, port))
        sweeper.close()
    assert len(memory.engines) == 3


def test_the_store_keeps_engines(tmp_path: Path) -> None:
    engines = {ME: Engine(b"\x80\x00\x00\x00\x01", 3, 77, 1_700_000_000.5)}
    with Store.open(tmp_path / "loa.db") as store:
        assert StoreEngines(store).save(engines)
        newer = {ME: Engine(b"\x80\x00\x00\x00\x01", 4, 1, 1_700_000_900.5)}
        assert StoreEngines(store).save(newer)
        assert StoreEngines(store).load() == newer


def test_discovery_over_a_lossy_link_loses_nobody_that_answers_in_time() -> None:
    """Every ninth answer is lost: discovery and question share the tries, and the window never waits."""
    with simulated(200, lose=9) as port:
        sweeper = Sweeper("127.0.0.1", timeout=0.3, retries=4)
        sweep = sweeper.sweep(targets(200, port))
        sweeper.close()
    assert sweep.stats.answered == 200
    assert sweep.stats.retries > 0


def test_a_changed_password_of_ours_needs_no_new_discovery() -> None:
    with simulated(2) as port:
        sweeper = Sweeper("127.0.0.1", timeout=0.5, retries=0)
        wrong = user(b"loa", AuthProtocol.SHA256, b"mat khau sai", PrivProtocol.AES128, PRIV)
        assert sweeper.sweep(targets(2, port)).stats.answered == 2
        bad = sweeper.sweep(targets(2, port, wrong))
        good = sweeper.sweep(targets(2, port))
        sweeper.close()
    assert all(refused(outcome).startswith("password") for outcome in bad.outcomes.values())
    assert (good.stats.answered, good.stats.sent) == (2, 2)


def test_both_versions_share_one_window() -> None:
    with simulated(20) as port:
        sweeper = Sweeper("127.0.0.1", timeout=2.0, retries=0)
        mixed = [*targets(10, port), *targets(20, port, Community(b"loa"))[10:]]
        sweep = sweeper.sweep(mixed)
        sweeper.close()
    assert sweep.stats.answered == 20
    assert all(right(outcome) for outcome in sweep.outcomes.values())
