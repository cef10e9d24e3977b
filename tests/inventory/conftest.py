"""A small valid province with everything a rule can be broken in: a reform, a merge, one of each kind of device."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from inventory.diagnostics import Diagnostic
from inventory.load import load
from inventory.model import Network

KEY = base64.b64encode(bytes(range(32))).decode()

FILES = {
    "network.yaml": """\
        province: "64"
        name: Gia Lai
        as_of: 2024-10-01
        overlay: 127
        profiles: [loa-receiver, rutos, loa-board]
        quiet_hours:
          - {unit: "64", start: "21:00", end: "05:00"}
        """,
    "units.yaml": """\
        units:
          - {id: "64", code: "64", name: Tỉnh Gia Lai, type: province, valid_to: 2025-07-01}
          - {id: "622", code: "622", name: Thành phố Pleiku, type: city, parent: "64", valid_to: 2025-07-01}
          - {id: "626", code: "626", name: Huyện Đăk Đoa, type: district, parent: "64", aliases: [Đak Đoa],
             valid_to: 2025-07-01}
          - {id: "23557", code: "23557", name: Phường Yên Đỗ, type: ward, parent: "622", valid_to: 2025-07-01}
          - {id: "23563", code: "23563", name: Phường Ia Kring, type: ward, parent: "622", valid_to: 2025-07-01}
          - {id: "23575", code: "23575", name: Phường Tây Sơn, type: ward, parent: "622", valid_to: 2025-07-01}
          - {id: "23617", code: "23617", name: Xã Tây Sơn, type: commune, parent: "626", valid_to: 2025-07-01}
          - {id: "52", code: "52", name: Tỉnh Gia Lai, type: province, valid_from: 2025-07-01, predecessors: ["64"]}
          - {id: "23563-2025", code: "23563", name: Phường Diên Hồng, type: ward, parent: "52",
             valid_from: 2025-07-01, predecessors: ["23557", "23563"]}
          - {id: "23575-2025", code: "23575", name: Phường Pleiku, type: ward, parent: "52",
             valid_from: 2025-07-01, predecessors: ["23575"]}
          - {id: "23617-2025", code: "23617", name: Xã Kbang, type: commune, parent: "52", aliases: [KBang],
             valid_from: 2025-07-01, predecessors: ["23617"]}
        """,
    "grid.yaml": """\
        sessions:
          - {unit: "64", name: sáng, start: "05:00", duration: 60m}
          - {unit: "64", name: chiều, start: "17:00", duration: 1h}
        sources:
          - {id: vov1, name: VOV1, urls: ["https://vov1.example/live.m3u8", "rtp://239.1.1.1:5004"]}
        relays:
          - {unit: "64", name: VOV1 sáng, source: vov1, start: '05:00', duration: 30m}
          - {unit: "64", name: Giao thừa, source: vov1, start: "23:45", duration: 45m, holiday: tet, to: 2025-01-29}
        slots:
          - {unit: "23557", name: trưa, for: own, start: "11:00", duration: 15m, days: [mon, thu], from: 2024-09-02}
        holidays:
          - {unit: "64", id: tet, name: Tết Nguyên đán, from: 2025-01-28, to: 2025-02-03, without: [trưa]}
        silent:
          - {unit: "23557", from: 2024-10-05T07:00, until: 2024-10-05T10:00, reason: Thi tuyển sinh}
        exceptions:
          - {unit: "64", from: 2025-01-28T21:00, until: 2025-01-29T00:30, signer: binh-tran, document: 12/UBND-VX}
        airtime:
          - {unit: "64", limit: 12h}
        """,
    "groups.yaml": """\
        groups:
          - {id: riverside, name: Ven sông Ba, devices: [23557-L01], hamlets: [23617-H01]}
        """,
    "people.yaml": """\
        people:
          - {id: an-nguyen, name: Nguyễn An, user: an, roles: [editor], area: "23557"}
          - {id: binh-tran, name: Trần Bình, user: binh, title: Phó Chủ tịch, roles: [approver, viewer], area: "64"}
        """,
    "targets.yaml": """\
        document: Kế hoạch 1055/KH-UBND ngày 06/5/2024
        indicators:
          - indicator: ward_board
            name: Bảng tin phường
            denominator: 3
            printed: {2021: {value: 3, percent: "100%"}, 2022: {percent: "100%"}, 2023: {value: 9}}
            districts: {"622": {2021: 2, 2023: 4}, "626": {2021: 1}}
        """,
    "trust.yaml": f"""\
        root: {KEY}
        keys:
          - {{kid: 0123456789abcdef, unit: "64", public: {KEY}, classes: [normal, emergency], hub: true}}
        """,
    "secrets.yaml": "$ANSIBLE_VAULT;1.1;AES256\n6162\n",
    "districts/622-pleiku.yaml": """\
        unit: "622"
        modems:
          - {id: 622-M01, profile: rutos, sim: {number: "0849", iccid: "8984"}, in_service: 2023-01-01}
        boards:
          - {id: 622-B01, profile: loa-board, size: large, resolution: 384x192, uplink: 622-M01,
             in_service: 2023-01-01}
        """,
    "stations/23557-yen-do.yaml": """\
        unit: "23557"
        station:
          technologies: [{technology: ip, from: 2024-03-12}, {technology: wired, from: 2015-06-01}]
          condition: good
          surveyed: 2024-05-06
        hamlets:
          - {id: 23557-H01, name: Tổ dân phố 1, word: tổ dân phố, population: 812, contact: {name: Nguyễn A,
             phone: "0905"}}
          - {id: 23557-H02, name: Tổ dân phố 2, word: tổ dân phố, languages: [vi, jra]}
        loudspeakers:
          - id: 23557-L01
            name: Nhà văn hóa
            hamlet: 23557-H01
            location: {lat: 13.98, lon: 108.0}
            profile: loa-receiver
            sim: {number: "0849123", iccid: "8984", plan: M2M, operator: Viettel, expires: 2026-01-01}
            power_area: PC-622-03
            volume: {day: 75, early: 50}
            in_service: 2024-03-12
          - id: 23557-L02
            hamlet: 23557-H02
            profile: loa-receiver
            uplink: 23557-M01
            in_service: 2024-03-12
            out_of_service: 2024-12-31
        modems:
          - {id: 23557-M01, hamlet: 23557-H01, profile: rutos, sim: {number: "0849", iccid: "8985"},
             in_service: 2024-03-12}
        boards:
          - {id: 23557-B01, hamlet: 23557-H01, resolution: 192x96, profile: loa-board, uplink: 23557-M01,
             in_service: 2024-03-12}
        """,
    "stations/23617-tay-son.yaml": """\
        unit: "23617"
        station:
          technologies: [{technology: fm, from: 2012-01-01}]
        hamlets:
          - {id: 23617-H01, name: Làng Mơ Năng 2, word: làng, languages: [bdq]}
        loudspeakers:
          - {id: 23617-L01, hamlet: 23617-H01, profile: loa-receiver, sim: {number: "1", iccid: "2"},
             in_service: 2024-09-01}
          - {id: 23617-L02, hamlet: 23617-H01, profile: loa-receiver, sim: {number: "3", iccid: "4"},
             in_service: 2025-09-01}
        """,
    "stations/23575-tay-son.yaml": 'unit: "23575"\n',
}


@pytest.fixture
def province(tmp_path: Path) -> Path:
    """The folder of the small province."""
    for name, text in FILES.items():
        path = tmp_path / "province" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
    return tmp_path / "province"


@pytest.fixture
def network(province: Path) -> Network:
    found, diagnostics = load(province)
    assert found is not None, diagnostics
    return found


Break = Callable[[str, str, str], tuple[Diagnostic, ...]]


@pytest.fixture
def broken(province: Path) -> Break:
    """Replaces one text in one file and loads: everything that is then wrong."""

    def change(file: str, old: str, new: str) -> tuple[Diagnostic, ...]:
        path = province / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, (file, old, text.count(old))
        path.write_text(text.replace(old, new), encoding="utf-8")
        found, diagnostics = load(province)
        assert (found is None) == any(d.severity == "error" for d in diagnostics)
        return diagnostics

    return change
