"""The verbs of a bulletin's life: what they ask of the hub, and what they make of its answer."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from nms.i18n import translator
from tests.tui.gateway_fake import NOW, bulletin
from tui import desk_methods as d
from tui.commands.push import gap
from tui.views.desk import MAX_STARTS, bulletin_json, bulletin_lines

EN, VI = translator("en"), translator("vi")

FOUND = d.Bulletin(
    row=bulletin(id="b2", title="Tiêm chủng", version=2, state="scheduled"),
    text="Mời bà con",
    authority="CV 12",
    supplier="Trạm y tế",
    field="y tế",
    valid_from=NOW,
    versions=(
        d.VersionRow("b1", 1, "cancelled", "Tiêm chủng", "Lan", NOW, (), "Tỉnh Gia Lai"),
        d.VersionRow("b2", 2, "scheduled", "Tiêm chủng", "Lan", NOW, ("content", "audience"), ""),
    ),
    decisions=(
        d.DecisionRow(1, "Bình", NOW, "returned", "sai giờ", "", "", 0),
        d.DecisionRow(2, "Bình", NOW, "approved", "", "12/TB", "Chủ tịch", NOW),
    ),
    starts=tuple(d.StartRow(2, "Phường Yên Đỗ", n, NOW, n == 0) for n in range(MAX_STARTS + 3)),
    offers=(d.OfferRow("Phường Yên Đỗ", NOW, "Lan"), d.OfferRow("Phường Diên Hồng", 0, "")),
    orders=(d.OrderDecision(NOW, "Lan", "Phường Yên Đỗ", "b2", "b9"),),
    counts={"heard": 3, "waiting": 0},
    events=(),
)


@pytest.mark.parametrize("translate", [EN, VI], ids=["en", "vi"])
def test_everything_known_of_a_bulletin_is_told(translate: Callable[[str], str]) -> None:
    said = "\n".join(bulletin_lines(FOUND, translate))
    for word in ("Tiêm chủng (v2)", "CV 12", "Trạm y tế", "y tế", "sai giờ", "12/TB", "Chủ tịch", "b9", "b1", "b2"):
        assert word in said
    assert translate("offered to {communes} communes, picked by {picked}").format(communes=2, picked=1) in said
    assert translate("and {count} more").format(count=3) in said
    assert said.count(f"({translate('cancelled')})") == 1
    assert f"{translate('heard')} 3" in said
    assert f"{translate('sound')}, {translate('audience')}" in said


def test_the_json_has_all_of_it() -> None:
    document = json.loads(json.dumps(bulletin_json(FOUND)))
    assert [v["version"] for v in document["versions"]] == [1, 2]
    assert document["decisions"][1]["signer"] == "Chủ tịch"
    assert document["decisions"][0]["signed_at"] is None
    assert len(document["starts"]) == len(FOUND.starts)
    assert document["orders"][0]["before"] == "b9"
    assert document["counts"] == {"heard": 3, "waiting": 0}


@pytest.mark.parametrize(("text", "expected"), [("90m", 5_400_000), ("2h", 7_200_000), ("1d", 86_400_000)])
def test_a_gap_is_a_time(text: str, expected: int) -> None:
    assert gap(text, EN) == expected
    assert gap(None, EN) == gap("session", EN) == 0
