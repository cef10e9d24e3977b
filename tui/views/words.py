"""The field's words for what the hub names in English, with a sign that works without colour."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from inventory.diagnostics import sentence
from nms.i18n import N_

if TYPE_CHECKING:
    from inventory.model import Hamlet
    from tui.methods import Problem

_MODEM = re.compile(r"\d{3,5}-M\d{2,3}").fullmatch

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
    "flapping": N_("{name} comes and goes"),
}
FAULTS: Mapping[str, str] = {
    "battery_low": N_("battery low"),
    "clock_error_s": N_("clock wrong"),
    "error_bits": N_("the device reports an error"),
    "on_battery": N_("runs on battery"),
    "rsrp_dbm": N_("weak 4G signal"),
    "temperature_c": N_("too hot"),
    "refused": N_("SNMP question refused"),
    "flapping": N_("comes and goes"),
    "timer": N_("off by timer"),
    "critical": N_("critical"),
    "heading_over": N_("will not last the month"),
    "near": N_("nearly used up"),
    "over": N_("used up"),
    "silent": N_("silence"),
    "stalled": N_("nothing comes"),
    "unsigned": N_("none is signed"),
    "ending": N_("they end within 30 days"),
    "other_policy": N_("they say something else than the inventory"),
}
"""What a state or an alarm is due to beside a loss: a limit exceeded (a metric of the profiles' ``limits``), a strange
answer, a line that a SIM's use has crossed, what is wrong with a relay's source or with policies."""

RESULTS: Mapping[str, str] = {
    "heard": N_("heard"),
    "partial": N_("partly heard"),
    "missed": N_("not heard"),
    "refused": N_("refused by the device"),
    "silenced": N_("silenced, does not hear"),
    "waiting": N_("no receipt yet"),
}
PLAYED: Mapping[str, str] = {
    "played": N_("played"),
    "partial": N_("played in part"),
    "missed": N_("not played"),
    "refused": N_("refused"),
    "checked": N_("checked in silence"),
}
REASONS: Mapping[str, str] = {
    "quiet hours": N_("quiet hours"),
    "silent window": N_("silent window"),
    "airtime": N_("the day's airtime is used up"),
    "no signal": N_("no signal to relay"),
    "emergency hold": N_("between the rounds of an emergency"),
    "emergency": N_("cut by an emergency"),
    "drill": N_("cut by a drill"),
    "follow_up": N_("cut by a correction or all-clear"),
    "stopped": N_("stopped"),
    "silenced": N_("the cluster is silenced"),
    "withdrawn": N_("withdrawn"),
    "no content": N_("the sound had not arrived"),
    "storage full": N_("the device's storage was full"),
    "no clock": N_("the device did not know the time"),
    "busy": N_("something else was on the air"),
    "too late": N_("too late to begin"),
    "restart": N_("the device started again"),
    "shutdown": N_("the device was switched off"),
    "output stalled": N_("the sound output stalled"),
    "no answer": N_("the device has not answered"),
    "no sound held": N_("only the output: no sound had arrived yet"),
}
"""Why a device did not play, or not to the end, as its receipts say it."""

EVENTS: Mapping[str, str] = {
    "device.state": N_("device"),
    "device.online": N_("device online"),
    "device.offline": N_("device offline"),
    "device.refused": N_("frame refused"),
    "device.muted": N_("device silenced"),
    "device.trap": N_("message from a device"),
    "device.enrolled": N_("device enrolled"),
    "device.replaced": N_("device replaced"),
    "device.maintenance": N_("planned work"),
    "device.repair": N_("repair order"),
    "alarm.opened": N_("alarm"),
    "alarm.acknowledged": N_("alarm acknowledged"),
    "alarm.due": N_("alarm overdue"),
    "alarm.cleared": N_("alarm over"),
    "bulletin.state": N_("bulletin"),
    "bulletin.stopped": N_("bulletin stopped"),
    "bulletin.resumed": N_("stop ended"),
    "bulletin.broke_glass": N_("emergency without a second person"),
    "bulletin.ordered": N_("order decided"),
    "bulletin.picked": N_("bulletin picked"),
    "bulletin.edited": N_("bulletin edited"),
    "bulletin.published": N_("bulletin published"),
    "deploy.started": N_("roll-out begun"),
    "deploy.finished": N_("roll-out finished"),
    "auth.refused": N_("access refused"),
    "self.started": N_("hub started"),
    "self.stopped": N_("hub stopped"),
    "self.task_failed": N_("part of the hub failed"),
    "self.inventory": N_("inventory read"),
    "self.broker": N_("MQTT broker"),
    "self.shard": N_("part of the fleet"),
    "self.clock": N_("clock jumped"),
}
ROLLOUT_STATES: Mapping[str, str] = {
    "running": N_("under way"),
    "paused": N_("paused"),
    "interrupted": N_("interrupted"),
    "stopped": N_("stopped by itself"),
    "done": N_("done"),
}

BULLETIN_FIELDS: Mapping[str, str] = {
    "cls": N_("class"),
    "title": N_("title"),
    "text": N_("text"),
    "audio": N_("recording"),
    "content": N_("sound"),
    "audience": N_("audience"),
    "valid_until": N_("validity"),
    "play_now": N_("when it airs"),
    "repeats": N_("repeats"),
    "every": N_("gap between repeats"),
    "by_session": N_("one in each session"),
    "volume": N_("volume"),
    "authority": N_("authority"),
    "supplier": N_("supplying agency"),
    "field": N_("field"),
    "siren": N_("siren"),
    "times": N_("times said"),
    "also": N_("languages"),
    "language": N_("language"),
}
"""What two versions of a bulletin differ in."""

EVENT_STATES: Mapping[str, str] = {
    "polled": N_("polled"),
    "missed": N_("not polled"),
    "muted": N_("silenced"),
    "unmuted": N_("no longer silenced"),
}
"""What becomes of a part of the fleet, and of a cluster that is silenced until it is mended."""

EVENT_CAUSES: Mapping[str, str] = {
    "all-clear": N_("all-clear"),
    "late receipt": N_("a receipt came late"),
    "expired": N_("the date of the silence has passed"),
    "mended": N_("mended"),
}

INSIDE_SENTENCES = (
    N_("normal"),
    N_("priority"),
    N_("emergency"),
    N_("submitted"),
    N_("scheduled"),
    N_("failed"),
    N_("repeats"),
    N_("loudspeaker"),
    N_("modem"),
    N_("board"),
)
"""Values that the fields of diagnostics carry as they are (``inventory.diagnostics.WORDS``), beside those above."""


def cause_text(cause: str, translate: Callable[[str], str]) -> str:
    """What a device's cause means: ``power:A7``, the modem that is lost above it, faults (``rsrp_dbm, on_battery``).

    A text of another form stays as it is.
    """
    kind, _, name = cause.partition(":")
    if name and kind in CAUSES:
        return translate(CAUSES[kind]).format(name=name)
    if _MODEM(cause):
        return translate(CAUSES["modem"]).format(name=cause)
    return ", ".join(translate(FAULTS.get(part.partition(":")[0], part)) for part in cause.split(", "))


def told(problem: Problem, translate: Callable[[str], str]) -> str:
    """What is wrong and how to mend it, in one line."""
    message, fix = (sentence(text, problem.fields, translate) for text in (problem.message, problem.fix))
    return f"{message} – {fix}" if fix else message


def column(table: Mapping[str, str], key: str, translate: Callable[[str], str]) -> str:
    """The word for ``key``, as wide as the widest of its table: columns fit in every language."""
    widest = max(len(translate(word)) for word in table.values())
    return f"{translate(table.get(key, key)):<{widest}}"


def hamlet_name(hamlet: Hamlet) -> str:
    """``làng Mơ Năng 2``; a name that begins with its own word stays as it is."""
    return hamlet.name if hamlet.name.casefold().startswith(hamlet.word.casefold()) else f"{hamlet.word} {hamlet.name}"
