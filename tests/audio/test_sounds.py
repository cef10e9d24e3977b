"""What a draft sounds like: at few bits where it travels inside a document, unless its loudness needs more."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from audio.bulletin import Draft
from audio.documents import BulletinClass
from audio.faults import fault
from audio.library import Library
from audio.sounds import BITRATE, CARRIED, sound_of
from inventory.diagnostics import Diagnostic
from inventory.model import PersonId, Tier, UnitId

LEAN = fault("AUD007", "text", file="text", target=-16.0, lufs=-19.0, peak=-1.2)
SILENT = fault("AUD006", "text", file="text")


@dataclass
class Shelf:
    """A library that answers as it is told, by bitrate."""

    refusals: dict[int, Diagnostic] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def speak(self, text: str, **given: Any) -> object:
        return self._answer({"text": text, **given})

    async def import_audio(self, source: Path, **given: Any) -> object:
        return self._answer({"source": source, **given})

    def _answer(self, given: dict[str, Any]) -> object:
        self.asked.append(given)
        refused = self.refusals.get(given["bitrate"])
        return (refused,) if refused is not None else given["bitrate"]


def draft(cls: BulletinClass, **given: Any) -> Draft:
    return Draft(Tier.COMMUNE, UnitId("23557"), PersonId("an"), cls, "t", "", **given)


@pytest.mark.parametrize(
    ("given", "bits", "chimed"),
    [
        (draft(BulletinClass.NORMAL, text="a"), BITRATE, True),
        (draft(BulletinClass.PRIORITY, text="a"), BITRATE, True),
        (draft(BulletinClass.EMERGENCY, text="a"), CARRIED, False),
        (draft(BulletinClass.NORMAL, text="a", drill=True), CARRIED, False),
    ],
)
async def test_what_travels_inside_the_document_is_lean_and_has_a_siren_in_place_of_the_chime(
    given: Draft, bits: int, chimed: bool
) -> None:
    shelf = Shelf()
    assert await sound_of(cast("Library", shelf), given) == bits  # type: ignore[comparison-overlap]
    (asked,) = shelf.asked
    assert (asked["bitrate"], asked["chimed"]) == (bits, chimed)


@pytest.mark.parametrize(("why", "tried"), [(LEAN, [CARRIED, BITRATE]), (SILENT, [CARRIED])])
async def test_an_alarm_does_not_fail_for_its_size_but_for_what_more_bits_do_not_mend(
    why: Diagnostic, tried: list[int]
) -> None:
    shelf = Shelf({CARRIED: why})
    found = await sound_of(cast("Library", shelf), draft(BulletinClass.EMERGENCY, text="Chạy!"))
    assert [asked["bitrate"] for asked in shelf.asked] == tried
    assert isinstance(found, tuple) is (len(tried) == 1)


async def test_a_recording_is_trimmed_where_its_author_asked_for_it(tmp_path: Path) -> None:
    shelf = Shelf()
    await sound_of(cast("Library", shelf), draft(BulletinClass.NORMAL, audio=tmp_path / "a.wav", trim=True))
    assert shelf.asked[0]["trim"] is True
