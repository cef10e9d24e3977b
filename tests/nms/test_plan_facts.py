"""What devices said is kept as they said it, on both databases, and so is since when they say nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from inventory.diagnostics import Diagnostic, Place
from inventory.model import DeviceId
from nms.provision import facts
from nms.provision.facts import MOST_TEXT, Known
from nms.provision.plan import state_left
from nms.provision.reach import Unreached
from nms.provision.values import Facts, Observed, digest_of
from nms.store import FactsRow, Store
from tests.nms.plan_kit import CLUSTER, NOW, OTHER

LATER = NOW + timedelta(hours=1)
FOUND = {"file:/etc/x": Observed(digest_of("Yên Đỗ\n"), "Yên Đỗ\n"), "file:/key": Observed("secret")}
FACTS = Facts(CLUSTER, NOW, FOUND, {"file:/etc/x": digest_of("Yên Đỗ\n")}, {"model": "OrangePi"})
SILENT = Diagnostic("PLN300", Place(""), "{device} does not answer", "", {"device": CLUSTER})


@pytest.fixture
def store(location: str) -> Iterator[Store]:
    with Store.open(location) as opened:
        yield opened


def known(store: Store, device: DeviceId = CLUSTER) -> Known:
    return store.read_sync(lambda s: facts.read(s, [device, OTHER]))[device]


def test_facts_are_kept_as_they_were_said(store: Store) -> None:
    store.write_sync(lambda s: facts.write(s, [FACTS], LATER))
    assert known(store) == Known(NOW, FACTS, digest=FACTS.digest, left=state_left(FACTS))
    assert store.read_sync(lambda s: facts.asked(s, [CLUSTER, OTHER])) == {CLUSTER: replace(known(store), facts=None)}


def test_a_text_that_is_too_long_is_known_by_its_digest_only(store: Store) -> None:
    long = "x" * (MOST_TEXT + 1)
    big = replace(FACTS, found={"file:/etc/x": Observed(digest_of(long), long)}, applied={})
    store.write_sync(lambda s: facts.write(s, [big], NOW))
    kept = known(store).facts
    assert kept is not None
    assert kept.found == {"file:/etc/x": Observed(digest_of(long), None)}
    assert kept.digest == big.digest


def test_a_device_is_silent_since_its_first_silence_and_keeps_its_facts(store: Store) -> None:
    store.write_sync(lambda s: facts.write(s, [FACTS], NOW))
    other = replace(SILENT, message="{device} refuses")
    for at, problem in ((LATER, SILENT), (LATER + timedelta(hours=1), other)):
        store.write_sync(lambda s, at=at, problem=problem: facts.write(s, [Unreached(CLUSTER, problem)], at))  # type: ignore[misc]
    one = known(store)
    assert (one.facts, one.failed, one.failure) == (FACTS, LATER, other)
    store.write_sync(lambda s: facts.write(s, [replace(FACTS, at=LATER)], LATER))
    assert (known(store).failed, known(store).failure, known(store).at) == (None, None, LATER)


def test_a_device_that_never_answered_has_no_facts(store: Store) -> None:
    store.write_sync(lambda s: facts.write(s, [Unreached(CLUSTER, SILENT)], NOW))
    assert known(store) == Known(None, None, NOW, SILENT)
    assert store.read_sync(lambda s: facts.asked(s, [CLUSTER])) == {CLUSTER: Known(None, None, NOW, SILENT)}


def test_facts_of_another_version_are_as_if_never_said(store: Store) -> None:
    row = FactsRow(device=CLUSTER, at=NOW, document={"version": 99})
    store.write_sync(lambda s: s.add(row))
    assert known(store) == Known()
    assert store.read_sync(lambda s: facts.asked(s, [CLUSTER])) == {CLUSTER: Known()}


def test_more_devices_than_a_query_may_name(store: Store) -> None:
    names = [DeviceId(f"{code:05}-L01") for code in range(1, 1203)]
    store.write_sync(lambda s: facts.write(s, [replace(FACTS, device=n) for n in names], NOW))
    assert set(store.read_sync(lambda s: facts.read(s, names))) == set(names)


def test_devices_that_drift_are_counted(store: Store) -> None:
    drifting = replace(FACTS, device=OTHER, applied={"file:/etc/x": "left", "file:/gone": "left"})
    store.write_sync(lambda s: facts.write(s, [FACTS, drifting], NOW))
    assert store.read_sync(facts.drifting) == 1
    store.write_sync(lambda s: facts.write(s, [replace(FACTS, device=OTHER)], NOW))
    assert store.read_sync(facts.drifting) == 0
