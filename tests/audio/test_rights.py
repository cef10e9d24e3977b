"""Who may decide on a bulletin, stop it and end it. The rules as tables."""

from __future__ import annotations

from dataclasses import dataclass

from audio.documents import Audience
from audio.rights import may_approve, may_end, may_record, may_stop
from tests.audio.province import AN, BINH, CHI, DUNG, EM, GIA, ON, OTHER, PROVINCE, WARD, codes, network


@dataclass(frozen=True)
class Row:
    state: str = "submitted"
    author: str = "chi"
    origin: str = WARD
    on_behalf: str = ""


AUTHORS = {"chi"}


def test_what_is_entered_on_behalf_of_a_unit_is_approved_by_that_units_own_leader() -> None:
    net, row = network(), Row(author=AN.id, on_behalf=PROVINCE)
    assert codes(may_approve(net, BINH, row, AUTHORS)) == ["BUL022"]
    assert may_approve(net, DUNG, row, AUTHORS) == ()


def test_an_approval_on_paper_is_recorded_by_somebody_else_of_the_area() -> None:
    net = network()
    assert (
        may_record(net, EM, Row(), AUTHORS)
        == may_record(net, DUNG, Row(), AUTHORS)
        == may_record(net, AN, Row(), AUTHORS)
        == ()
    )
    assert codes(may_record(net, CHI, Row(), AUTHORS)) == ["BUL021"]
    assert codes(may_record(net, GIA, Row(), AUTHORS)) == ["BUL087"]
    assert codes(may_record(net, DUNG, Row(origin=OTHER), AUTHORS)) == ["BUL087"]
    assert codes(may_record(net, DUNG, Row(state="scheduled"), AUTHORS)) == ["BUL023"]


def test_the_author_never_approves() -> None:
    assert codes(may_approve(network(), EM, Row(author="em"), AUTHORS)) == ["BUL021"]
    assert may_approve(network(), EM, Row(), AUTHORS) == ()


def test_who_wrote_any_version_decides_on_none_of_them() -> None:
    net, authors = network(), {"em", "chi"}
    assert codes(may_approve(net, EM, Row(), authors)) == codes(may_record(net, EM, Row(), authors)) == ["BUL099"]
    assert may_approve(net, DUNG, Row(), authors) == may_record(net, DUNG, Row(), authors) == ()


def test_only_a_leader_of_the_area_approves_and_only_what_waits() -> None:
    net = network()
    assert codes(may_approve(net, AN, Row(), AUTHORS)) == ["BUL022"]
    assert codes(may_approve(net, DUNG, Row(origin=OTHER), AUTHORS)) == ["BUL022"]
    assert codes(may_approve(net, DUNG, Row(origin=PROVINCE), AUTHORS)) == ["BUL022"]
    assert may_approve(net, BINH, Row(), AUTHORS) == ()
    assert codes(may_approve(net, BINH, Row(state="aired"), AUTHORS)) == ["BUL023"]


def test_a_commune_stops_the_provinces_emergency_on_its_own_devices_with_a_reason() -> None:
    net, own, all_of_it = network(), Audience(units=(WARD,)), Audience(units=(PROVINCE,))
    assert codes(may_stop(net, ON, DUNG, own, PROVINCE, " ")) == ["BUL032"]
    assert may_stop(net, ON, DUNG, own, PROVINCE, "nhầm địa bàn") == ()
    assert codes(may_stop(net, ON, DUNG, all_of_it, PROVINCE, "nhầm")) == ["BUL031"]
    assert codes(may_stop(net, ON, DUNG, Audience(devices=("23560-L01",)), None, "")) == ["BUL031"]
    assert codes(may_stop(net, ON, DUNG, Audience(groups=("riverside",)), None, "")) == ["BUL031"]
    assert may_stop(net, ON, DUNG, Audience(devices=("23557-L01",)), None, "") == ()
    assert may_stop(net, ON, DUNG, own, WARD, "") == ()


def test_editors_and_viewers_stop_nothing() -> None:
    assert codes(may_stop(network(), ON, CHI, Audience(units=(WARD,)), None, "")) == ["BUL031"]


def test_a_bulletin_is_ended_by_its_author_or_its_units_operators() -> None:
    net = network()
    assert may_end(net, CHI, Row()) == ()
    assert may_end(net, DUNG, Row()) == ()
    assert codes(may_end(net, DUNG, Row(origin=PROVINCE))) == ["BUL031"]
    assert codes(may_end(net, GIA, Row())) == ["BUL031"]
