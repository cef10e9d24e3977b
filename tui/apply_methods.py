"""What a client may ask of the hub about roll-outs; as in ``tui.methods``. Times are Unix milliseconds, 0: not yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tui.methods import Method, Nothing, Problem


@dataclass(frozen=True, slots=True)
class Apply:
    """``text``: of a plan's file, which is done exactly as it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class Begun:
    """``rollout``: its id; empty where the plan asks for nothing."""

    rollout: str


@dataclass(frozen=True, slots=True)
class Named:
    """``rollout``: its id or the end of it."""

    rollout: str


@dataclass(frozen=True, slots=True)
class Last:
    limit: int = 20


@dataclass(frozen=True, slots=True)
class RolloutRow:
    """``plan``: the id of what it follows; ``outcomes``: devices by what became of them; ``reason``: why it ended."""

    id: str
    plan: str
    selection: str
    author: str
    started: int
    ended: int
    state: str
    waves: int
    outcomes: Mapping[str, int]
    reason: Problem | None = None


@dataclass(frozen=True, slots=True)
class RolloutRows:
    """Newest first."""

    rollouts: tuple[RolloutRow, ...]


@dataclass(frozen=True, slots=True)
class TreatedRow:
    """One device: ``wave`` from 1, bytes as the hub counted them."""

    device: str
    wave: int
    outcome: str
    at: int
    sent: int
    received: int
    detail: Problem | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """The roll-out as it is now, and the devices of which something is new: at first all."""

    row: RolloutRow
    devices: tuple[TreatedRow, ...]


APPLY = Method("apply", Apply, Begun)
APPLY_RESUME = Method("apply_resume", Named, Begun)
APPLY_PAUSE = Method("apply_pause", Named, Nothing)
ROLLOUTS = Method("rollouts", Last, RolloutRows)
ROLLOUT = Method("rollout", Named, Progress, stream=True)
"""Until the roll-out has ended."""
