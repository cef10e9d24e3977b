"""Every way in which a change can fail or be refused: its sentence and its mending; ``docs/errors.md`` explains it."""

from __future__ import annotations

from collections.abc import Mapping

from inventory.diagnostics import Diagnostic, Place
from nms.i18n import N_

CODES: Mapping[str, tuple[str, str]] = {
    "PLN300": (N_("{device} does not answer: {reason}"), N_("it is done when the device returns")),
    "PLN301": (
        N_("{device} shows another host key than the inventory has"),
        N_("find out which device this is; if it was exchanged: loa replace"),
    ),
    "PLN302": (N_("{device} refuses the hub's key"), N_("put the hub's public key on it: loa enroll {device}")),
    "PLN303": (N_("there is no Python on {device}"), N_("install python3 on it, or its image anew")),
    "PLN304": (N_("the disk of {device} is full; nothing was changed"), N_("make room on it, then apply again")),
    "PLN305": (
        N_("{device} has serial number {known} in the inventory, not {given}; nothing was changed"),
        N_("if it was exchanged: loa replace; otherwise find out whose device this is"),
    ),
    "PLN306": (
        N_("{device} did not finish within {seconds} s"),
        N_("see whether it is in contact: loa device {device}"),
    ),
    "PLN307": (N_("{device} could not be changed, it is as it was: {reason}"), N_("mend the cause, then plan again")),
    "PLN308": (
        N_("the connection to {device} ended: {reason}"),
        N_("see whether it is in contact: loa device {device}"),
    ),
    "PLN309": (N_("the inventory has no host key of {device}"), N_("enrol it: loa enroll {device}")),
    "PLN310": (
        N_("{device} has not been in contact since its change: {missing}"),
        N_("it goes back to its old configuration by itself within {seconds} s"),
    ),
    "PLN311": (
        N_("{device} lost contact, and is back with its old configuration"),
        N_("mend the change, then plan again"),
    ),
    "PLN312": (N_("the change of {device} could not be confirmed: {reason}"), N_("the device goes back by itself")),
    "PLN313": (
        N_("{device} is not as it was when the plan was made"),
        N_("look at what would be done now: loa plan {device}"),
    ),
    "PLN314": (
        N_("for {device} other settings are wanted now than in the plan"),
        N_("look at what would be done now: loa plan {device}"),
    ),
    "PLN315": (N_("the hub itself could not do it: {reason}"), N_("see the hub's log")),
    "PLN316": (
        N_("{device} is being changed by {person} since {since} (roll-out {rollout})"),
        N_("wait until that one has ended, or follow it: loa rollouts {rollout}"),
    ),
    "PLN317": (N_("no roll-out is called '{rollout}'"), N_("see them with: loa rollouts")),
    "PLN318": (N_("roll-out {rollout} has ended and cannot go on"), N_("make a new plan: loa plan")),
    "PLN320": (
        N_("stopped in wave {wave}: {count} devices failed or lost contact, {limit} are allowed"),
        N_("the others were not touched; see why: loa rollouts {rollout}"),
    ),
    "PLN321": (N_("stopped by {person} after wave {wave}"), N_("go on with: loa apply --resume {rollout}")),
    "PLN322": (N_("{device} is not in use any more"), ""),
    "PLN323": (N_("the hub ended while this was under way"), N_("go on with: loa apply --resume {rollout}")),
    "PLN324": (N_("roll-out {rollout} is under way"), N_("follow it: loa rollouts {rollout}")),
    "PLN325": (N_("{device} is in the plan, and not in the inventory"), N_("look at what would be done now: loa plan")),
    "PLN326": (N_("{device} takes the settings and says nothing of them: {reason}"), N_("see the hub's log")),
}


def fault(code: str, place: str = "", /, **fields: object) -> Diagnostic:
    """The diagnostic of that code; ``place`` is a file where there is one."""
    message, fix = CODES[code]
    return Diagnostic(code, Place(place), message, fix, {key: str(value) for key, value in fields.items()})
