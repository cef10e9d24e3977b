"""Changes to YAML files: one hunk, everything else as it was."""

from __future__ import annotations

import difflib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.diagnostics import Place
from inventory.edit import put
from inventory.load import load
from nms.settings import SAMPLE

BLOCK = """\
# before
loudspeakers:
  - id: 23557-L01   # the office
    name: Trụ sở UBND
    location: {lat: 13.9, lon: 108.0}  # surveyed
    sim:
      number: "1"
      iccid: "2" # printed

    # a remark between devices
  - {id: 23557-L02, serial: old, volume: {day: 80}}  # flow
"""
FIRST, SECOND = Place("f", 3, 5), Place("f", 11, 5)


def hunks(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if line[:2] not in ("--", "++")]


def test_a_new_key_follows_the_last_one_whatever_it_is() -> None:
    after = put(BLOCK, FIRST, {"serial": "SN-1", "host_key": "ssh-ed25519 AAAA"})
    assert hunks(BLOCK, after) == ["@@ -8,0 +9,2 @@", "+    serial: SN-1", "+    host_key: ssh-ed25519 AAAA"]


def test_a_value_is_replaced_where_it_stands() -> None:
    after = put(BLOCK, SECOND, {"serial": "0123", "public_key": "x="})
    assert hunks(BLOCK, after)[1:] == [
        "-  - {id: 23557-L02, serial: old, volume: {day: 80}}  # flow",
        '+  - {id: 23557-L02, serial: "0123", volume: {day: 80}, public_key: "x="}  # flow',
    ]


def test_line_ends_and_a_missing_last_one_stay() -> None:
    windows = BLOCK.replace("\n", "\r\n")
    assert put(windows, FIRST, {"serial": "a"}) == put(BLOCK, FIRST, {"serial": "a"}).replace("\n", "\r\n")
    assert put("a: b", Place("f", 1, 1), {"c": "d"}) == "a: b\nc: d"


def test_a_place_that_is_no_record_is_refused() -> None:
    with pytest.raises(ValueError, match="no record begins at f:4:5"):
        put(BLOCK, Place("f", 4, 5), {"serial": "a"})
    with pytest.raises(ValueError, match="not a scalar"):
        put(BLOCK, FIRST, {"sim": "a"})


@given(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=20))
def test_any_text_comes_back_as_it_was_put(value: str) -> None:
    once = put(BLOCK, FIRST, {"serial": value})
    assert put(once, FIRST, {"serial": "x"}) == put(BLOCK, FIRST, {"serial": "x"})


def test_every_device_of_the_sample_can_be_given_a_serial(tmp_path: Path) -> None:
    folder = tmp_path / "province"
    shutil.copytree(SAMPLE, folder)
    network, _ = load(folder)
    assert network is not None
    for device in list(network.devices.values())[::150]:
        path = folder / device.place.file
        before = path.read_text()
        path.write_text(put(before, device.place, {"serial": f"SN {device.id}"}))
        assert len([line for line in hunks(before, path.read_text()) if line.startswith("@@")]) == 1
        again, problems = load(folder)
        assert not problems
        assert again is not None
        changed = again.devices[device.id]
        assert replace(changed, serial=device.serial, place=device.place) == device
        assert changed.serial == f"SN {device.id}"


def test_a_key_goes_with_its_line_and_its_comment_stays() -> None:
    assert hunks(BLOCK, put(BLOCK, FIRST, {}, ("name",))) == ["@@ -4 +3,0 @@", "-    name: Trụ sở UBND"]
    marked = BLOCK.replace("name: Trụ sở UBND", "name: Trụ sở UBND  # seen in May")
    assert "\n    # seen in May\n" in put(marked, FIRST, {}, ("name",))
    assert "{id: 23557-L02, volume: {day: 80}}  # flow" in put(BLOCK, SECOND, {}, ("serial", "host_key"))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_key_goes_where_another_comes(newline: str) -> None:
    text = "a:\n  - id: 23557-L01\n    host_key: ssh-ed25519 AAAA\n    public_key: old\n".replace("\n", newline)
    changed = put(text, Place("f", 2, 5), {"serial": "SN-2"}, ("host_key", "public_key"))
    assert changed == 'a:\n  - id: 23557-L01\n    serial: "SN-2"\n'.replace('"', "").replace("\n", newline)
    assert put(changed, Place("f", 2, 5), {}, ("host_key",)) == changed


def test_a_record_keeps_its_name_and_its_collections() -> None:
    for key in ("id", "sim"):
        with pytest.raises(ValueError, match=r"f:3:5|not a scalar"):
            put(BLOCK, FIRST, {}, (key,))
