"""Language, numbers and times as operators read them: Vietnamese by default, English message ids.

Catalogues are ``tui/locale/<language>/LC_MESSAGES/loa.mo``, compiled and committed; English needs none. A message that
a catalogue lacks is shown in English.
"""

from __future__ import annotations

import gettext
import os
import unicodedata
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from inventory.diagnostics import N_ as N_

DEFAULT = "vi"
LANGUAGES = ("vi", "en")
LOCALE = Path(__file__).resolve().parent.parent / "tui" / "locale"
VIETNAM = timezone(timedelta(hours=7), "+07")
"""Vietnam has one zone and no daylight saving; a fixed offset needs no zone database on the machine."""

_SEPARATORS = {"vi": (".", ","), "en": (",", ".")}


def _catalogue(language: str, folder: Path) -> gettext.NullTranslations:
    wanted = language if language in LANGUAGES else DEFAULT
    return gettext.translation("loa", folder, [wanted], fallback=True)


def translator(language: str, folder: Path = LOCALE) -> Callable[[str], str]:
    """The function that turns message ids into ``language``; an unknown language means Vietnamese."""
    translate = _catalogue(language, folder).gettext
    return lambda message: translate(message) if message else ""


def speak(language: str, folder: Path = LOCALE) -> None:
    """Let ``gettext``'s own functions, through which libraries speak, answer in ``language``, until told otherwise.

    They ask the environment for the language at every call, so it is written there; figures are written accordingly.
    """
    gettext.bindtextdomain("loa", str(folder))
    gettext.textdomain("loa")
    os.environ["LANGUAGE"] = language


def plural_translator(language: str, folder: Path = LOCALE) -> Callable[[str, str, int], str]:
    """As ``translator``, for messages with a count: ``(singular, plural, n)``."""
    return _catalogue(language, folder).ngettext


def nfc(text: str) -> str:
    """The composed form, in which Vietnamese text compares and counts as it looks."""
    return unicodedata.normalize("NFC", text)


def local(moment: datetime) -> str:
    """``05:00 21/11/2026`` in Vietnam's time. Raises ValueError for a datetime without a zone."""
    if moment.utcoffset() is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    return moment.astimezone(VIETNAM).strftime("%H:%M %d/%m/%Y")


def number(value: int, language: str = "") -> str:
    """``1.055`` in Vietnamese, ``1,055`` in English; in the language of ``speak`` if none is given."""
    thousands, _ = _separators(language)
    return f"{value:,}".replace(",", thousands)


def decimal(value: float, places: int = 1, language: str = "") -> str:
    """``92,3`` in Vietnamese; a half is rounded away from zero, as offices do. Language as in ``number``."""
    thousands, point = _separators(language)
    rounded = Decimal(repr(value)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    whole, _, rest = f"{rounded:,f}".partition(".")
    return whole.replace(",", thousands) + (point + rest if rest else "")


def _separators(language: str) -> tuple[str, str]:
    """Of thousands and of decimals."""
    return _SEPARATORS.get(language or os.environ.get("LANGUAGE", DEFAULT), _SEPARATORS[DEFAULT])
