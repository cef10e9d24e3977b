"""The sample province: valid, the same on every run, and true to what is known of it."""

from __future__ import annotations

import unicodedata
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from inventory.load import load
from inventory.model import DeviceKind, HamletId, Network, Role, Technology, Tier, UnitId, UnitType
from tests.sim import province, province_facts, province_fleet

SAMPLE = Path(__file__).parents[2] / "inventory" / "gia-lai"
AS_OF = date(2024, 10, 1)


@pytest.fixture(scope="module")
def network() -> Network:
    loaded, diagnostics = load(SAMPLE)
    assert diagnostics == ()
    assert loaded is not None
    return loaded


def clusters(network: Network, unit: str, on: date = AS_OF) -> int:
    found = [d for d in network.devices_on(on) if d.kind is DeviceKind.LOUDSPEAKER]
    return sum(network.unit_of(d, on) == unit for d in found)


def test_the_committed_files_are_what_the_generator_writes(tmp_path: Path) -> None:
    province.main(["sample", "--out", str(tmp_path)])
    written = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*.yaml")}
    committed = {p.relative_to(SAMPLE): p.read_bytes() for p in SAMPLE.rglob("*.yaml")}
    assert written.keys() == committed.keys()
    assert [name for name in written if written[name] != committed[name]] == []


def test_every_file_says_that_it_is_generated_and_what_is_invented() -> None:
    for path in SAMPLE.rglob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert text.startswith("# Generated from a seed by: python -m tests.sim.province sample"), path
        assert "invented" in text.splitlines()[1], path
        assert unicodedata.is_normalized("NFC", text), path


def test_units_by_date(network: Network) -> None:
    def count(on: date) -> tuple[int, int, int]:
        communes = list(network.units_on(on, Tier.COMMUNE))
        urban = sum(u.type in (UnitType.WARD, UnitType.TOWNSHIP) for u in communes)
        return sum(1 for _ in network.units_on(on, Tier.DISTRICT)), len(communes), urban

    assert count(date(2024, 10, 31)) == (17, 220, 38)
    assert count(date(2024, 11, 1)) == (17, 218, 38)
    assert count(date(2025, 6, 30)) == (17, 218, 38)
    assert count(date(2025, 7, 1)) == (0, 77, 8)


def test_every_commune_has_one_successor(network: Network) -> None:
    for unit in network.units_on(AS_OF, Tier.COMMUNE):
        heir = network.successor(unit.id, date(2025, 7, 1))
        assert heir is not None, unit
        assert network.units[heir].parent == "52"


def test_a_part_of_a_commune_that_went_elsewhere_went_with_its_hamlet(network: Network) -> None:
    moved = [d for d in network.devices.values() if d.unit == "23674"]
    after = Counter(network.unit_of(d, date(2024, 11, 1)) for d in moved)
    assert set(after) == {UnitId("23674-2024"), UnitId("23662")}


def test_both_spellings_are_there(network: Network) -> None:
    kbang = network.units[UnitId("625")]
    assert (kbang.name, kbang.aliases) == ("Huyện KBang", ("Kbang", "KBang"))
    assert {"Đak Đoa", "Đăk Đoa"} <= set(network.units[UnitId("626")].aliases)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("23627", 15),
        ("24022", 8),
        ("24025", 14),
        ("24031", 18),
        ("24109", 12),
        ("24061", 19),
        ("23644", 9),
        ("24013", 4),
        ("24079", 6),
    ],
)
def test_what_is_known_of_single_communes(network: Network, code: str, expected: int) -> None:
    assert clusters(network, code) == expected


def test_clusters_after_the_reform(network: Network) -> None:
    after = date(2025, 9, 6)
    assert clusters(network, "24109-2025", after) == 12
    assert clusters(network, "24061-2025", after) == 19
    assert clusters(network, "23644-2025", after) == 9
    assert clusters(network, "24112-2025", after) == 6


def test_mo_nang_2_hears_jrai_first(network: Network) -> None:
    hamlet = network.hamlets[HamletId("24022-H02")]
    assert (hamlet.name, hamlet.word, hamlet.languages) == ("Làng Mơ Nang 2", "làng", ("jra", "vi"))
    assert sum(d.hamlet == hamlet.id and d.kind is DeviceKind.LOUDSPEAKER for d in network.devices.values()) == 3
    others = [h for h in network.hamlets.values() if h.memberships[0].unit == "24022" and h.id != hamlet.id]
    assert {h.languages for h in others} == {("vi",)}


