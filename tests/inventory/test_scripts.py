"""Pre-approved scripts: what a planner writes, what is wrong with it and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from inventory.check_scripts import blanks
from inventory.diagnostics import Diagnostic
from inventory.load import load
from inventory.model import Network, Script, ScriptClass, ScriptId

FILE = "scripts.yaml"
GOOD = """\
scripts:
  - id: lu
    title: Xả lũ
    class: emergency
    alarm:
      text:
        vi: "Nước lên tại {place}, lúc {hour}. {place}!"
        jra: Ia đah
      recordings: {jra: recordings/lu-jra.opus}
    correction: {text: {vi: Tin đính chính.}}
    all_clear: {text: {vi: Đã kết thúc.}}
  - id: tap
    title: Diễn tập
    class: drill
    alarm: {text: {vi: "Đây là diễn tập, {place}."}}
    correction: {text: {vi: Diễn tập có sai sót.}}
    all_clear: {text: {vi: Hết diễn tập.}}
"""


@pytest.fixture
def scripted(province: Path) -> Path:
    (province / "recordings").mkdir()
    (province / "recordings" / "lu-jra.opus").write_bytes(b"sound")
    (province / FILE).write_text(GOOD, encoding="utf-8")
    return province


def loaded(folder: Path) -> tuple[Network | None, tuple[Diagnostic, ...]]:
    return load(folder)


def test_a_script_is_read_with_every_word(scripted: Path) -> None:
    network, diagnostics = loaded(scripted)
    assert diagnostics == ()
    assert network is not None
    script = network.scripts[ScriptId("lu")]
    assert isinstance(script, Script)
    assert (script.title, script.cls) == ("Xả lũ", ScriptClass.EMERGENCY)
    assert script.alarm.recordings == {"jra": "recordings/lu-jra.opus"}
    assert blanks(script.alarm.text["vi"]) == ("place", "hour")
    assert script.all_clear.text == {"vi": "Đã kết thúc."}


def test_a_province_without_scripts_is_whole(province: Path) -> None:
    network, _ = loaded(province)
    assert network is not None
    assert network.scripts == {}


CASES = [
    ("INV501", "recordings/lu-jra.opus", "recordings/lu-bdq.opus", "recordings/lu-bdq.opus"),
    ("INV501", "recordings/lu-jra.opus", "recordings/../../x.opus", "recordings/../../x.opus"),
    ("INV502", "{hour}", "{gio bat dau}", '"Nước'),
    ("INV502", "{hour}", "{hour", '"Nước'),
    ("INV503", "jra: Ia đah", "jra: Ia {place}", "Ia {place}"),
    ("INV503", "vi: Đã kết thúc.", 'vi: "Đã kết thúc lúc {hour}."', '"Đã kết thúc'),
    ("INV503", "{jra: recordings", "{vi: recordings/lu-jra.opus, jra: recordings", '"Nước'),
    ("INV504", "      recordings: {jra: recordings/lu-jra.opus}\n", "", "Ia đah"),
    ("INV505", "{vi: Tin đính chính.}", "{en: Correction.}", "{en"),
    ("INV506", "Hết diễn tập.", "Đã xong.", "Đã xong."),
    ("INV002", "    title: Xả lũ\n", "", "id: lu"),
    ("INV005", "class: drill", "class: practice", "practice"),
    ("INV101", "id: tap", "id: lu", "lu"),
    ("INV004", "recordings/lu-jra.opus", "/etc/passwd", "/etc/passwd"),
]


@pytest.mark.parametrize(("code", "old", "new", "at"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)])
def test_a_mistake_is_shown_where_it_stands(scripted: Path, code: str, old: str, new: str, at: str) -> None:
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    (scripted / FILE).write_text(text, encoding="utf-8")
    ours = [d for d in loaded(scripted)[1] if d.code == code]
    assert ours
    line = text.splitlines()[ours[0].place.line - 1]
    assert line[ours[0].place.column - 1 :].startswith(at)
    assert ours[0].text()
    assert ours[0].fix_text()
