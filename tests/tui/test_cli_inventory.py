"""The verbs that read the inventory alone: validate, show, units, schema, coverage."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import click
import jsonschema
import pytest
import yaml

from nms.i18n import translator
from nms.settings import SAMPLE
from tests.tui.loa_command import Shell, program
from tui.cli import VERBS, loa

PROVINCE = {
    "network.yaml": 'province: "64"\nname: Gia Lai\nas_of: 2024-10-01\noverlay: 127\nprofiles: [loa-receiver]\n',
    "units.yaml": (
        "units:\n"
        '  - {id: "64", code: "64", name: Tỉnh Gia Lai, type: province}\n'
        '  - {id: "622", code: "622", name: Thành phố Pleiku, type: city, parent: "64"}\n'
        '  - {id: "23557", code: "23557", name: Phường Yên Đỗ, type: ward, parent: "622"}\n'
    ),
    "grid.yaml": 'sessions:\n  - {unit: "64", name: sáng, start: "05:00", duration: 60m}\n',
    "people.yaml": "people: []\n",
    "groups.yaml": "groups: []\n",
    "targets.yaml": "document: Chưa có văn bản\nindicators: []\n",
    "stations/23557-yen-do.yaml": (
        'unit: "23557"\n'
        "station:\n"
        "  technologies: [{technology: ip, from: 2024-03-12}]\n"
        "  condition: good\n"
        "hamlets:\n"
        "  - {id: 23557-H01, name: Tổ dân phố 1, word: tổ dân phố}\n"
        "  - {id: 23557-H02, name: Mơ Năng 2, word: làng}\n"
        "loudspeakers:\n"
        "  - id: 23557-L01\n"
        "    hamlet: 23557-H01\n"
        "    profile: loa-receiver\n"
        '    sim: {number: "1", iccid: "2"}\n'
        "    in_service: 2024-03-12\n"
        "  - id: 23557-L02\n"
        "    hamlet: 23557-H02\n"
        "    profile: loa-receiver\n"
        '    sim: {number: "3", iccid: "4"}\n'
        "    in_service: 2025-03-12\n"
    ),
}
Write = Callable[..., Path]


@pytest.fixture
def province(tmp_path: Path) -> Write:
    """Writes a small valid province; ``changed`` files replace its own."""

    def write(**changed: str) -> Path:
        folder = tmp_path / "province"
        for name, text in (
            PROVINCE | {k.replace("_", ".") if "/" not in k else k: v for k, v in changed.items()}
        ).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return folder

    return write


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


SOON = "warning[INV407]: 14 SIMs run out within 30 days, the first on 26/10/2024: "


def test_the_sample_is_valid_and_summed_up_in_one_line(shell: Shell) -> None:
    answer = shell.loa("--lang", "en", "validate")
    assert answer.code == 0
    assert answer.err.startswith(SOON)
    assert answer.err.count("INV") == 1
    assert answer.out.startswith("Gia Lai: ")
    assert answer.out.count("\n") == 1


def test_validate_speaks_vietnamese_unless_told_otherwise(shell: Shell) -> None:
    assert "không có lỗi" in shell.loa("validate").out
    assert "no errors" in shell.loa("validate", LOA_LANG="en").out


def test_every_mistake_of_every_file_is_told_at_once_on_stderr(shell: Shell, province: Write) -> None:
    folder = province(
        **{
            "network_yaml": PROVINCE["network.yaml"] + "colour: blue\n",
            "grid_yaml": 'sessions:\n  - {unit: "64", name: sáng, start: "25:00", duration: 60m}\n',
            "people_yaml": "people:\n\t- tab\n",
            "stations/23557-yen-do.yaml": PROVINCE["stations/23557-yen-do.yaml"].replace("hamlet:", "hamlett:", 1),
        }
    )
    before = files(folder)
    answer = shell.loa("--lang", "en", "--inventory", folder, "validate")
    assert answer.code == 5
    for place in ("network.yaml:6:", "grid.yaml:2:", "people.yaml:2:", "stations/23557-yen-do.yaml:"):
        assert f"  --> {place}" in answer.err
    assert answer.err.count("error[") >= 4
    assert "Traceback" not in answer.err
    errors = answer.err.count("error[")
    assert answer.out == f"{errors} errors in 4 files\n", "stdout has the summary and nothing else"
    assert files(folder) == before, "nothing is written"


def test_mistakes_as_json(shell: Shell, province: Write) -> None:
    folder = province(network_yaml=PROVINCE["network.yaml"] + "colour: blue\n")
    answer = shell.loa("--inventory", folder, "validate", "--json")
    document = answer.json()
    assert (answer.code, answer.err) == (5, "")
    (found,) = document["diagnostics"]
    assert document["errors"] == 1
    assert (found["severity"], found["file"], found["line"], found["column"]) == ("error", "network.yaml", 6, 1)
    assert found["code"].startswith("INV")
    assert "colour" in found["message"]


def test_a_valid_inventory_as_json(shell: Shell, province: Write) -> None:
    answer = shell.loa("--inventory", province(), "validate", "--json")
    assert answer.code == 0
    assert answer.json()["errors"] == 0


@pytest.mark.parametrize("verb", ["show", "units", "coverage --year 2024", "validate"])
def test_every_verb_ends_with_five_when_the_inventory_is_broken(shell: Shell, province: Write, verb: str) -> None:
    folder = province(units_yaml="units: [\n")
    answer = shell.loa("--inventory", folder, *verb.split())
    assert answer.code == 5
    assert "lỗi[" in answer.err
    assert "units.yaml" in answer.err


def test_a_missing_folder_is_a_diagnostic(shell: Shell, tmp_path: Path) -> None:
    answer = shell.loa("--inventory", tmp_path / "nowhere", "validate")
    assert answer.code == 5
    assert "lỗi[" in answer.err


def test_show_lists_what_is_in_use_on_the_day(shell: Shell, province: Write) -> None:
    folder = province()
    answer = shell.loa("--lang", "en", "--inventory", folder, "show", "district=pleiku")
    assert answer.code == 0
    first, last = answer.out.splitlines()
    assert first.split()[:3] == ["23557-L01", "loudspeaker", "cluster"]
    assert first.endswith("Phường Yên Đỗ · Tổ dân phố 1"), "the hamlet's own word is not said twice"
    assert last == "1 devices on 01/10/2024"
    later = shell.loa("--inventory", folder, "show", "--on", "2025-06-01", "--json").json()
    assert [d["id"] for d in later["devices"]] == ["23557-L01", "23557-L02"]
    assert later["on"] == "2025-06-01"
    assert later["devices"][1]["hamlet"] == "làng Mơ Năng 2"


def test_show_refuses_a_selection_that_means_nothing(shell: Shell, province: Write) -> None:
    answer = shell.loa("--inventory", province(), "show", "commune=nowhere")
    assert (answer.code, answer.out) == (2, "")
    assert "lỗi[SEL" in answer.err


def test_units_after_the_reform_are_communes_of_the_province(shell: Shell) -> None:
    """1/7/2025: no districts; the new units made of the sample's 220 communes, directly below the province."""
    before = shell.loa("units", "--json").json()["units"]
    after = shell.loa("units", "--on", "2025-07-01", "--json").json()["units"]
    assert {tier: sum(u["tier"] == tier for u in before) for tier in ("district", "commune")} == {
        "district": 17,
        "commune": 220,
    }
    assert {u["tier"] for u in after} == {"province", "commune"}
    communes = [u for u in after if u["tier"] == "commune"]
    assert {u["parent"] for u in communes} == {"52"}
    known = {u["id"] for u in shell.loa("units", "--on", "2025-06-30", "--json").json()["units"]}
    assert all(set(u["predecessors"]) <= known for u in communes if u["predecessors"])
    taken_over = [p for u in communes for p in u["predecessors"]]
    assert len(taken_over) == len(set(taken_over)), "no old commune becomes two"
    old = {u["id"] for u in before if u["tier"] == "commune"}
    kept = {u["id"] for u in communes} & old
    merged_before = known & {"23674-2024"}
    gone = {"23593", "23671", "23674"}
    assert old - set(taken_over) - kept == gone - set(taken_over), "the rest joined others on 1/11/2024"
    assert merged_before <= set(taken_over)


