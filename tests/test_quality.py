"""QUALITY.yaml says of every family what it is proven on, and nothing of families that there are not."""

from __future__ import annotations

from pathlib import Path

import yaml

from nms.provision.families import SETUPS

ROOT = Path(__file__).resolve().parents[1]
LEVELS = {"real device", "real software", "stand-in", "recording"}


def test_every_family_says_what_it_is_proven_on() -> None:
    document = yaml.safe_load((ROOT / "QUALITY.yaml").read_text(encoding="utf-8"))
    profiles = {path.stem for path in (ROOT / "nms/monitor/profiles").glob("*.yaml")}
    assert document["provisioning"].keys() == {*SETUPS, "vtysh"}
    assert document["monitoring"].keys() == profiles
    for one in (*document["provisioning"].values(), *document["monitoring"].values()):
        assert one["level"] in LEVELS
        assert one["what"]
        assert one["level"].startswith("real") or "missing" in one
