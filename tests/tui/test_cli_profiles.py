"""The verbs about device families against a real snmpd, with the community in a real vault."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nms.monitor.profiles import BUILT_IN
from tests.sim.net_snmp import free_udp_port, net_snmp
from tests.sim.recording import read, replayed
from tests.tui.loa_command import Answer, Shell

COMMUNITY = "chỉ-để-thử"
DEVICES = Path(__file__).parents[1] / "devices"
GOOD = "profile: x\nrecognise: {sys_object_id: 1.3.6.1.4.1.1}\nmetrics:\n  cell: {oid: 1.3.6.1.4.1.1.1.0, kind: text}\n"


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An inventory folder with nothing but its encrypted secrets, and the password beside them."""
    folder = tmp_path_factory.mktemp("vault")
    password = folder / "password"
    password.touch(0o600)
    password.write_text("mật khẩu", encoding="utf-8")
    plain = folder / "plain.yaml"
    plain.write_text(f"snmp_community: {COMMUNITY}\n", encoding="utf-8")
    program = Path(sys.executable).with_name("ansible-vault")
    command = [str(program), "encrypt", "--vault-password-file", str(password)]
    command += ["--output", str(folder / "secrets.yaml"), str(plain)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def snmpd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with net_snmp(tmp_path_factory.mktemp("snmpd"), "sysname hub-thử\n", COMMUNITY) as port:
        yield port


def probe(shell: Shell, vault: Path, *arguments: str, **variables: str) -> Answer:
    settings = {"LOA_VAULT_PASSWORD_FILE": str(vault / "password"), "LOA_SNMP_TIMEOUT": "2s"}
    return shell.loa("--inventory", vault, "probe", *arguments, **(settings | variables))


def test_a_real_agent_is_recognised_and_shown(shell: Shell, vault: Path, snmpd: int) -> None:
    for _ in range(20):  # the agent may still be starting
        answer = probe(shell, vault, f"127.0.0.1:{snmpd}", "--json")
        if answer.code == 0:
            break
    seen = answer.json()
    assert (seen["name"], seen["profile"]) == ("hub-thử", "linux")
    assert seen["object_id"] == "1.3.6.1.4.1.8072.3.2.10"
    metrics = {m["metric"]: m for m in seen["metrics"]}
    memory = metrics["memory_bytes"]
    assert memory["value"] == int(memory["raw"]) * 1024 > 0
    assert (memory["unit"], memory["found"]) == ("B", "read")
    assert COMMUNITY not in answer.out + answer.err


def test_any_device_can_be_looked_at_as_any_family(shell: Shell, vault: Path, snmpd: int) -> None:
    answer = probe(shell, vault, f"127.0.0.1:{snmpd}", "--profile", "generic", "--json")
    seen = answer.json()
    assert seen["profile"] == "generic"
    assert [i["name"] for i in seen["interfaces"]][:1] == ["lo"]
    assert seen["interfaces"][0]["up"] is True
    assert probe(shell, vault, f"127.0.0.1:{snmpd}", "--profile", "nobody").code == 2


def test_a_person_sees_raw_beside_normalised(shell: Shell, vault: Path) -> None:
    with replayed(read(DEVICES / "rutos#rut956_07.13.yaml"), COMMUNITY.encode()) as port:
        answer = probe(shell, vault, f"127.0.0.1:{port}", LOA_LANG="en")
    assert answer.code == 0
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in answer.out.splitlines()}
    assert lines["rssi_dbm"] == '-58 dBm "-58 dBm" 1.3.6.1.4.1.48690.2.2.1.12.1'
    assert lines["temperature_c"] == "42 °C 420 1.3.6.1.4.1.48690.2.2.1.17.1"
    with replayed(read(DEVICES / "ups#online3000_1.0.yaml"), COMMUNITY.encode()) as port:
        answer = probe(shell, vault, f"127.0.0.1:{port}", LOA_LANG="en")
    assert "! on_battery" in answer.out


def test_silence_says_so_and_is_told_apart(shell: Shell, vault: Path) -> None:
    with replayed(read(DEVICES / "rutos#rut956_07.13.yaml"), b"another") as port:
        answer = probe(shell, vault, f"127.0.0.1:{port}", LOA_SNMP_TIMEOUT="1s", LOA_LANG="en")
    assert (answer.code, answer.out) == (4, "")
    assert "MON030" in answer.err
    answer = probe(shell, vault, f"127.0.0.1:{free_udp_port()}", LOA_SNMP_TIMEOUT="1s", LOA_LANG="en")
    assert answer.code == 4
    assert "Connection refused" in answer.err


@pytest.mark.parametrize("where", ["modem", "10.0.0.1:0", "10.0.0.1:99999", "10.0.0.1:", "::1", "10.0.0.256"])
def test_what_is_no_address_is_a_mistake_of_use(shell: Shell, vault: Path, where: str) -> None:
    assert probe(shell, vault, where).code == 2


def test_without_a_vault_nothing_is_asked(shell: Shell, vault: Path, tmp_path: Path) -> None:
    answer = shell.loa("--inventory", vault, "probe", "127.0.0.1:9")
    assert answer.code == 2
    assert "CFG020" in answer.err
    answer = probe(shell, vault, "127.0.0.1:9", LOA_VAULT_PASSWORD_FILE=str(tmp_path / "none"))
    assert (answer.code, "CFG007" in answer.err) == (2, True)


def test_the_families_we_ship_pass_the_check(shell: Shell) -> None:
    files = sorted(BUILT_IN.glob("*.yaml"))
    answer = shell.loa("profile", "check", *files)
    assert (answer.code, len(answer.out.splitlines())) == (0, len(files))


def test_a_mistake_is_shown_with_line_and_fix(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(GOOD.replace("kind: text", "kind: colour"), encoding="utf-8")
    answer = shell.loa("profile", "check", file, LOA_LANG="en")
    assert answer.code == 5
    assert f"{file}:4:40" in answer.err
    assert "kind: colour" in answer.err
    assert "use one of: number" in answer.err
    document = shell.loa("profile", "check", "--json", file).json()
    assert (document["errors"], document["profiles"]) == (1, [])
    assert [(d["code"], d["line"], d["column"]) for d in document["diagnostics"]] == [("MON005", 4, 40)]
    assert shell.loa("profile", "check", tmp_path / "none.yaml").code == 2
    assert shell.loa("profile", "check").code == 2