def test_size_and_links(network: Network) -> None:
    kinds = Counter(d.kind for d in network.devices.values())
    assert 1800 <= kinds.total() <= 2000
    assert 60 <= kinds[DeviceKind.MODEM] <= 100
    ip = [s for s in network.stations.values() if s.technology(AS_OF) is Technology.IP]
    old = [s for s in network.stations.values() if s.technology(AS_OF) in (Technology.WIRED, Technology.FM)]
    assert (len(ip), len(old)) == (104, 99)
    assert all(s.condition is not None and s.surveyed is not None and s.surveyed < AS_OF for s in ip + old)
    for device in network.devices.values():
        assert (device.sim is None) != (device.uplink is None), device.id
    for modem in (d for d in network.devices.values() if d.kind is DeviceKind.MODEM):
        assert {i.split("-")[1][0] for i in network.behind(modem.id)} == {"L", "B"}
        assert all(network.devices[i].in_service >= modem.in_service for i in network.behind(modem.id))


def test_numbers_are_invented_and_unique(network: Network) -> None:
    sims = [d.sim for d in network.devices.values() if d.sim]
    phones = [h.contact.phone for h in network.hamlets.values() if h.contact]
    assert all(s.number.startswith("0000") for s in sims)
    assert all(p.startswith("0000 ") for p in phones)
    assert len({s.number for s in sims}) == len({s.iccid for s in sims}) == len(sims)
    assert len(set(phones)) == len(phones) == len(network.hamlets)


def test_planned_stations_have_no_clusters_yet_and_nothing_else_of_2024_is_late(network: Network) -> None:
    for device in network.devices.values():
        assert device.in_service < AS_OF or device.in_service.year == 2025, device.id
        if device.kind is DeviceKind.LOUDSPEAKER:
            assert network.stations[device.unit].technology(device.in_service) is Technology.IP
            assert device.in_service < AS_OF


def test_every_device_stands_in_the_province(network: Network) -> None:
    for device in network.devices.values():
        assert device.location is not None
        assert 12.9 < device.location.latitude < 14.7
        assert 107.3 < device.location.longitude < 109.0


def test_every_tier_has_an_editor_and_an_approver_who_differ(network: Network) -> None:
    tiers: dict[Tier, dict[Role, set[str]]] = {t: {r: set() for r in Role} for t in Tier}
    for person in network.people.values():
        for role in person.roles:
            tiers[network.units[person.area].tier][role].add(person.user)
    for roles in tiers.values():
        assert roles[Role.EDITOR]
        assert roles[Role.APPROVER]
        assert not roles[Role.EDITOR] & roles[Role.APPROVER]
    assert len({p.name for p in network.people.values()}) == len(network.people)


def test_the_riverside_group_cuts_across_communes(network: Network) -> None:
    (group,) = network.groups.values()
    assert len({network.hamlets[h].memberships[0].unit for h in group.hamlets}) == 6
    heard = [d for d in network.devices_on(AS_OF) if group.id in network.groups_of(d)]
    assert len(heard) >= len(group.hamlets)


@pytest.mark.parametrize(("devices", "communes"), [(1, 220), (5000, 220), (23000, 230)])
def test_a_fleet_of_any_size_is_valid(tmp_path: Path, devices: int, communes: int) -> None:
    province.main(["fleet", "--devices", str(devices), "--out", str(tmp_path)])
    network, diagnostics = load(tmp_path)
    assert diagnostics == ()
    assert network is not None
    assert len(network.devices) == devices
    assert sum(1 for _ in network.units_on(AS_OF, Tier.COMMUNE)) == communes


def test_the_fleet_is_the_same_on_every_run() -> None:
    facts = province_facts.load()
    assert list(province_fleet.fleet(facts, 400)) == list(province_fleet.fleet(facts, 400))


def test_quiet_hours_and_sessions_outlive_the_reform(network: Network) -> None:
    for on in (AS_OF, date(2025, 7, 1)):
        for unit in network.units_on(on, Tier.COMMUNE):
            chain = network.chain(unit.id)
            assert sum(q.unit in chain for q in network.quiet_hours) == 1, unit
            assert [s.start.hour for s in network.sessions if s.unit in chain] == [5, 11, 17], unit


@pytest.mark.parametrize("devices", ["0", "3174401"])
def test_a_fleet_without_room_is_refused(tmp_path: Path, devices: str) -> None:
    with pytest.raises(SystemExit):
        province.main(["fleet", "--devices", devices, "--out", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []
