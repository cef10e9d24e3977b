"""The lab is what it says: hosts that lose power and keep their disks, NATs, weak links, tunnels, and no traces."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import cgroups, keeper
from tests.lab.host import Host
from tests.lab.lab import PUBLIC, ROUTER, Lab, unavailable
from tests.lab.link import WEAK_4G, Link
from tests.lab.tunnel_kit import Interface

ROOT = Path(__file__).resolve().parents[2]
OWNER = """
import sys
from tests.lab.lab import Lab
with Lab() as lab:
    lab.host("23557-L01").wait()
    print(lab.id, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def lab(lab_image: Path) -> Iterator[Lab]:
    with Lab() as made:
        yield made


@pytest.fixture(scope="module")
def speaker(lab: Lab) -> Host:
    return lab.host("23557-L01", serial="A-17")


@pytest.fixture(scope="module")
def modem(lab: Lab) -> Host:
    return lab.modem("23557-M01", link=Link())


@pytest.fixture(scope="module")
def behind(lab: Lab, modem: Host) -> Host:
    return lab.host("23557-L02", behind=modem)


@pytest.fixture(scope="module")
def weak(lab: Lab) -> Host:
    return lab.host("23557-L03", link=Link())


def reached(lab: Lab, host: Host, address: str = "", seconds: int = 60) -> bool:
    """Whether a command over ssh from the centre succeeds in time."""
    done = lab.noc.run(["timeout", str(seconds), *lab.ssh(host, "true", address=address)], check=False)
    return done.returncode == 0


def cut_off(lab: Lab, host: Host, address: str = "") -> bool:
    return not reached(lab, host, address, seconds=3)


def pinged(host: Host, count: int) -> tuple[int, float]:
    """How many pings of the centre were answered, and their mean time in ms."""
    said = host.exec(["ping", "-q", "-c", str(count), "-i", "0.05", "-W", "2", PUBLIC], check=False).stdout
    answered = re.search(r"(\d+) received", said)
    mean = re.search(r"= [\d.]+/([\d.]+)/", said)
    assert answered is not None, said
    return int(answered[1]), float(mean[1]) if mean else 0.0


def eventually(done: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_without_root_it_says_why_there_is_no_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root" in (unavailable() or "")


def test_a_machine_without_the_programs_is_told_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "/nowhere")
    assert "mmdebstrap" in (unavailable() or "")


def test_a_host_is_as_the_factory_left_it(lab: Lab, speaker: Host) -> None:
    speaker.wait()
    state = "systemctl is-system-running --wait; hostname; cat /sys/class/dmi/id/product_serial"
    assert lab.noc.run(lab.ssh(speaker, state)).stdout.split() == ["running", "23557-l01", "A-17"]
    settings = speaker.exec(["sshd", "-T"]).stdout.splitlines()
    assert {"passwordauthentication no", "kbdinteractiveauthentication no"} <= set(settings)
    hashes = [line.split(":")[1] for line in speaker.exec(["cat", "/etc/shadow"]).stdout.splitlines()]
    assert not [one for one in hashes if one[:1] not in "!*" or not one]
    assert "community" not in speaker.read("/etc/snmp/snmpd.conf")
    assert speaker.exec(["systemctl", "is-active", "snmpd"], check=False).stdout == "inactive\n"
    assert speaker.exec(["apt-cache", "policy", "hello"]).stdout == ""
    speaker.exec(["python3", "-c", "import av, cryptography, paho.mqtt.client"])


def test_a_host_shows_the_key_that_the_lab_knows_and_no_other(lab: Lab, speaker: Host, behind: Host) -> None:
    speaker.wait()
    shown = lab.noc.run(["ssh-keyscan", "-t", "ed25519", speaker.address]).stdout
    assert speaker.host_key in shown
    assert behind.host_key not in shown


def test_a_power_cut_keeps_the_disk_and_nothing_else(lab: Lab, speaker: Host) -> None:
    boot = speaker.exec(["cat", "/proc/sys/kernel/random/boot_id"]).stdout
    speaker.exec(["sh", "-c", "echo kept >/var/lib/kept; echo lost >/run/lost; nft add table ip lost"])
    speaker.cut()
    assert cut_off(lab, speaker)
    assert speaker.read("/var/lib/kept") == "kept\n"
    speaker.write("/var/lib/new/file", "without power\n", 0o600)
    speaker.power_on()
    speaker.wait()
    assert reached(lab, speaker)
    assert speaker.exec(["cat", "/proc/sys/kernel/random/boot_id"]).stdout != boot
    assert speaker.exec(["cat", "/var/lib/kept", "/var/lib/new/file"]).stdout == "kept\nwithout power\n"
    assert speaker.exec(["test", "-e", "/run/lost"], check=False).returncode == 1
    assert speaker.exec(["nft", "list", "tables"]).stdout == ""


def test_a_disk_can_be_full(lab: Lab) -> None:
    small = lab.host("23557-L09", disk_mb=16)
    filled = small.exec(["dd", "if=/dev/zero", "of=/var/full", "bs=1M"], check=False)
    assert "No space left" in filled.stderr
    small.wait()


def test_a_write_never_leaves_the_disk(speaker: Host) -> None:
    speaker.exec(["ln", "-s", "/etc", "/outside"])
    speaker.write("/outside/of-the-lab", "inside\n")
    assert speaker.read("/etc/of-the-lab") == "inside\n"
    assert not Path("/etc/of-the-lab").exists()


@pytest.mark.slow
def test_behind_a_modem_the_way_out_is_open_and_the_way_in_closed(lab: Lab, modem: Host, behind: Host) -> None:
    modem.exec(["systemctl", "is-system-running", "--wait"])
    assert pinged(behind, 2)[0] == 2
    lan, carrier = behind.address.rpartition(".")[0], "198.18.1." + modem.address.split(".")[2]
    lab.noc.run(["ip", "route", "add", "100.64.0.0/10", "via", carrier])
    lab.noc.run(["ip", "route", "add", f"{lan}.0/24", "via", carrier])
    inside = lab.ssh(behind, "true")
    assert modem.space.run(inside, check=False).returncode == 0  # it would answer
    assert cut_off(lab, behind)
    assert cut_off(lab, modem)
    assert cut_off(lab, modem, carrier)
    assert not modem.exposed
    # the overlay's addresses are the tunnel's: a carrier knows no way to them
    assert behind.exec(["ping", "-c1", "-W1", "10.0.0.1"], check=False).returncode == 1


def test_a_link_delays(weak: Host) -> None:
    weak.link.set(Link(delay_ms=80, jitter_ms=30))
    answered, mean = pinged(weak, 10)
    assert answered == 10
    assert mean > 100


def test_a_link_loses(weak: Host) -> None:
    weak.link.set(Link(loss_percent=50))
    before = weak.link.counts()
    answered, _ = pinged(weak, 60)
    after = weak.link.counts()
    assert 0 < answered < 45
    assert after.lost > before.lost


def test_a_link_has_a_rate_and_counts_what_went_over_it(lab: Lab, weak: Host) -> None:
    weak.link.set(Link(rate_kbit=1000))
    received, _ = weak.bytes()
    begun = time.monotonic()
    lab.noc.run(lab.ssh(weak, "cat >/dev/null"), input="x" * 250_000)
    assert time.monotonic() - begun > 1.5  # two seconds' worth of bits
    assert 250_000 < weak.bytes()[0] - received < 500_000


def test_an_outage_cuts_the_link_until_it_is_over(lab: Lab, weak: Host) -> None:
    weak.link.set(Link())
    assert reached(lab, weak)
    weak.link.cut()
    assert cut_off(lab, weak)
    weak.link.restore()
    assert reached(lab, weak)


def test_a_weak_host_comes_back_from_a_power_cut(lab: Lab, weak: Host) -> None:
    weak.link.set(Link())
    weak.cut()
    assert cut_off(lab, weak)
    weak.power_on()
    weak.wait()
    assert reached(lab, weak)


def test_a_plain_cable_has_no_link_to_weaken(speaker: Host) -> None:
    with pytest.raises(ValueError, match="plain cable"):
        speaker.link.cut()


@pytest.mark.slow
def test_a_tunnel_reaches_a_host_behind_the_nat_over_a_weak_radio(lab: Lab, modem: Host, behind: Host) -> None:
    keys = [lab.noc.run(["wg", "genkey"]).stdout for _ in range(2)]
    hub, device = (lab.noc.run(["wg", "pubkey"], input=key).stdout.strip() for key in keys)
    overlay = "10.184.10.2"
    peer = f"[Peer]\nPublicKey = {hub}\nEndpoint = {PUBLIC}:51820\nAllowedIPs = 10.0.0.1/32\nPersistentKeepalive = 1\n"
    own = f"[Interface]\nPrivateKey = {keys[1].strip()}\nAddress = {overlay}/32\nMTU = 1380\n"
    behind.write("/etc/wireguard/wg0.conf", own + peer, 0o600)
    (lab.folder / "hub.key").write_text(keys[0])
    tunnel = Interface(lab.noc)
    try:
        listen = ["listen-port", "51820", "private-key", str(lab.folder / "hub.key")]
        lab.noc.run(["wg", "set", tunnel.name, *listen, "peer", device, "allowed-ips", f"{overlay}/32"])
        lab.noc.run(["ip", "link", "set", tunnel.name, "mtu", "1380", "up"])
        lab.noc.run(["ip", "route", "add", f"{overlay}/32", "dev", tunnel.name, "src", "10.0.0.1"])
        behind.exec(["systemctl", "start", "wg-quick@wg0"])
        modem.link.set(WEAK_4G)
        eventually(lambda: reached(lab, behind, overlay, seconds=20))
        modem.link.set(Link())
        modem.cut()
        assert cut_off(lab, behind, overlay)
        modem.power_on()
        eventually(lambda: reached(lab, behind, overlay, seconds=5))
    finally:
        tunnel.close()


def test_a_router_has_a_command_line_of_its_own(lab: Lab) -> None:
    router = lab.router("router-1", address="10.9.9.9")
    router.wait()
    talk = "configure terminal\nip route 10.1.0.0/16 Null0\nend\nwrite memory\nshow running-config\n"

    def asked() -> str:
        return lab.noc.run(lab.ssh(router, user=ROUTER), input=talk, check=False).stdout

    eventually(lambda: "Hello, this is FRRouting" in asked())
    said = asked()
    assert "Integrated configuration saved" in said
    assert "\nip route 10.1.0.0/16 Null0" in said
    assert "Unknown command" in lab.noc.run(lab.ssh(router, "cat /etc/passwd", user=ROUTER), check=False).stdout
    assert "ip route 10.1.0.0/16 Null0" in router.read("/etc/frr/frr.conf")


def test_this_thread_can_be_in_the_lab(lab: Lab, speaker: Host) -> None:
    speaker.wait()
    outside = Path("/proc/self/ns/net").readlink()
    with lab.noc.entered():
        inside = Path("/proc/thread-self/ns/net").readlink()
        subprocess.run(["ssh-keyscan", speaker.address], check=True, capture_output=True)
    assert inside != outside
    assert Path("/proc/self/ns/net").readlink() == outside


def traces(lab: str) -> list[str]:
    """What is left of a lab on this machine."""
    found = [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{lab}")] + [str(p) for p in cgroups.processes(lab)]
    if keeper.folder(lab).exists():
        found.append(str(keeper.folder(lab)))
    return found + [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if lab in line]


def test_a_program_that_moves_itself_further_down_is_started_all_the_same(lab: Lab) -> None:
    """As systemd-nspawn does, at times before anybody has seen it in its host's own group."""
    down = 'for group in "$@"; do mkdir "$group/down" && echo 0 >"$group/down/cgroup.procs"; done; exec sleep 1000'
    groups = [str(group) for group in lab.noc.groups]
    moved = lab.noc.popen(["sh", "-c", down, "sh", *groups])
    eventually(lambda: (Path("/proc") / str(moved.pid) / "comm").read_text() == "sleep\n")
    assert all(cgroups.holds(group, moved.pid) for group in lab.noc.groups)
    moved.kill()
    moved.wait()
    assert not any(cgroups.holds(group, moved.pid) for group in lab.noc.groups)


def test_two_labs_know_nothing_of_each_other_and_leave_no_trace(lab_image: Path) -> None:
    with Lab() as one, Lab() as other:
        first, second = one.host("23557-L01"), other.host("23557-L01")
        assert first.address == second.address
        second.exec(["touch", "/etc/second"])
        assert first.exec(["test", "-e", "/etc/second"], check=False).returncode == 1
        other.modem("23557-M01", link=Link()).wait()
        server = one.noc.popen(["sleep", "1000"])
        started = cgroups.processes(one.id) | cgroups.processes(other.id)
        assert server.pid in started
    assert server.wait() == -signal.SIGKILL
    eventually(lambda: not [pid for pid in started if Path(f"/proc/{pid}").exists()])  # init reaps when it likes
    assert traces(one.id) == traces(other.id) == []


def owned() -> tuple[subprocess.Popen[str], str]:
    """A process that owns a lab with a running host, and the lab's name."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    return owner, owner.stdout.readline().strip()


def test_a_killed_owner_leaves_no_trace(lab_image: Path) -> None:
    owner, lab = owned()
    with owner:
        assert traces(lab)
        owner.kill()
    eventually(lambda: traces(lab) == [])


def test_what_a_killed_keeper_left_is_swept_by_the_next_lab(lab_image: Path) -> None:
    owner, lab = owned()
    with owner:
        children = Path(f"/proc/{owner.pid}/task/{owner.pid}/children").read_text().split()
        kept = next(
            pid for pid in map(int, children) if b"tests.lab.keeper" in Path(f"/proc/{pid}/cmdline").read_bytes()
        )
        os.kill(kept, signal.SIGKILL)
        owner.kill()
    assert cgroups.processes(lab)
    with Lab():
        assert traces(lab) == []
