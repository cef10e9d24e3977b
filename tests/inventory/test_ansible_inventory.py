"""What Ansible is told about the fleet: read by ansible-inventory itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

from inventory.ansible import to_ansible
from inventory.model import Network

NOW = date(2024, 10, 1)


def test_groups_by_kind_place_and_profile(network: Network) -> None:
    found = to_ansible(network, NOW)
    assert found["commune_23557"]["hosts"] == ["23557-B01", "23557-L01", "23557-L02", "23557-M01"]
    assert found["district_622"] == {"hosts": ["622-B01", "622-M01"], "children": ["commune_23557"]}
    assert found["kind_modem"]["hosts"] == ["23557-M01", "622-M01"]
    assert found["profile_loa_board"]["hosts"] == ["23557-B01", "622-B01"]
    assert "23617-L02" not in found["_meta"]["hostvars"]


def test_host_variables(network: Network) -> None:
    variables = to_ansible(network, NOW)["_meta"]["hostvars"]["23557-L02"]
    assert variables["ansible_host"] == "127.184.10.2"
    assert variables["loa_uplink"] == "23557-M01"
    assert (variables["loa_commune"], variables["loa_district"], variables["loa_province"]) == ("23557", "622", "64")
    assert (variables["loa_hamlet"], variables["loa_languages"]) == ("23557-H02", ["vi", "jra"])
    assert variables["loa_volume"] == {"day": 80, "early": 60, "emergency": 100}


def test_after_the_reform_there_are_no_districts(network: Network) -> None:
    found = to_ansible(network, date(2026, 1, 1))
    assert found["commune_23563_2025"]["hosts"] == ["23557-B01", "23557-L01", "23557-M01"]
    assert not any(name.startswith("district_") for name in found)
    assert found["_meta"]["hostvars"]["23557-L01"]["loa_district"] is None


def test_ansible_reads_it(network: Network, tmp_path: Path) -> None:
    """Ansible runs the script, and answers with the same hosts, groups and variables."""
    script = tmp_path / "loa-inventory"
    listing = json.dumps(to_ansible(network, NOW), ensure_ascii=False)
    (tmp_path / "listing.json").write_text(listing, encoding="utf-8")
    script.write_text(f"#!/bin/sh\ncat {tmp_path}/listing.json\n")
    script.chmod(0o755)
    command = Path(sys.executable).parent / "ansible-inventory"
    env = os.environ | {"HOME": str(tmp_path), "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp"), "LC_ALL": "C.UTF-8"}
    run = subprocess.run([command, "-i", script, "--list"], env=env, capture_output=True, text=True, check=True)
    answer = json.loads(run.stdout)
    ours = json.loads(listing)
    assert "WARNING" not in run.stderr
    assert answer["_meta"]["hostvars"] == ours["_meta"]["hostvars"]
    for name, group in ours.items():
        if name not in ("_meta", "all"):
            assert sorted(answer[name].get("hosts", [])) == sorted(group.get("hosts", [])), name
            assert answer[name].get("children", []) == group.get("children", []), name
