"""A user's mistake is a value: collected, placed, explained, never thrown.

Messages are English message ids with named fields; a renderer may translate them before the fields are put in.
Every code has a section of the same name in ``docs/errors.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where in the inventory: file relative to the inventory folder; line and column from 1 (0 = the whole file)."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake: stable ``code``, where it is, what is wrong (``message``), how to mend it (``fix``).

    ``message`` and ``fix`` are templates for ``str.format_map(fields)``. ``related`` names other places that
    take part (the first of two duplicates). ``source`` is the offending line as it stands in the file.
    """

    code: str
    place: Place
    message: str
    fix: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    severity: Severity = Severity.ERROR
    related: tuple[Place, ...] = ()
    source: str = ""

    def text(self, translate: Callable[[str], str] = str) -> str:
        return translate(self.message).format_map(self.fields)

    def fix_text(self, translate: Callable[[str], str] = str) -> str:
        return translate(self.fix).format_map(self.fields) if self.fix else ""


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    return any(d.severity is Severity.ERROR for d in diagnostics)


def render(diagnostic: Diagnostic, translate: Callable[[str], str] = str) -> str:
    """The diagnostic as the lines a technician reads: code, place, source line with a caret, fix."""
    lines = [
        f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.text(translate)}",
        f"  --> {diagnostic.place}",
    ]
    fix = diagnostic.fix_text(translate)
    if diagnostic.source:
        lines.append(f"     | {diagnostic.source}")
        caret = " " * max(0, diagnostic.place.column - 1) + "^"
        lines.append(f"     | {caret} {fix}".rstrip())
    elif fix:
        lines.append(f"     = {fix}")
    lines.extend(f"     = see {place}" for place in diagnostic.related)
    return "\n".join(lines)
