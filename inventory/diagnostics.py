"""A user's mistake is a value: collected, placed, explained, never thrown.

Messages are English message ids with named fields; a renderer may translate them before the fields are put in, and
with them the fields that hold words (``WORDS``) and not names.
Every code has a section of the same name in ``docs/errors.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Translate = Callable[[str], str]

WORDS = frozenset(
    {
        "cls",
        "detail",
        "expected",
        "field",
        "form",
        "found",
        "kind",
        "problem",
        "reason",
        "record",
        "state",
        "tier",
        "what",
    }
)
"""Fields whose values are words of a language. All others hold names and numbers, which are shown as they are: a hamlet
may be called as a message is."""


def N_(message: str) -> str:
    """Mark a message for the catalogues where it cannot be translated yet."""
    return message


class Phrase(str):
    """Words with words in them: reads as English, and remembers its message id and fields for other languages."""

    __slots__ = ("fields", "message")
    message: str
    fields: Mapping[str, str]

    def __new__(cls, message: str, /, **fields: str) -> Phrase:
        made = super().__new__(cls, message.format_map(fields))
        made.message = message
        made.fields = fields
        return made


def sentence(message: str, fields: Mapping[str, str], translate: Translate = str) -> str:
    """The message with its fields, all in the reader's language; an empty message stays empty."""
    if not message:
        return ""
    return translate(message).format_map({k: _spoken(v, translate) if k in WORDS else v for k, v in fields.items()})


def _spoken(value: str, translate: Translate) -> str:
    return sentence(value.message, value.fields, translate) if isinstance(value, Phrase) else translate(value)


class Severity(StrEnum):
    ERROR = N_("error")
    WARNING = N_("warning")


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

    def text(self, translate: Translate = str) -> str:
        return sentence(self.message, self.fields, translate)

    def fix_text(self, translate: Translate = str) -> str:
        return sentence(self.fix, self.fields, translate)


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    return any(d.severity is Severity.ERROR for d in diagnostics)


def render(diagnostic: Diagnostic, translate: Translate = str) -> str:
    """The diagnostic as the lines a technician reads: code, place if known, source line with a caret, fix."""
    lines = [f"{translate(diagnostic.severity)}[{diagnostic.code}]: {diagnostic.text(translate)}"]
    if diagnostic.place.file:
        lines.append(f"  --> {diagnostic.place}")
    fix = diagnostic.fix_text(translate)
    if diagnostic.source:
        lines.append(f"     | {diagnostic.source}")
        caret = " " * max(0, diagnostic.place.column - 1) + "^"
        lines.append(f"     | {caret} {fix}".rstrip())
    elif fix:
        lines.append(f"     = {fix}")
    lines.extend(f"     = {translate(N_('see {place}')).format(place=place)}" for place in diagnostic.related)
    return "\n".join(lines)
