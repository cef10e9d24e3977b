"""The pure half of modems' drivers: what is read, compared, commanded and hidden. The stand-ins' own implementations of
the languages, written apart, say what commands would do."""

from __future__ import annotations

import copy
import io
import shlex
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from inventory.model import DeviceId
from nms.provision.drivers.language import (
    MASK,
    Unchangeable,
    from_backup,
    host,
    missing,
    plain,
    possible,
    recalled,
    remembered,
    wishes,
)
from nms.provision.drivers.routeros import RouterOS
from nms.provision.drivers.uci import Uci
from nms.provision.drivers.vtysh import Vtysh
from nms.provision.values import Family, Kind, Manifest, Resource, digest_of
from tests.sim.cli_routeros import RouterOSBox
from tests.sim.cli_uci_tree import Uci as UciProgram
from tests.sim.cli_uci_tree import UciTree

UCI, ROUTEROS, VTYSH = Uci(), RouterOS(), Vtysh()

TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=20)
WORD = st.from_regex(r"[a-z][a-z0-9_]{0,7}", fullmatch=True)
VALUE = TEXT.filter(lambda t: not t.startswith("- ")) | st.lists(TEXT, min_size=1, max_size=3).map(
    lambda items: "\n".join(f"- {item}" for item in items)
)


@st.composite
def uci_states(draw: st.DrawFn) -> dict[str, str]:
    found: dict[str, str] = {}
    for package in draw(st.lists(st.sampled_from(["network", "system", "firewall"]), unique=True, max_size=3)):
        for section in draw(st.lists(WORD, unique=True, max_size=3)):
            found |= _section(draw, f"{package}.{section}", draw(WORD) + "_named")
        kind = draw(WORD)
        for number in range(draw(st.integers(0, 3))):
            found |= _section(draw, f"{package}.@{kind}[{number}]", kind)
    return found


def _section(draw: st.DrawFn, name: str, kind: str) -> dict[str, str]:
    options = draw(st.dictionaries(WORD, VALUE, max_size=3))
    return {name: kind} | {f"{name}.{key}": value for key, value in options.items()}


def run_batch(commands: tuple[str, ...], state: Mapping[str, str], folder: Path) -> dict[str, str]:
    """What ``uci`` would make of a state."""
    packages = {name.partition(".")[0] for name in state}
    packages |= {shlex.split(c)[2].rpartition("/")[2] for c in commands if c.startswith("[ -e ")}
    for old in folder.iterdir():
        old.unlink()
    for package in packages:
        UciTree.of({n: t for n, t in state.items() if n.startswith(f"{package}.")}).save(folder / package)
    batch = next(c for c in commands if c.startswith("refused=")).split("<<'LOA-BATCH'\n")[1]
    errors = io.StringIO()
    with redirect_stderr(errors), redirect_stdout(io.StringIO()):
        UciProgram(folder).batch(batch.rpartition("\nLOA-BATCH")[0])
    assert errors.getvalue() == ""
    out = io.StringIO()
    with redirect_stdout(out):
        UciProgram(folder).export()
    return UCI.parse(out.getvalue())


@settings(deadline=None)
@given(state=uci_states())
def test_uci_reads_what_uci_exports(state: dict[str, str]) -> None:
    packages = {name.partition(".")[0] for name in state}
    text = "".join(
        UciTree.of({n: t for n, t in state.items() if n.startswith(f"{p}.")}).export(p) for p in sorted(packages)
    )
    assert UCI.parse(text) == state


