"""Times of the wire as people and programs read them."""

from __future__ import annotations

from datetime import UTC, datetime

from nms.i18n import VIETNAM, local


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


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)
