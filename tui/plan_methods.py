"""What a client may ask of the hub about plans; as in ``tui.methods``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tui.methods import Method

DAY = 24 * 60 * 60 * 1000


class Refresh(StrEnum):
    """Which devices are asked for their state first: none, those whose facts are missing or too old, all."""

    NEVER = "never"
    STALE = "stale"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Ask:
    """A plan for a selection. Facts older than ``max_age`` (ms) are stale. ``drift``: only what people changed."""

    selection: str = ""
    refresh: Refresh = Refresh.STALE
    max_age: int = DAY
    drift: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """First how many devices of how many have answered, while they are asked; then the plan, as the text of its file
    (``nms.provision.planfile``) in pieces."""

    answered: int = 0
    asked: int = 0
    text: str = ""


PLAN = Method("plan", Ask, Piece, stream=True)
