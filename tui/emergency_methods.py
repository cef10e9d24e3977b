"""What a client may ask about emergencies and drills from scripts, and about what is said after them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tui.methods import Method, Nothing, Problem, Silenced, Submitted


@dataclass(frozen=True, slots=True)
class ScriptRow:
    """A pre-approved script: ``cls`` emergency or drill, its Vietnamese ``text`` and the names of its ``blanks``."""

    id: str
    title: str
    cls: str
    text: str
    blanks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScriptRows:
    scripts: tuple[ScriptRow, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A script for ``area`` (one unit's id or name), its blanks filled; ``typed`` confirms it when it is sent."""

    script: str
    area: str
    values: Mapping[str, str]
    typed: str = ""


@dataclass(frozen=True, slots=True)
class LostRow:
    """A cluster that will not hear now: its ``state`` since then, and whom to call in its hamlet."""

    device: str
    hamlet: str
    state: str
    since: int
    contact: str


@dataclass(frozen=True, slots=True)
class CallPreview:
    """Who would hear what; ``word`` must be typed. ``alone``: one authorised person suffices. ``problems`` forbid it.

    ``languages``: how many clusters hear it in which languages (``jra, vi``), in the order spoken.
    """

    area: str
    word: str
    cls: str
    text: str
    devices: int
    lost: tuple[LostRow, ...]
    boards: int
    languages: Mapping[str, int]
    alone: bool
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    silenced: tuple[Silenced, ...]


@dataclass(frozen=True, slots=True)
class Follow:
    """A ``correction`` or ``all_clear`` (``what``) of a bulletin; ``text`` empty: the words of its script."""

    bulletin: str
    what: str
    text: str = ""


SCRIPTS = Method("scripts", Nothing, ScriptRows)
CALL_PREVIEW = Method("call.preview", Call, CallPreview)
CALL = Method("call", Call, Submitted)
FOLLOW = Method("follow", Follow, Submitted)
