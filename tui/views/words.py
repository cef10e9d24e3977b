"""The field's words for what the hub names in English, with a sign that works without colour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nms.i18n import N_

if TYPE_CHECKING:
    from inventory.model import Hamlet

STATES: Mapping[str, str] = {
    "up": N_("connected"),
    "degraded": N_("degraded"),
    "down": N_("lost"),
    "unreachable": N_("lost because of a common cause"),
    "unknown": N_("unknown"),
    "maintenance": N_("in maintenance"),
}
SIGNS: Mapping[str, str] = {
    "up": "●",
    "degraded": "▲",
    "down": "✖",
    "unreachable": "⊘",
    "unknown": "◌",
    "maintenance": "⏸",
}
CLASSES: Mapping[str, str] = {
    "normal": N_("normal bulletin"),
    "priority": N_("priority bulletin"),
    "emergency": N_("emergency bulletin"),
}
TIERS: Mapping[str, str] = {"province": N_("province"), "district": N_("district"), "commune": N_("commune")}
KINDS: Mapping[str, str] = {
    "loudspeaker": N_("loudspeaker cluster"),
    "modem": N_("4G modem"),
    "board": N_("electronic board"),
}
BULLETIN_STATES: Mapping[str, str] = {
    "draft": N_("draft"),
    "submitted": N_("waiting for approval"),
    "returned": N_("returned"),
    "approved": N_("approved"),
    "scheduled": N_("waiting to air"),
    "airing": N_("airing"),
    "aired": N_("aired"),
    "failed": N_("failed to air"),
    "cancelled": N_("cancelled"),
}
CAUSES: Mapping[str, str] = {
    "modem": N_("4G modem {name} lost"),
    "cell": N_("cell {name} lost"),
    "power": N_("mains lost in area {name}"),
    "device": N_("{name} lost"),
}
RESULTS: Mapping[str, str] = {
    "heard": N_("heard"),
    "partial": N_("partly heard"),
    "missed": N_("not heard"),
    "refused": N_("refused by the device"),
    "waiting": N_("no receipt yet"),
}
PLAYED: Mapping[str, str] = {
    "played": N_("played"),
    "partial": N_("played in part"),
    "missed": N_("not played"),
    "refused": N_("refused"),
}


def hamlet_name(hamlet: Hamlet) -> str:
    """``làng Mơ Năng 2``; a name that begins with its own word stays as it is."""
    return hamlet.name if hamlet.name.casefold().startswith(hamlet.word.casefold()) else f"{hamlet.word} {hamlet.name}"
