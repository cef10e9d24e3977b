"""What operators read: the language chosen, missing words in English, numbers and times as offices write them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo

from nms.i18n import N_, decimal, local, nfc, number, plural_translator, speak, translator


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    catalogue = Catalog(locale="vi", domain="loa")
    catalogue.add(N_("Bulletin"), "Bản tin")
    catalogue.add((N_("{n} device"), N_("{n} devices")), ("{n} thiết bị",))
    target = tmp_path / "vi" / "LC_MESSAGES" / "loa.mo"
    target.parent.mkdir(parents=True)
    with target.open("wb") as file:
        write_mo(file, catalogue)
    return tmp_path


def test_vietnamese_is_translated_and_a_missing_message_is_english(folder: Path) -> None:
    translate = translator("vi", folder)
    assert [translate("Bulletin"), translate("Not in the catalogue"), translate("")] == [
        "Bản tin",
        "Not in the catalogue",
        "",
    ]


def test_english_needs_no_catalogue(folder: Path, tmp_path: Path) -> None:
    assert translator("en", folder)("Bulletin") == "Bulletin"
    assert translator("vi", tmp_path / "none")("Bulletin") == "Bulletin"


def test_an_unknown_language_falls_back_to_vietnamese(folder: Path) -> None:
    assert translator("fr", folder)("Bulletin") == "Bản tin"


def test_a_count_has_one_form_in_vietnamese_and_two_in_english(folder: Path) -> None:
    def words(language: str) -> list[str]:
        plural = plural_translator(language, folder)
        return [plural("{n} device", "{n} devices", n).format(n=n) for n in (1, 2)]

    assert words("vi") == ["1 thiết bị", "2 thiết bị"]
    assert words("en") == ["1 device", "2 devices"]


def test_composed_text_compares_as_it_looks() -> None:
    assert nfc("Pho\u031b\u0300ng") == "Ph\u1edd" + "ng"


def test_times_are_shown_in_vietnam_whatever_zone_they_come_in() -> None:
    assert local(datetime(2026, 11, 20, 22, 0, tzinfo=UTC)) == "05:00 21/11/2026"
    assert local(datetime(2026, 11, 20, 22, 0, 59, tzinfo=UTC) - timedelta(seconds=60)) == "04:59 21/11/2026"
    with pytest.raises(ValueError, match="no time zone"):
        local(datetime(2026, 11, 20))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("value", "places", "language", "shown"),
    [
        (92.3, 1, "vi", "92,3"),
        (92.25, 1, "vi", "92,3"),
        (0.05, 1, "vi", "0,1"),
        (-1234.56, 1, "vi", "-1.234,6"),
        (1234567.5, 1, "en", "1,234,567.5"),
        (85.0, 0, "vi", "85"),
    ],
)
def test_decimals(value: float, places: int, language: str, shown: str) -> None:
    assert decimal(value, places, language) == shown


def test_numbers() -> None:
    assert [number(1055), number(2221, "en"), number(-7), number(1234567)] == ["1.055", "2,221", "-7", "1.234.567"]


def test_figures_follow_the_language_that_is_spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "vi")
    speak("en")
    assert (number(1055), decimal(1234.5), number(1055, "vi")) == ("1,055", "1,234.5", "1.055")
    speak("vi")
    assert (number(1055), decimal(1234.5)) == ("1.055", "1.234,5")
    monkeypatch.setenv("LANGUAGE", "C.UTF-8")
    assert number(1055) == "1.055", "a language that nobody chose"


@pytest.mark.parametrize("module", ["nms.i18n", "nms.settings", "nms.vault"])
def test_small_modules_load_nothing_heavy(module: str) -> None:
    program = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"sqlalchemy", "ansible", "textual", "babel", "alembic", "yaml", "cryptography"} & set(loaded)
