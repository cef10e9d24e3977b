"""A plan that was written is read as it was, and nothing else is; what has changed since is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.diagnostics import Diagnostic, Place, Severity
from inventory.model import DeviceId
from nms.provision import planfile
from nms.provision.values import Action, Change, DevicePlan, Family, Kind, Plan
from tests.nms.plan_kit import NOW

TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
)
WORDS = st.text(max_size=8)
PROBLEMS = st.builds(
    Diagnostic,
    WORDS,
    st.builds(Place, WORDS, st.integers(0, 9), st.integers(0, 9)),
    WORDS,
    WORDS,
    st.dictionaries(WORDS, WORDS, max_size=2),
    st.sampled_from(Severity),
)
CHANGES = st.builds(
    Change, st.sampled_from(Action), st.sampled_from(Kind), WORDS, st.lists(WORDS, max_size=3).map(tuple)
)
DEVICES = st.builds(
    DevicePlan,
    WORDS.map(DeviceId),
    st.sampled_from(Family),
    WORDS,
    WORDS,
    st.none() | TIMES,
    st.lists(CHANGES, max_size=3).map(tuple),
    st.none() | TIMES,
    st.none() | PROBLEMS,
)
PLANS = st.builds(
    Plan,
    WORDS,
    TIMES,
    WORDS,
    WORDS,
    st.dictionaries(WORDS, WORDS, max_size=2),
    st.lists(DEVICES, max_size=5).map(tuple),
)
CHANGE = Change(Action.DRIFT, Kind.FILE, "/etc/x", ("-a", "+b"))
DEVICE = DevicePlan(DeviceId("23557-L01"), Family.LINUX, "wanted", "known", NOW, (CHANGE,), NOW)
PLAN = Plan("1", NOW, "lan", "commune=23557", {"inventory": "i", "templates": "t"}, (DEVICE,))


@given(PLANS, st.integers(1, 3))
def test_a_plan_is_read_as_it_was_written(plan: Plan, size: int) -> None:
    assert planfile.loads("".join(planfile.pieces(plan, size)), "plan.json") == plan


def test_the_file_says_what_it_is() -> None:
    document = json.loads(planfile.dumps(PLAN))
    assert document["format_version"] == 1
    assert document["made"] == "2024-10-01T17:00:00.000+07:00"
    assert document["devices"][0]["changes"][0] == {
        "action": "drift",
        "kind": "file",
        "name": "/etc/x",
        "diff": ["-a", "+b"],
    }


def edited(change: Callable[[dict[str, Any]], object]) -> str:
    document: dict[str, Any] = json.loads(planfile.dumps(PLAN))
    change(document)
    return json.dumps(document)


def refused(text: str) -> Diagnostic:
    found = planfile.loads(text, "plan.json")
    assert isinstance(found, Diagnostic)
    return found


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda d: d.pop("by"), "by"),
        (lambda d: d.update(by=3), "by"),
        (lambda d: d.update(extra=3), "extra"),
        (lambda d: d.update(made="yesterday"), "made"),
        (lambda d: d.update(made="2024-10-01T17:00:00"), "made"),
        (lambda d: d.update(made=None), "made"),
        (lambda d: d["inputs"].update(templates=None), "inputs.templates"),
        (lambda d: d.update(inputs=[]), "inputs"),
        (lambda d: d.update(devices={}), "devices"),
        (lambda d: d["devices"].append(3), "devices[1]"),
        (lambda d: d["devices"][0].pop("family"), "devices[0].family"),
        (lambda d: d["devices"][0].update(family="bsd"), "devices[0].family"),
        (lambda d: d["devices"][0].update(known_at=3), "devices[0].known_at"),
        (lambda d: d["devices"][0].update(problem={}), "devices[0].problem"),
        (lambda d: d["devices"][0].update(problem=[]), "devices[0].problem"),
        (lambda d: d["devices"][0].update(chagnes=[]), "devices[0].chagnes"),
        (lambda d: d["devices"][0]["changes"][0].update(action="do"), "devices[0].changes[0].action"),
        (lambda d: d["devices"][0]["changes"][0].update(diff="x"), "devices[0].changes[0].diff"),
        (lambda d: d["devices"][0]["changes"][0].update(diff=[3]), "devices[0].changes[0].diff"),
    ],
)
def test_what_somebody_edited_is_refused_by_its_name(change: Callable[[dict[str, Any]], object], path: str) -> None:
    problem = refused(edited(change))
    assert (problem.code, problem.fields["reason"], problem.fields["file"]) == ("PLN210", path, "plan.json")


@pytest.mark.parametrize("text", ["", "plan", "[" * 100_000, '{"format_version": 1,\n "id": }', "\x00"])
def test_what_is_no_json_is_refused(text: str) -> None:
    assert refused(text).code == "PLN210"


def test_a_mistake_in_json_is_placed() -> None:
    assert refused('{"format_version": 1,\n "id": }').place == Place("plan.json", 2, 8)


@pytest.mark.parametrize("text", ["3", "null", "[]", "{}"])
def test_json_that_is_no_plan_is_refused(text: str) -> None:
    assert refused(text).code == "PLN210"


def test_a_plan_of_another_version() -> None:
    problem = refused(edited(lambda d: d.update(format_version=2)))
    assert (problem.code, problem.fields["found"], problem.fields["wanted"]) == ("PLN211", "2", "1")


def test_a_plan_whose_inputs_are_as_they_were_may_be_applied() -> None:
    name = DEVICE.device
    assert planfile.stale(PLAN, PLAN.inputs, {name: "wanted"}, {name: "known"}) == ()


def test_what_has_changed_since_is_named() -> None:
    names = [DeviceId(f"23557-L{n:02}") for n in range(1, 8)]
    plan = replace(PLAN, devices=tuple(replace(DEVICE, device=name) for name in names))
    wanted, known = dict.fromkeys(names, "wanted"), dict.fromkeys(names, "known")
    changed = {"inventory": "other", "templates": "other"}
    assert [d.code for d in planfile.stale(plan, changed, wanted, known)] == ["PLN220", "PLN221"]
    (problem,) = planfile.stale(plan, plan.inputs, {**wanted, names[1]: "other"}, known)
    assert (problem.code, problem.fields["devices"]) == ("PLN222", "23557-L02")
    (problem,) = planfile.stale(plan, plan.inputs, wanted, {})
    assert problem.code == "PLN223"
    assert problem.fields["devices"] == "23557-L01, 23557-L02, 23557-L03, 23557-L04, 23557-L05, … (7)"


def test_a_device_that_nothing_was_known_of_and_now_is() -> None:
    plan = replace(PLAN, devices=(replace(DEVICE, known="", changes=()),))
    (problem,) = planfile.stale(plan, plan.inputs, {DEVICE.device: "wanted"}, {DEVICE.device: "known"})
    assert problem.code == "PLN223"
