"""Bulletins and who heard them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nms.i18n import N_, decimal, number
from tui.methods import AsRun, BulletinRow, Report, ReportRow, Resumed
from tui.views.times import clock, rfc3339, shown
from tui.views.words import BULLETIN_STATES, CLASSES, PLAYED, REASONS, RESULTS, TIERS, column

Translate = Callable[[str], str]
MAX_UNHEARD = 20


def bulletin_line(row: BulletinRow, translate: Translate) -> str:
    heard = f"{row.heard}/{row.expected}" if row.expected else ""
    return (
        f"{row.id}  {shown(row.created)}  {column(TIERS, row.tier, translate)} {column(CLASSES, row.cls, translate)} "
        f"{column(BULLETIN_STATES, row.state, translate)} {heard:>9}  {row.title}"
    ) + (f" (v{row.version})" if row.version > 1 else "")


def short_line(row: BulletinRow, translate: Translate) -> str:
    """For a screen: from when, what, and how far it is."""
    state = translate(BULLETIN_STATES.get(row.state, row.state))
    heard = f" {row.heard}/{row.expected}" if row.expected else ""
    return f"{clock(row.created)} {translate(CLASSES[row.cls])}: {row.title} – {state}{heard}"


def resumed_lines(resumed: Resumed, translate: Translate) -> Iterator[str]:
    """Where stops have ended, and which of others go on."""
    yield translate(N_("no longer stopped in {targets}")).format(targets=", ".join(resumed.targets))
    for row in resumed.standing:
        message = translate(N_("{place} stays stopped until {until} by {issuer}"))
        yield message.format(place=row.place, until=shown(row.until), issuer=row.issuer)


def bulletin_json(row: BulletinRow) -> Mapping[str, Any]:
    return {
        "id": row.id,
        "title": row.title,
        "class": row.cls,
        "tier": row.tier,
        "origin": row.origin,
        "author": row.author,
        "state": row.state,
        "audience": row.audience,
        "created": rfc3339(row.created),
        "valid_until": rfc3339(row.valid_until),
        "seconds": row.duration / 1000,
        "heard": row.heard,
        "expected": row.expected,
        "follows": row.follows or None,
        "version": row.version,
    }


def report_lines(report: Report, translate: Translate) -> Iterator[str]:
    """How many heard it, how late it started, and everyone who did not, with whom to call."""
    row = report.row
    heard, silenced = report.counts.get("heard", 0), report.counts.get("silenced", 0)
    yield f"{row.title} ({translate(CLASSES[row.cls])}, {translate(BULLETIN_STATES.get(row.state, row.state))})"
    parts = [f"{translate(RESULTS[k])} {n}" for k, n in report.counts.items() if n and k in RESULTS]
    yield translate(N_("heard by {heard} of {expected} clusters")).format(heard=heard, expected=row.expected) + (
        f": {', '.join(parts)}" if parts else ""
    )
    if silenced:
        yield translate(N_("WILL NOT HEAR: {count} silenced clusters")).format(count=number(silenced))
    if report.latency_p50 is not None and report.latency_p99 is not None:
        yield translate(N_("start latency: median {p50} s, 99 % within {p99} s")).format(
            p50=decimal(report.latency_p50 / 1000, 3), p99=decimal(report.latency_p99 / 1000, 3)
        )
    # who will not hear for sure stands first: somebody must call there
    unheard = sorted((r for r in report.devices if r.result != "heard"), key=lambda r: r.result != "silenced")
    for device in unheard[:MAX_UNHEARD]:
        yield "  " + _unheard(device, translate)
    if len(unheard) > MAX_UNHEARD:
        yield "  " + translate(N_("and {count} more")).format(count=len(unheard) - MAX_UNHEARD)


def _unheard(row: ReportRow, translate: Translate) -> str:
    text = f"{row.device} {row.commune} · {row.hamlet}: {translate(RESULTS[row.result])}"
    if row.reason:
        text += f" ({_reason(row.reason, translate)})"
    if row.started:
        text += f" {clock(row.started)}"
    if row.contact:
        text += " – " + translate(N_("call {contact}")).format(contact=row.contact)
    return text


def _reason(reason: str, translate: Translate) -> str:
    """Why, in words; what a decoder or a driver said stays as it was said."""
    return translate(REASONS.get(reason, reason))


def report_json(report: Report) -> Mapping[str, Any]:
    return {
        "bulletin": bulletin_json(report.row),
        "counts": dict(report.counts),
        "latency_ms": {"p50": report.latency_p50, "p99": report.latency_p99},
        "devices": [
            {
                "device": r.device,
                "commune": r.commune,
                "hamlet": r.hamlet,
                "result": r.result,
                "reason": r.reason,
                "started": rfc3339(r.started),
                "latency_ms": r.latency,
                "contact": r.contact,
            }
            for r in report.devices
        ],
    }


def as_run_line(row: AsRun, translate: Translate) -> str:
    result = translate(PLAYED.get(row.result, row.result)) + (
        f" ({_reason(row.reason, translate)})" if row.reason else ""
    )
    return f"{clock(row.started)}–{clock(row.ended)}  {row.device:<11} {row.bulletin}  {result}"


def as_run_json(row: AsRun) -> Mapping[str, Any]:
    return {
        "id": row.id,
        "device": row.device,
        "bulletin": row.bulletin,
        "airing": row.airing,
        "repeat": row.repeat,
        "content": row.content,
        "started": rfc3339(row.started),
        "ended": rfc3339(row.ended),
        "offset_ms": row.offset,
        "result": row.result,
        "reason": row.reason,
        "level_dbfs": row.level,
    }
