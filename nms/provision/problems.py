"""A diagnostic in rows and plan files: what it says, without the line of the file that it was about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inventory.diagnostics import Diagnostic, Place, Severity


def to_json(problem: Diagnostic) -> dict[str, Any]:
    place = problem.place
    return {
        "code": problem.code,
        "place": [place.file, place.line, place.column],
        "message": problem.message,
        "fix": problem.fix,
        "fields": dict(problem.fields),
        "severity": str(problem.severity),
    }


def from_json(kept: Mapping[str, Any]) -> Diagnostic:
    """Raises KeyError, TypeError or ValueError when it is none of ``to_json``'s."""
    file, line, column = kept["place"]
    return Diagnostic(
        kept["code"],
        Place(str(file), int(line), int(column)),
        kept["message"],
        kept["fix"],
        {str(name): str(value) for name, value in kept["fields"].items()},
        Severity(kept["severity"]),
    )