@settings(deadline=None)
@given(before=uci_states(), after=uci_states())
def test_uci_commands_make_one_state_of_another(
    before: dict[str, str], after: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    wanted = {**dict.fromkeys(before), **after}
    assume(missing(before, wanted))
    made = run_batch(UCI.change(before, wanted, ()), before, tmp_path_factory.mktemp("uci"))
    assert made == after


def test_uci_hides_secrets_only() -> None:
    text = UciTree.of(
        {
            "network.loa": "interface",
            "network.loa.private_key": "cGhpbQ==",
            "network.loa.public_key": "Y8ng",
            "network.loa.preshared_key": "it's",
            "network.loa.apn": "v-internet",
            "wireless.ap": "wifi-iface",
            "wireless.ap.key": "mật khẩu",
        }
    ).export("network")
    shown = UCI.kept(text)
    for secret in ("cGhpbQ==", "it'", "mật khẩu"):
        assert secret not in shown
    parsed = UCI.parse(shown)
    assert parsed["network.loa.public_key"] == "Y8ng"
    assert parsed["network.loa.apn"] == "v-internet"
    assert parsed["network.loa.private_key"] == MASK


# -- RouterOS

PROPS = st.dictionaries(st.sampled_from(["apn", "user", "authentication", "password"]), TEXT, max_size=3)
PEERS = st.dictionaries(
    TEXT.filter(lambda t: "]" not in t and not t.isspace()),
    st.dictionaries(st.sampled_from(["endpoint-address", "interface", "public-key"]), TEXT, min_size=1, max_size=3),
    max_size=3,
)


@settings(deadline=None)
@given(apn=PROPS, before=PEERS, after=PEERS, source=st.text('abc đê\n"$', max_size=900))
def test_routeros_commands_make_one_configuration_of_another(
    apn: dict[str, str], before: dict[str, dict[str, str]], after: dict[str, dict[str, str]], source: str
) -> None:
    box = RouterOSBox()
    first = wanted_of({}, before)
    apply(box, first)
    wish = {**dict.fromkeys(first), **wanted_of(apn, after), "/system script[name=loa-applied] source": source or None}
    apply(box, wish)
    current = ROUTEROS.parse(box.exported())
    assert not missing(current, possible(ROUTEROS.words, wish))
    assert {name for name in current if name.startswith("/interface wireguard peers[")} == {
        *wanted_of({}, after),
        *(f"/interface wireguard peers[comment={comment}] comment" for comment in after),
    }


def wanted_of(apn: Mapping[str, str], peers: Mapping[str, Mapping[str, str]]) -> dict[str, str | None]:
    found: dict[str, str | None] = {f"/interface lte apn[default=yes] {key}": text for key, text in apn.items()}
    for comment, props in peers.items():
        found |= {f"/interface wireguard peers[comment={comment}] {key}": text for key, text in props.items()}
    return found


def apply(box: RouterOSBox, wanted: Mapping[str, str | None]) -> None:
    current = ROUTEROS.parse(box.exported())
    for command in ROUTEROS.change(current, possible(ROUTEROS.words, wanted), ()):
        assert len(command) < 1500
        assert box.run(command) == "", command


def test_routeros_changes_the_link_last() -> None:
    wanted = {"/interface lte apn[default=yes] apn": "m-wap", "/system identity name": "Ia Rsai"}
    commands = ROUTEROS.change({}, wanted, ())
    assert "; ".join(commands).index("identity") < "; ".join(commands).index("lte apn")


def test_routeros_cannot_change_what_has_no_name() -> None:
    current = ROUTEROS.parse(RouterOSBox().exported())
    assert current["/ip firewall filter[#1] chain"] == "forward"
    with pytest.raises(Unchangeable, match="#1"):
        ROUTEROS.change(current, {"/ip firewall filter[#1] chain": "input"}, ())


def test_routeros_keeps_neither_secrets_nor_the_moment_nor_the_probation() -> None:
    box = RouterOSBox()
    for command in ROUTEROS.arm(300):
        assert "failure" not in box.run(command)
    box.run('/system script add name=x source="/ppp secret add password=\\"mật\\" name=a"')
    shown = ROUTEROS.kept(box.exported())
    for word in ("bí mật", "SFsx+rM=", "loa-guard", "2025-11-10", "mật", "m\\E1"):
        assert word not in shown
    assert ROUTEROS.parse(shown)["/interface lte apn[default=yes] password"] == MASK
    assert ROUTEROS.parse(shown)["/interface lte apn[default=yes] apn"] == "v-internet"


# -- vtysh

RUNNING = """Building configuration...

Current configuration:
!
frr version 8.4.4
frr defaults traditional
hostname chu-te
no ipv6 forwarding
service integrated-vtysh-config
!
ip route 10.0.0.0/8 192.0.2.1
!
interface lan
 description Cụm loa buôn Chư Tê
 ip address 192.0.2.9/24
 ip address 192.0.2.10/24
 shutdown
exit
!
router bgp 65000
 neighbor 192.0.2.1 remote-as 65001
 neighbor 192.0.2.1 password hushhush
 !
 address-family ipv4 unicast
  network 198.51.100.0/24
 exit-address-family
exit
!
end
"""


def test_vtysh_reads_lines_inside_lines() -> None:
    assert VTYSH.parse(RUNNING) == {
        "hostname": "chu-te",
        "no ipv6": "forwarding",
        "service": "integrated-vtysh-config",
        "ip route 10.0.0.0/8": "192.0.2.1",
        "interface lan / description": "Cụm loa buôn Chư Tê",
        "interface lan / ip address": "192.0.2.9/24\n192.0.2.10/24",
        "interface lan / shutdown": "yes",
        "router bgp 65000 / neighbor 192.0.2.1 remote-as": "65001",
        "router bgp 65000 / neighbor 192.0.2.1 password": "hushhush",
        "router bgp 65000 / address-family ipv4 unicast / network": "198.51.100.0/24",
    }


def test_vtysh_changes_line_by_line() -> None:
    wanted = {
        "interface lan / ip address": "192.0.2.9/24\n192.0.2.11/24",
        "interface lan / description": "Làng Mơ Nang 2",
        "interface lan / shutdown": None,
        "no ipv6": None,
    }
    commands = VTYSH.change(VTYSH.parse(RUNNING), wanted, ())
    inside = ["configure terminal", "interface lan"]
    assert commands == (
        *inside,
        *("no ip address 192.0.2.10/24", "ip address 192.0.2.11/24", "end"),
        *inside,
        *("description Làng Mơ Nang 2", "end"),
        *inside,
        *("no shutdown", "end"),
        *("configure terminal", "ipv6 forwarding", "end"),
    )


def test_vtysh_hides_passwords() -> None:
    assert "hushhush" not in VTYSH.kept(RUNNING)
    assert VTYSH.parse(VTYSH.kept(RUNNING))["router bgp 65000 / neighbor 192.0.2.1 password"] == MASK


# -- what all have in common


def test_what_loa_left_is_remembered_in_its_order_and_gone_when_no_longer_wanted() -> None:
    options = {"b": "2", "a": "- x\n- y"}
    assert list(recalled(remembered(options)).items()) == [(n, digest_of(t)) for n, t in options.items()]
    manifest = Manifest(
        DeviceId("23557-M01"),
        Family.UCI,
        {"option:b": Resource(Kind.OPTION, "b", "3", restarts=("snmpd",))},
    )
    wanted, restarts = wishes(manifest, {**options, "memory": remembered(options)}, "memory")
    assert wanted == {"b": "3", "a": None, "memory": remembered({"b": "3"})}
    assert restarts == ("snmpd",)


def test_a_backup_is_wanted_whole_but_for_its_secrets() -> None:
    backup = {"a": "1", "key": MASK}
    assert from_backup(backup, {"a": "2", "key": "hush", "extra": "x"}) == {"a": "1", "extra": None}


def test_an_export_says_what_the_device_is() -> None:
    text = "loa-host model=GL-X750\nloa-host serial=\nloa-host os=OpenWrt 23.05 \npackage network\n"
    assert host(text) == {"model": "GL-X750", "os": "OpenWrt 23.05"}
    assert plain(text) == "package network\n"


def test_the_stand_in_loses_files_in_memory_when_it_restarts() -> None:
    """Why the backup goes into the folder flash where there is one."""
    box = RouterOSBox(flash=True)
    before = copy.deepcopy(ROUTEROS.parse(box.exported()))
    for command in ROUTEROS.arm(300):
        box.run(command)
    assert box.run("/system identity set name=other") == ""
    box.power_off()
    box.power_on()
    from tests.sim.cli_ssh import until

    assert until(lambda: ROUTEROS.parse(box.exported()) == before)
    box.power_off()