def test_units_as_text_name_the_parent_and_count(shell: Shell) -> None:
    answer = shell.loa("--lang", "en", "units", "--on", "2024-10-01", "--tier", "district")
    lines = answer.out.splitlines()
    assert "622          Thành phố Pleiku · Tỉnh Gia Lai" in lines
    assert len(lines) == 18
    assert lines[-1] == "on 01/10/2024: 17 districts, 220 communes"
    after = shell.loa("--lang", "en", "units", "--on", "2025-07-01").out.splitlines()
    assert after[-1] == "on 01/07/2025: 77 communes", "there are no districts any more, not none of them"


@pytest.mark.parametrize("given", ["01/10/2024", "2024-13-01", "yesterday", ""])
def test_a_day_that_is_none_is_a_usage_error(shell: Shell, given: str) -> None:
    if given:
        answer = shell.loa("units", "--on", given)
        assert answer.code == 2
        assert given in answer.err


def test_coverage_of_2024_is_what_the_plan_prints(shell: Shell) -> None:
    document = shell.loa("coverage", "--year", "2024", "--json").json()
    assert document["units_on"] == "2024-05-06", "on the plan's own units"
    targets = yaml.safe_load((SAMPLE / "targets.yaml").read_text(encoding="utf-8"))["indicators"]
    printed = {t["indicator"]: t["printed"].get(2024) for t in targets}
    found = {row["indicator"]: row for row in document["indicators"]}
    assert {k for k, figure in printed.items() if figure} == found.keys()
    for name, row in found.items():
        assert printed[name]["value"] in (row["numerator"], row["boards"])
        assert row["agrees"] is (row["numerator"] == printed[name]["value"])
        assert row["agrees"] or row["notes"], "a difference is explained"
    assert [name for name, row in found.items() if not row["agrees"]] == ["district_large_board"]
    assert sum(d["numerator"] for d in found["converted_to_ict"]["districts"]) == 104


