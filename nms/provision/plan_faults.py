"""Every mistake that keeps a plan from being made or used: its sentence and its mending.

``docs/errors.md`` has a section for each code.
"""

from __future__ import annotations

from collections.abc import Mapping

from inventory.diagnostics import Diagnostic, Place, Severity

CODES: Mapping[str, tuple[str, str]] = {
    "PLN200": ("the role '{role}' is not there", "install Loa again; its roles are in {folder}"),
    "PLN201": ("the role cannot be read: {reason}", "make it YAML with a list 'resources'"),
    "PLN202": ("'{text}' is not understood here", "expected: {hint}"),
    "PLN203": ("the template cannot be read: {reason}", "correct it at this line"),
    "PLN204": ("the template fails for {device}: {reason}", "correct the template, or what the inventory says of it"),
    "PLN205": (
        "a secret in a resource that is shown to people",
        "write 'secret: true' at the resource in the role's manifest.yml",
    ),
    "PLN206": ("the hub has no artifact '{name}', which {device} needs", "put it into the hub's artifacts"),
    "PLN207": ("devices of the family '{profile}' are not set up by Loa", "set {device} up by hand"),
    "PLN208": ("{device} would get '{name}' twice", "let 'when' choose one of them"),
    "PLN209": ("this hub has no way to reach devices of the family '{family}'", "see the hub's log from its start"),
    "PLN210": ("{file} is no plan: {reason}", "make one with: loa plan -o FILE"),
    "PLN211": ("the plan has format {found}, and this program reads format {wanted}", "make it anew: loa plan -o FILE"),
    "PLN220": ("the inventory has changed since the plan was made", "look at what would be done now: loa plan"),
    "PLN221": ("the templates have changed since the plan was made", "look at what would be done now: loa plan"),
    "PLN222": (
        "other settings are wanted now than when the plan was made: {devices}",
        "look at what would be done now: loa plan",
    ),
    "PLN223": (
        "these have changed since the plan was made: {devices}",
        "look at what would be done now: loa plan",
    ),
    "PLN230": ("'{selection}' means no device in use", "see: loa show"),
    "PLN231": (
        "{person} is no technician for {unit}",
        "ask one of the area, or correct roles and area in people.yaml",
    ),
}


def fault(code: str, place: Place | str = "", /, severity: Severity = Severity.ERROR, **fields: object) -> Diagnostic:
    """The diagnostic of that code."""
    message, fix = CODES[code]
    where = Place(place) if isinstance(place, str) else place
    return Diagnostic(code, where, message, fix, {key: str(value) for key, value in fields.items()}, severity)
