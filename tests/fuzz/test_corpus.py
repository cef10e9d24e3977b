"""What fuzzing found stays found: every kept input, and some new ones, through the same checks as in ``make fuzz``."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.harness import Harness
from tests.fuzz.harnesses import HARNESSES

EACH = pytest.mark.parametrize("harness", HARNESSES.values(), ids=HARNESSES)


@EACH
def test_kept_inputs_give_right_values_or_named_refusals(harness: Harness) -> None:
    for data in harness.kept():
        harness.check(data)


@EACH
def test_seeds_are_right_and_many_of_them_accepted(harness: Harness) -> None:
    """Else nothing would be compared."""
    seeds = list(harness.seeds())
    assert sum(map(harness.check, seeds)) >= 0.1 * len(seeds)


@EACH
@pytest.mark.parametrize("source", ["mutated", "noise"])
def test_new_inputs_give_right_values_or_named_refusals(harness: Harness, source: str) -> None:
    inputs = [*harness.seeds(), *harness.kept()]
    mutated = st.builds(
        lambda data, seeds: _mutated(harness, data, seeds),
        st.sampled_from(inputs),
        st.lists(st.integers(0, 2**32), min_size=1, max_size=4),
    )

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(mutated if source == "mutated" else st.binary(max_size=400))
    def right(data: bytes) -> None:
        harness.check(data)

    right()


def _mutated(harness: Harness, data: bytes, seeds: list[int]) -> bytes:
    for seed in seeds:
        data = harness.mutate(data, Random(seed))
    return data


def test_the_corpus_is_small() -> None:
    sizes = [len(data) for harness in HARNESSES.values() for data in harness.kept()]
    assert len(sizes) < 500
    assert sum(sizes) < 1_000_000
