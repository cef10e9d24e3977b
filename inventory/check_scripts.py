"""Rules of the pre-approved scripts: what is said, in which languages, and where blanks may be."""

from __future__ import annotations

import re
from collections.abc import Iterator

from inventory.codes import Finding
from inventory.model import Network, Script, ScriptClass, Wording
from inventory.names import fold

SPOKEN = "vi"
"""The one language that is spoken from text; all others are recorded."""
DRILL = "dien tap"
"""Folded: what every word of a drill must contain, so that nobody takes it for the real thing."""
_BRACED = re.compile(r"\{([^{}]*)\}|[{}]")
_NAME = re.compile(r"\w+")


def blanks(text: str) -> tuple[str, ...]:
    """The names of the text's blanks, each once, in their order."""
    return tuple(dict.fromkeys(m[1] for m in _BRACED.finditer(text) if m[1] and _NAME.fullmatch(m[1])))


def _words(script: Script) -> Iterator[tuple[str, Wording]]:
    yield "alarm", script.alarm
    yield "correction", script.correction
    yield "all_clear", script.all_clear


def _texts(network: Network) -> Iterator[Finding]:
    for script in network.scripts.values():
        for name, wording in _words(script):
            for language, text in wording.text.items():
                yield from _text(script, name, language, text)
            if SPOKEN not in wording.text:
                yield Finding("INV505", script.place, (name, "text"), {"wording": name})
            elif script.cls is ScriptClass.DRILL and DRILL not in fold(wording.text[SPOKEN]):
                yield Finding("INV506", script.place, (name, "text", SPOKEN), {"wording": name})


def _text(script: Script, name: str, language: str, text: str) -> Iterator[Finding]:
    wording: Wording = getattr(script, name)
    path = (name, "text", language)
    for found in _BRACED.finditer(text):
        if not (found[1] and _NAME.fullmatch(found[1])):
            yield Finding("INV502", script.place, path, {"text": found[0]})
    recorded = language in wording.recordings
    if blanks(text) and (name != "alarm" or language != SPOKEN or recorded):
        fields = {"wording": f"{name} ({language})", "blanks": ", ".join(blanks(text))}
        yield Finding("INV503", script.place, path, fields)
    if language != SPOKEN and not recorded:
        yield Finding("INV504", script.place, path, {"language": language})


SCRIPT_CHECKS = (_texts,)
