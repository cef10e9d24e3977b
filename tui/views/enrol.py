"""New devices as text and JSON: steps as they get done, who waits, what goes into the inventory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nms.i18n import N_
from tui.enrol_methods import Found, PendingDevice, Replaced, StepDone
from tui.views.times import rfc3339, shown

Translate = Callable[[str], str]

STEPS: Mapping[str, str] = {
    "contact": N_("contact"),
    "facts": N_("device"),
    "certificate": N_("certificate"),
    "tunnel": N_("tunnel"),
    "settings": N_("settings"),
    "snmp": N_("SNMP"),
    "mqtt": N_("MQTT"),
    "sound": N_("sound"),
}


def grouped(fingerprint: str) -> str:
    """A key's fingerprint as the device's console shows it: in fours."""
    return " ".join(fingerprint[at : at + 4] for at in range(0, len(fingerprint), 4))


def step_line(step: StepDone, translate: Translate) -> str:
    return f"✔ {translate(STEPS[step.step])}: {translate(step.message).format(**step.fields)}"


def pending_lines(device: PendingDevice, translate: Translate) -> Iterator[str]:
    yield grouped(device.fingerprint)
    said = translate(N_("model {model}, serial number {serial}, at {address}, host key {host_key}"))
    words = {"model": device.model or "–", "serial": device.serial or "–"}
    yield "  " + said.format(**words, address=device.address, host_key=device.host_key)
    heard = translate(N_("heard from {first} to {last}"))
    yield "  " + heard.format(first=shown(device.first), last=shown(device.last))


def pending_json(device: PendingDevice) -> dict[str, Any]:
    return {
        "fingerprint": device.fingerprint,
        "model": device.model,
        "serial": device.serial,
        "address": device.address,
        "host_key": device.host_key,
        "first": rfc3339(device.first),
        "last": rfc3339(device.last),
    }


def found_json(found: Found) -> dict[str, Any]:
    return {
        "device": found.device,
        "model": found.model,
        **found.values,
        "fingerprint": found.fingerprint,
        "tone": found.tone,
    }


def replaced_json(replaced: Replaced) -> dict[str, Any]:
    return {
        "device": replaced.device,
        "previous": replaced.previous,
        "serial": replaced.serial,
        "revoked": replaced.revoked,
    }