def test_coverage_with_districts_adds_their_lines(shell: Shell) -> None:
    plain = shell.loa("--lang", "en", "coverage", "--year", "2024").out.splitlines()
    full = shell.loa("--lang", "en", "coverage", "--year", "2024", "--districts").out.splitlines()
    assert [line for line in full if line in plain] == plain
    assert any("104/203 = 51.2%" in line and "agrees" in line for line in plain)
    assert "      Thành phố Pleiku: 2/12 · 2" in full
    assert len(full) == len(plain) + 17 * 5


def test_coverage_of_a_year_without_targets_says_so_and_never_zero(shell: Shell) -> None:
    answer = shell.loa("--lang", "en", "coverage", "--year", "2026")
    assert answer.code == 0
    assert "There are no targets for 2026." in answer.out
    assert "%" not in answer.out
    document = shell.loa("--lang", "en", "coverage", "--year", "2026", "--json").json()
    assert document["indicators"] == []
    assert document["notes"] == ["There are no targets for 2026."]


def test_coverage_on_a_day_of_its_own_counts_that_days_units(shell: Shell) -> None:
    document = shell.loa("coverage", "--year", "2024", "--on", "2024-11-01", "--json").json()
    assert document["units_on"] == document["as_of"] == "2024-11-01"
    station = next(r for r in document["indicators"] if r["indicator"] == "station_to_hamlet")
    assert station["denominator"] == 218


@pytest.mark.parametrize("kind", ["network", "units", "grid", "groups", "people", "targets", "station"])
def test_the_schema_of_each_file_accepts_the_samples_own(shell: Shell, kind: str) -> None:
    answer = shell.loa("schema", kind)
    assert answer.code == 0
    schema = yaml.safe_load(answer.out)
    jsonschema.Draft202012Validator.check_schema(schema)
    paths = sorted((SAMPLE / "stations").glob("*.yaml"))[:20] if kind == "station" else [SAMPLE / f"{kind}.yaml"]
    for path in paths:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 (text only)
        errors = [e for e in jsonschema.Draft202012Validator(schema).iter_errors(document) if e.validator != "type"]
        assert errors == []


def test_unknown_verbs_get_a_hint(shell: Shell) -> None:
    answer = shell.loa("--lang", "en", "vlidate")
    assert (answer.code, answer.out) == (2, "")
    assert "no such verb: vlidate (validate?)" in answer.err
    assert "(" not in shell.loa("--lang", "en", "qqqq").err.splitlines()[-1]


@pytest.mark.parametrize("language", ["vi", "en"])
def test_help_lists_every_verb_and_the_exit_codes_in_both_languages(shell: Shell, language: str) -> None:
    translate = translator(language)
    for answer in (shell.loa("--lang", language, "--help"), shell.loa("-h", LOA_LANG=language)):
        assert (answer.code, answer.err) == (0, "")
        lines = [" ".join(line.split()) for line in answer.out.splitlines()]
        text = " ".join(lines)
        for name, verb in VERBS.items():
            assert f"{name} {translate(verb.help)}" in text
        assert translate("Verbs") + ":" in answer.out
        for code in ("0", "1", "2", "3", "4", "5"):
            assert f"{code} " in text.rpartition(":")[2]


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_explains_itself(shell: Shell, verb: str) -> None:
    answer = shell.loa(verb, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"Cách dùng: loa {verb} ")
    assert shell.loa("--lang", "en", verb, "--help").out.startswith(f"Usage: loa {verb} ")


