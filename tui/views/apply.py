"""Roll-outs as technicians read them: a line for each device when something becomes of it, the sum at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from inventory.diagnostics import Diagnostic, Place, render
from nms.i18n import N_, decimal, number
from tui.apply_methods import RolloutRow, TreatedRow
from tui.methods import Problem
from tui.views.times import clock, rfc3339, shown
from tui.views.words import ROLLOUT_STATES, column

Translate = Callable[[str], str]
Paint = Callable[[str, str], str]

OUTCOMES: Final[Mapping[str, str]] = {
    "waiting": N_("waiting for its wave"),
    "running": N_("being changed"),
    "unchanged": N_("already as wanted"),
    "applied": N_("changed"),
    "failed": N_("change failed"),
    "lost": N_("contact lost"),
    "restored": N_("restored by itself"),
    "deferred": N_("deferred until it returns"),
    "untouched": N_("not touched"),
}
SIGNS: Final[Mapping[str, tuple[str, str]]] = {
    "waiting": ("◌", "white"),
    "running": ("…", "cyan"),
    "unchanged": ("=", "green"),
    "applied": ("●", "green"),
    "failed": ("✖", "red"),
    "lost": ("✖", "red"),
    "restored": ("↺", "yellow"),
    "deferred": ("⏸", "yellow"),
    "untouched": ("○", "white"),
}


def device_line(row: TreatedRow, translate: Translate, paint: Paint) -> str:
    """``08:15:02  đợt 1  ● 24112-L01  đã đổi  gửi 151,2 kB, nhận 6,1 kB``, and why where something went wrong."""
    sign, colour = SIGNS[row.outcome]
    wave = translate(N_("wave {number}")).format(number=row.wave)
    head = (
        f"{clock(row.at)}  {wave:<7} {paint(sign, colour)} {row.device:<10} {column(OUTCOMES, row.outcome, translate)}"
    )
    parts = [bytes_text(row, translate), problem_text(row.detail, translate)]
    return "  ".join([head, *(part for part in parts if part)]).rstrip()


def bytes_text(row: TreatedRow, translate: Translate) -> str:
    if not (row.sent or row.received):
        return ""
    message = N_("sent {sent} kB, received {received} kB")
    return translate(message).format(sent=decimal(row.sent / 1000), received=decimal(row.received / 1000))


def problem_text(problem: Problem | None, translate: Translate) -> str:
    return f"{problem.code}: {_diagnostic(problem).text(translate)}" if problem is not None else ""


def _diagnostic(problem: Problem) -> Diagnostic:
    return Diagnostic(problem.code, Place(problem.place), problem.message, problem.fix, problem.fields)


def rollout_line(row: RolloutRow, translate: Translate) -> str:
    """One of a list: when, its number, who, over what, its state, the counts."""
    head = f"{shown(row.started)}  {row.id[-8:]}  {row.author:<12} {column(ROLLOUT_STATES, row.state, translate)}"
    return f"{head}  {counts_text(row.outcomes, translate)}  {row.selection}".rstrip()


def counts_text(outcomes: Mapping[str, int], translate: Translate) -> str:
    """``đã đổi 12 · mất liên lạc 1``, in the order of the outcomes."""
    return " · ".join(f"{translate(word)} {number(n)}" for key, word in OUTCOMES.items() if (n := outcomes.get(key)))


def end_lines(row: RolloutRow, devices: Mapping[str, TreatedRow], translate: Translate) -> Iterator[str]:
    """What the roll-out came to: the counts, all bytes, whom nobody touched, and why it did not go on."""
    state = translate(ROLLOUT_STATES[row.state])
    head = translate(N_("Roll-out {rollout}: {state}.")).format(rollout=row.id[-8:], state=state)
    yield f"{head} {counts_text(row.outcomes, translate)}"
    sent, received = sum(d.sent for d in devices.values()), sum(d.received for d in devices.values())
    if sent or received:
        message = N_("Bytes: {sent} kB sent, {received} kB received.")
        yield translate(message).format(sent=decimal(sent / 1000), received=decimal(received / 1000))
    for outcome, message in (("untouched", N_("Not touched: {names}")), ("waiting", N_("Left: {names}"))):
        names = [d.device for d in devices.values() if d.outcome == outcome]
        if names:
            yield translate(message).format(names=", ".join(names))
    if row.reason is not None:
        yield render(_diagnostic(row.reason), translate)


def rollout_json(row: RolloutRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "plan": row.plan,
        "selection": row.selection,
        "author": row.author,
        "started": rfc3339(row.started),
        "ended": rfc3339(row.ended),
        "state": row.state,
        "outcomes": dict(row.outcomes),
        "reason": _problem_json(row.reason),
    }


def device_json(row: TreatedRow) -> dict[str, Any]:
    return {
        "device": row.device,
        "wave": row.wave,
        "outcome": row.outcome,
        "at": rfc3339(row.at),
        "sent": row.sent,
        "received": row.received,
        "detail": _problem_json(row.detail),
    }


def _problem_json(problem: Problem | None) -> dict[str, Any] | None:
    return {"code": problem.code, "fields": dict(problem.fields)} if problem is not None else None
