"""Every way in which putting a device into service, or exchanging it, can end early: its sentence and its mending.

``docs/errors.md`` has a section for each code.
"""

from __future__ import annotations

from collections.abc import Mapping

from inventory.diagnostics import Diagnostic, Place
from nms.i18n import N_

CODES: Mapping[str, tuple[str, str]] = {
    "PLN600": (
        N_("{address} shows the host key {shown}, not {given}; nothing was changed"),
        N_("compare it with the device's label or console; find out which device this is"),
    ),
    "PLN601": (N_("'{device}' is no device in use"), N_("write it into the inventory first; see: loa show")),
    "PLN602": (
        N_("the device at {address} is {other} already, not {device}; nothing was changed"),
        N_("enrol it as {other}, or give it back its factory image first"),
    ),
    "PLN603": (
        N_("the device at {address} is '{found}', which is no {profile}; nothing was changed"),
        N_("find out which device this is, or correct the profile of {device} in the inventory"),
    ),
    "PLN604": (
        N_("{device} has serial number {known} in the inventory; this one has {given}; nothing was changed"),
        N_("if it was exchanged: loa replace {device} --serial {given}; otherwise find out whose device this is"),
    ),
    "PLN605": (
        N_("the unit with serial number {serial} was replaced on {day} ({device}) and is refused"),
        N_("if it is to be used again, name it as the spare of a device: loa replace ID --serial {serial}"),
    ),
    "PLN606": (
        N_("{address} does not let {user} in: {reason}"),
        N_("give the factory's password with --password, or another account with --user"),
    ),
    "PLN607": (N_("{address} does not answer: {reason}"), N_("check the address, the cable and the power")),
    "PLN608": (
        N_("the device at {address} has not the key {fingerprint}; nothing was changed"),
        N_("somebody else announced that key, or answers in its place: compare it with the device's console again"),
    ),
    "PLN609": (
        N_("the device at {address} could not do what it was told: {reason}"),
        N_("mend the cause, then run it again"),
    ),
    "PLN610": (N_("this hub certifies nobody: it has no certificate authority"), N_("make it: loa pki init")),
    "PLN611": (
        N_("{device} is set up, but not in contact after {seconds} s: {way}"),
        N_("mend the cause, then run it again: what is done stays done"),
    ),
    "PLN612": (
        N_("{device} is not reached by a new connection after its change: {reason}"),
        N_("it goes back to what it was by itself; mend the cause, then run it again"),
    ),
    "PLN613": (N_("{device} is being enrolled or replaced by {person}"), N_("wait until that has ended")),
    "PLN614": (
        N_("no device with the key {fingerprint} has announced itself"),
        N_("see who has: loa pending"),
    ),
    "PLN615": (
        N_("'{fingerprint}' is no fingerprint, or names several devices"),
        N_("type at least {least} of its characters, as the device's console shows them"),
    ),
    "PLN616": (
        N_("{device} has the serial number {serial} already"),
        N_("give the spare's serial number; to set the device up again: loa enroll {device}"),
    ),
    "PLN617": (
        N_("the serial number {serial} is that of {other}"),
        N_("read the spare's label again, or correct the inventory"),
    ),
    "PLN618": (
        N_("there is no signed policy for {device}, without which it plays nothing"),
        N_("sign them with the offline root key: loa policies"),
    ),
    "PLN619": (N_("'{serial}' is no serial number"), N_("letters, digits and . _ / - only, as on the label")),
}


def fault(code: str, place: str = "", /, **fields: object) -> Diagnostic:
    """The diagnostic of that code; ``place`` is a file where there is one."""
    message, fix = CODES[code]
    return Diagnostic(code, Place(place), message, fix, {key: str(value) for key, value in fields.items()})


class Stopped(Exception):
    """It goes no further; what is done so far stays done, and is found done the next time."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.code)
        self.diagnostic = diagnostic


def stopped(code: str, **fields: object) -> Stopped:
    return Stopped(fault(code, **fields))