@pytest.mark.parametrize("verb", list(VERBS))
def test_no_help_mixes_languages(shell: Shell, verb: str) -> None:
    """Every text that click shows for a verb is another one in Vietnamese; asking in English afterwards is English."""
    vietnamese, english = shell.loa(verb, "--help").out, shell.loa("--lang", "en", verb, "--help").out
    command = loa.get_command(click.Context(loa, obj=None), verb)
    assert command is not None
    assert "Show this message and exit." in english
    for text in (command.help, *(p.help for p in command.params if isinstance(p, click.Option))):
        assert text, "every option says what it is for"
        assert "".join(text.split()) in "".join(vietnamese.split())
        assert "".join(text.split()) not in "".join(english.split())


def test_mistakes_in_the_call_are_told_in_the_language_too(shell: Shell) -> None:
    told = {
        ("push",): "Lỗi: Thiếu tùy chọn '--title'.",
        ("units", "--tier", "xa"): "'xa' không thuộc: 'province', 'district', 'commune'.",
        ("units", "extra"): "Lỗi: Thừa tham số (extra)",
        ("--nope",): "Lỗi: Không có tùy chọn '--nope'.",
    }
    for call, sentence in told.items():
        answer = shell.loa(*call)
        assert (answer.code, answer.err.splitlines()[0][:9]) == (2, "Cách dùng")
        assert sentence in answer.err
    assert "Error: Missing option '--title'." in shell.loa("--lang", "en", "push").err


def test_a_diagnostic_has_no_english_words(shell: Shell, province: Write) -> None:
    grid = 'sessions:\n  - {unit: "64", name: sáng, start: [1], duration: 60m}\n'
    answer = shell.loa("--inventory", province(grid_yaml=grid), "validate")
    assert answer.code == 5
    assert 'cần giờ dạng "05:00", nhưng ở đây là danh sách' in answer.err
    folder = province(people_yaml="people: no\n", grid_yaml=PROVINCE["grid.yaml"])
    answer = shell.loa("--inventory", folder, "validate")
    assert "cần danh sách, nhưng ở đây là một giá trị" in answer.err
    refused = shell.loa("show", "district=lost")
    assert "huyện: không có 'lost'" in refused.err, "what was written is shown as it was written"


def test_a_language_that_is_not_there_is_a_diagnostic(shell: Shell) -> None:
    answer = shell.loa("--lang", "fr", "units")
    assert (answer.code, answer.out) == (2, "")
    assert "lỗi[CFG004]" in answer.err


def test_a_reader_who_has_seen_enough_ends_it_quietly(tmp_path: Path) -> None:
    """As in: loa show | head -1."""
    import subprocess
    import sys

    with subprocess.Popen(
        [sys.executable, "-m", "tui.cli", "show"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as loa:
        assert loa.stdout is not None
        assert loa.stderr is not None
        assert loa.stdout.readline()
        loa.stdout.close()
        assert loa.stderr.read() == b""
        assert loa.wait(60) == 0


def test_show_lists_sims(shell: Shell) -> None:
    answer = shell.loa("show", "device=23557-L02", "--sims", "--json")
    (sim,) = answer.json()["sims"]
    assert (sim["device"], sim["iccid"], sim["expires"]) == ("23557-L02", "8984000000000000002", "2026-06-06")
    assert "06/06/2026" in shell.loa("show", "device=23557-L02", "--sims").out


def test_as_a_program_it_answers_the_same(tmp_path: Path) -> None:
    answer = program(tmp_path, "--lang", "en", "validate")
    assert (answer.code, answer.err.startswith(SOON)) == (0, True)
    assert answer.out.endswith("no errors\n")
    broken = tmp_path / "broken"
    shutil.copytree(SAMPLE, broken)
    (broken / "grid.yaml").write_bytes(b"\x00\xff\xfe")
    answer = program(tmp_path, "--inventory", broken, "validate")
    assert answer.code == 5
    assert "grid.yaml" in answer.err
    assert "Traceback" not in answer.err
