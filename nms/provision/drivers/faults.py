"""Every way in which a modem can fail to be read or changed: its sentence and its mending.

``docs/errors.md`` has a section for each code.
"""

from __future__ import annotations

from collections.abc import Mapping

from inventory.diagnostics import N_, Diagnostic, Place

UNREACHABLE, OTHER_KEY, NO_KEY, NO_LOGIN = "PLN400", "PLN401", "PLN402", "PLN403"
REFUSED, BROKEN, NOT_TAKEN, WENT_BACK, NO_COMMAND, EARLY = "PLN404", "PLN405", "PLN406", "PLN407", "PLN408", "PLN409"
NO_BACKUP, CHANGED, NO_RESTORE = "PLN410", "PLN411", "PLN412"

CODES: Mapping[str, tuple[str, str]] = {
    UNREACHABLE: (
        N_("{device} does not answer: {reason}"),
        N_("see: loa device {device}; it is asked again when it is back"),
    ),
    OTHER_KEY: (
        N_("{device} shows another host key than the inventory has"),
        N_("somebody else answers there, or the device was replaced; compare on the spot, then: loa replace {device}"),
    ),
    NO_KEY: (N_("the inventory has no host key of {device}"), N_("enrol it: loa enroll {device}")),
    NO_LOGIN: (
        N_("{device} does not let the hub in"),
        N_("let the device have the hub's SSH key, or secrets.yaml its password as ssh_{device}"),
    ),
    REFUSED: (N_("{device} refuses: {reply}"), N_("correct what the role or the inventory asks of it")),
    BROKEN: (N_("the connection to {device} broke: {reason}"), N_("see: loa device {device}")),
    NOT_TAKEN: (
        N_("{device} has not taken: {options}"),
        N_("look for what else sets these on the device; it goes back by itself"),
    ),
    WENT_BACK: (
        N_("{device} has gone back to its old configuration"),
        N_("look at what the change cut, then: loa plan"),
    ),
    EARLY: (
        N_("the change of {device} still does not work"),
        N_("see the device's own log; it goes back by itself"),
    ),
    NO_BACKUP: (N_("there is no backup {number} of {device}"), N_("see: loa device {device} --history")),
    CHANGED: (N_("{device} has changed since this was shown"), N_("look again: loa restore {device}")),
    NO_RESTORE: (
        N_("backups of {device} are to read, not to be put back"),
        N_("bring back the inventory of then (git log), then: loa plan"),
    ),
    NO_COMMAND: (N_("'{option}' cannot be set on {device}"), N_("let the item have a name or a comment")),
}


class Failed(Exception):
    """A device could not be read or changed; the reason is a value again at the edge."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.code)
        self.diagnostic = diagnostic


def fault(code: str, /, **fields: str) -> Diagnostic:
    """The diagnostic of that code."""
    message, fix = CODES[code]
    return Diagnostic(code, Place(""), message, fix, fields)


def failed(code: str, /, **fields: str) -> Failed:
    """The failure of that code."""
    return Failed(fault(code, **fields))
