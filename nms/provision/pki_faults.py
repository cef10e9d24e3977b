"""Every mistake with certificates: its sentence and its mending. ``docs/errors.md`` has a section for each code."""

from __future__ import annotations

from collections.abc import Mapping

from inventory.diagnostics import Diagnostic, Place

CODES: Mapping[str, tuple[str, str]] = {
    "ENV020": ("{file} already exists", "nothing is overwritten: name another place, or move it away"),
    "ENV022": ("{file} is open to others (mode {mode})", "chmod {wanted} {file}"),
    "ENV024": ("the passphrase has {count} characters", "at least {least}: it guards the root of all trust"),
    "ENV026": ("{file} cannot be written: {reason}", "check the folder's rights and the room on the disk"),
    "ENV050": ("there is no certificate authority in {file}", "make it once with: loa pki init"),
    "ENV051": (
        "{file} is not the key of a certificate authority, or the passphrase is wrong",
        "check file and passphrase",
    ),
    "ENV052": (
        "the certificate request cannot be granted: {reason}",
        "the device makes its key and the request anew",
    ),
    "ENV053": ("{device} is not in the inventory, or not in use", "check the id and its dates in the inventory"),
    "ENV054": (
        "{device} has serial number {known} in the inventory, not {given}",
        "if it was exchanged: loa replace; otherwise find out whose device this is",
    ),
    "ENV055": ("{device} was given {count} certificates within a day", "find out why it asks so often; try tomorrow"),
    "ENV056": ("no valid certificate of {name} is known", "see them with: loa pki list"),
    "ENV057": (
        "the inventory does not say by which name devices find the hub",
        "add 'hub' with name, endpoint and public_key to network.yaml",
    ),
    "ENV058": ("the hub's certificate {file} cannot be used: {reason}", "make it anew with: loa pki hub"),
    "ENV059": (
        "{host} is not on this machine: without certificates nobody may be spoken to there",
        "make them with 'loa pki init' and 'loa pki hub', or use 127.0.0.1",
    ),
}


def fault(code: str, place: str, /, **fields: object) -> Diagnostic:
    """The diagnostic of that code; ``place`` is a file, a device's id or a setting."""
    message, fix = CODES[code]
    return Diagnostic(code, Place(place), message, fix, {key: str(value) for key, value in fields.items()})
