"""The hub's playbook on a fresh machine: what it sets up runs, listens where it should, and again changes nothing."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nms.settings import SAMPLE
from tests.lab.host import Host
from tests.lab.image import HUB, Unavailable, image
from tests.lab.lab import Lab

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(sys.prefix) / "lib/python3.11/site-packages"
COMMAND = '#!/bin/sh\nPYTHONPATH=/opt/loa/source:/opt/loa/site exec /usr/bin/python3 -m tui.cli "$@"\n'
PHRASE = "only for this test"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SITE.is_dir(), reason="the hub's machine has Python 3.11, this environment another one"),
]


@pytest.fixture(scope="module")
def lab(lab_image: Path) -> Iterator[Lab]:
    try:
        image(HUB)
    except Unavailable as error:
        pytest.skip(f"no machine for a hub: {error}")
    with Lab() as made:
        yield made


@pytest.fixture(scope="module")
def hub(lab: Lab) -> Host:
    """A machine that the playbook has never seen; Loa is there as it would be installed."""
    host = lab.hub("hub", {ROOT: "/opt/loa/source", SITE: "/opt/loa/site"})
    host.write("/opt/loa/bin/loa", COMMAND, 0o755)
    # a host of the lab has the machine's clock and may not set it
    host.write("/etc/systemd/system/chrony.service.d/lab.conf", "[Unit]\nConditionCapability=\n")
    host.write("/etc/default/chrony", 'DAEMON_OPTS="-x"\n')
    lab.ready()
    return host


def playbook(lab: Lab, hub: Host, folder: Path, *more: str) -> str:
    """Runs it as a person would; what it printed."""
    # the lab itself is 10/8: the tunnel must not take its way
    variables = [
        "-e",
        "hub_overlay_octet=11",
        "-e",
        "hub_loa_inventory=/etc/loa/inventory",
        "-e",
        "hub_watch_webhook=http://127.0.0.1:9/page",
    ]
    command = [str(Path(sys.prefix) / "bin/ansible-playbook"), "-i", f"{hub.name},", *variables, *more]
    environment = {
        **os.environ,
        # one connection for all tasks, as Ansible does by itself where it is not told which file to read
        "ANSIBLE_SSH_ARGS": f"-F {lab.ssh_config} -o ControlMaster=auto -o ControlPersist=60s",
        "ANSIBLE_SSH_CONTROL_PATH": f"{lab.folder}/%%C",
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_HOME": str(folder / "home"),
        "LC_ALL": "C.UTF-8",
    }
    done = lab.noc.run([*command, str(ROOT / "playbooks/hub.yml")], env=environment, check=False, timeout=900)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    return done.stdout


def changed(output: str) -> int:
    return int(re.findall(r"changed=(\d+)", output)[-1])


def loa(hub: Host, *arguments: str, check: bool = True) -> str:
    account = ["runuser", "-u", "loa", "--", "env", f"LOA_ROOT_PASSPHRASE={PHRASE}", "/opt/loa/bin/loa"]
    return hub.exec([*account, *arguments], check=check).stdout


def active(hub: Host, unit: str) -> str:
    return hub.exec(["systemctl", "is-active", unit], check=False).stdout.strip()


def test_a_fresh_machine_becomes_a_hub(lab: Lab, hub: Host, tmp_path: Path) -> None:
    # before people have made keys: everything is there, and what needs keys waits for them
    playbook(lab, hub, tmp_path, "--check")
    first = playbook(lab, hub, tmp_path)
    assert "The hub has no keys yet" in first
    assert (active(hub, "postgresql@15-main"), active(hub, "loa"), active(hub, "prometheus")) == (
        "active",
        "inactive",
        "active",
    )
    # people do what only people may
    folder = tmp_path / "inventory"
    shutil.copytree(SAMPLE, folder)
    network = folder / "network.yaml"
    tunnel = "hub: {name: hub.gialai.example, endpoint: 'hub.gialai.example:51820', public_key: " + "A" * 43 + "=}\n"
    network.write_text(network.read_text() + tunnel)
    plain, password = tmp_path / "plain.yaml", tmp_path / "password"
    plain.write_text("snmp_community: only-for-this-test\n")
    password.write_text("a vault for this test\n")
    vault = [str(Path(sys.prefix) / "bin/ansible-vault"), "encrypt", "--vault-password-file", str(password)]
    lab.noc.run([*vault, "--output", str(folder / "secrets.yaml"), str(plain)])
    hub.write("/var/lib/loa/vault.password", password.read_text(), 0o600)
    hub.exec(["chown", "loa:loa", "/var/lib/loa/vault.password"])
    lab.noc.run(["tar", "-C", str(tmp_path), "-cf", str(tmp_path / "i.tar"), "inventory"])
    hub.exec(["mkdir", "-p", "/etc/loa"])
    copied = ["sh", "-c", f"ssh -F {lab.ssh_config} {hub.name} tar -C /etc/loa -xf - < {tmp_path / 'i.tar'}"]
    lab.noc.run(copied)
    hub.exec(["chown", "-R", "loa:loa", "/etc/loa/inventory"])
    for verb in (["keys"], ["policies"], ["pki", "init"], ["pki", "hub"]):
        loa(hub, *verb)
    assert changed(playbook(lab, hub, tmp_path)) > 0
    for unit in (
        "chrony",
        "wg-quick@loa",
        "loa-peers.path",
        "loa",
        "mosquitto",
        "loa-broker.path",
        "loa-revoked.path",
        "prometheus-alertmanager",
        "nginx",
    ):
        assert active(hub, unit) == "active", hub.exec(["journalctl", "-u", unit, "-n", "30"], check=False).stdout
    # the third time there is nothing left to do
    assert changed(playbook(lab, hub, tmp_path)) == 0


def test_it_runs_with_few_rights_and_listens_where_it_should(hub: Host) -> None:
    listening = hub.exec(["ss", "-Htlnp"]).stdout
    everywhere = {
        line.split()[3].rsplit(":", 1)[1] for line in listening.splitlines() if not line.split()[3].startswith("127.")
    }
    assert everywhere == {"22", "8883", "8884", "8444"}, listening
    status = hub.exec(
        ["systemctl", "show", "loa", "-p", "User,NoNewPrivileges,ProtectSystem,CapabilityBoundingSet,NRestarts"]
    ).stdout
    assert {
        "User=loa",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=cap_net_bind_service",
        "NRestarts=0",
    } <= set(status.split())
    for _ in range(120):
        if hub.exec(["test", "-S", "/var/lib/loa/hub.sock"], check=False).returncode == 0:
            break
        hub.exec(["sleep", "0.5"])
    else:
        pytest.fail(hub.exec(["journalctl", "-u", "loa", "-n", "40", "--no-pager"]).stdout)
    state = loa(hub, "status", check=False)  # nobody answers the polls here
    assert "1.704" in state
    rules = hub.exec(
        [
            "sh",
            "-c",
            "python3 - <<'E'\nimport urllib.request\nprint(urllib.request.urlopen('http://127.0.0.1:9090/api/v1/rules').read().decode())\nE",
        ]
    ).stdout
    assert "LoaModemDown" in rules


def test_a_revoked_certificate_ends_the_sessions_and_a_new_acl_does_not(hub: Host) -> None:
    before = hub.exec(["systemctl", "show", "mosquitto", "-p", "MainPID"]).stdout
    hub.exec(["runuser", "-u", "loa", "--", "touch", "/var/lib/loa/broker/acl"])
    hub.exec(["sh", "-c", "sleep 2"])
    assert hub.exec(["systemctl", "show", "mosquitto", "-p", "MainPID"]).stdout == before
    request = (
        "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /root/k -subj /CN=x -out /srv/r"
    )
    hub.exec(["sh", "-c", request + " && chmod 644 /srv/r"])
    loa(hub, "pki", "issue", "23557-L01", "--csr", "/srv/r")
    loa(hub, "pki", "revoke", "23557-L01")
    for _ in range(60):
        if hub.exec(["systemctl", "show", "mosquitto", "-p", "MainPID"]).stdout != before:
            break
        hub.exec(["sleep", "0.5"])
    assert hub.exec(["systemctl", "show", "mosquitto", "-p", "MainPID"]).stdout != before
    hub.exec(["systemctl", "start", "mosquitto"])  # waits for the start under way
    assert active(hub, "mosquitto") == "active"
