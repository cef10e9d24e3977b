"""Times of the wire as people and programs read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from nms.i18n import VIETNAM, local

_DAYS = ("%d/%m/%Y", "%Y-%m-%d", "%d/%m")
_MOMENTS = ("%H:%M %d/%m/%Y", "%H:%M %d/%m")


def moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def rfc3339(milliseconds: int) -> str | None:
    """``2024-10-01T17:00:00.250+07:00``; None where there is no time (0)."""
    if not milliseconds:
        return None
    return moment(milliseconds).astimezone(VIETNAM).isoformat(timespec="milliseconds")


def clock(milliseconds: int) -> str:
    """``17:00:05``, for what happened today."""
    return moment(milliseconds).astimezone(VIETNAM).strftime("%H:%M:%S")


def shown(milliseconds: int) -> str:
    """``17:00 01/10/2024``."""
    return local(moment(milliseconds))


def brief(milliseconds: int) -> str:
    """``17:00 01/10``, for lists of what lasts."""
    return moment(milliseconds).astimezone(VIETNAM).strftime("%H:%M %d/%m")


def read_end(text: str, now: datetime) -> datetime | None:
    """When something ends, as people write it; None if it is no time.

    ``17:00`` is the next one, ``17:00 05/12`` and ``05/12`` of this year or the next, a day means its last moment;
    ISO 8601 will do too.
    """
    text = " ".join(text.split())
    day = _first(text, _DAYS, now)
    if day is not None:
        return day + timedelta(days=1) - timedelta(milliseconds=1)
    at = _first(text, _MOMENTS, now)
    if at is not None:
        return at
    hour = _read(text, "%H:%M")
    if hour is not None:
        at = datetime.combine(now.astimezone(VIETNAM).date(), hour.time(), VIETNAM)
        return at if at > now else at + timedelta(days=1)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.utcoffset() is not None else at.replace(tzinfo=VIETNAM)


def _first(text: str, forms: tuple[str, ...], now: datetime) -> datetime | None:
    """The text by the first form that fits; a day without a year lies ahead."""
    today = now.astimezone(VIETNAM).date()
    for form in forms:
        at = _read(text, form) if "%Y" in form else _read(f"{text}/{today.year}", f"{form}/%Y")
        if at is not None and "%Y" not in form and at.date() < today:
            at = _read(f"{text}/{today.year + 1}", f"{form}/%Y")
        if at is not None:
            return at
    return None


def _read(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form).replace(tzinfo=VIETNAM)
    except ValueError:
        return None


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)
