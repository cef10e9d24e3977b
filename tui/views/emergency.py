"""An emergency or drill before it is sent: whom it reaches, whom not, what has to be typed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nms.i18n import N_, number
from tui.emergency_methods import CallPreview, LostRow, ScriptRow
from tui.methods import AloneRow, Report, ReportRow
from tui.views.alarms import unheard_lines
from tui.views.times import clock, rfc3339
from tui.views.words import REASONS, RESULTS, STATES

Translate = Callable[[str], str]
MOST = 20
"""Rows of a list; the rest is a number."""
LANGUAGES: Mapping[str, str] = {"vi": N_("Vietnamese"), "jra": "Jrai", "bdq": "Bahnar"}
BLANKS: Mapping[str, str] = {"place": N_("place"), "hour": N_("hour"), "order": N_("by whose order")}
"""Common blanks of scripts; others are shown by their own name."""


def blank(name: str, translate: Translate) -> str:
    return translate(BLANKS[name]) if name in BLANKS else name


def language(tag: str, translate: Translate) -> str:
    return translate(LANGUAGES[tag]) if tag in LANGUAGES else tag


def script_line(row: ScriptRow, translate: Translate) -> str:
    kind = translate(N_("drill") if row.cls == "drill" else N_("EMERGENCY"))
    return f"{row.id}  {kind}: {row.title}"


def preview_lines(preview: CallPreview, translate: Translate) -> Iterator[str]:
    """What is about to be heard, where, and by whom not."""
    fields = {"devices": number(preview.devices), "boards": number(preview.boards), "area": preview.area}
    real = N_("REAL EMERGENCY to {devices} clusters, {boards} boards of {area}.")
    drill = N_("DRILL – people will hear that it is one. {devices} clusters, {area}.")
    yield translate(drill if preview.cls == "drill" else real).format(**fields)
    yield f"“{preview.text}”"
    if set(preview.languages) != {"vi"}:
        yield "; ".join(
            translate(N_("{count} clusters in {languages}")).format(
                count=number(count), languages=", ".join(language(tag, translate) for tag in tags.split(", "))
            )
            for tags, count in preview.languages.items()
        )
    if preview.lost:
        yield translate(N_("{count} clusters are lost now:")).format(count=number(len(preview.lost)))
        yield from (f"  {lost_line(row, translate)}" for row in preview.lost[:MOST])
        if len(preview.lost) > MOST:
            yield "  " + translate(N_("and {count} more")).format(count=number(len(preview.lost) - MOST))
    yield from unheard_lines(preview.silenced, translate)
    if not preview.alone:
        yield translate(N_("It waits for a second person; without one it goes out after a minute, with a reason."))


def lost_line(row: LostRow, translate: Translate) -> str:
    state = translate(STATES.get(row.state, row.state))
    call = translate(N_("call {contact}")).format(contact=row.contact) if row.contact else ""
    return " – ".join(part for part in (row.hamlet or row.device, f"{state} {clock(row.since)}", call) if part)


def typed_line(preview: CallPreview, translate: Translate) -> str:
    return translate(N_("Type to send: {word}")).format(word=preview.word)


def unheard_list(report: Report, translate: Translate) -> Iterator[str]:
    """``Chưa nghe được: 1/8`` and where, why, whom to call."""
    missing = [row for row in report.devices if row.result != "heard"]
    counted = {"count": number(len(missing)), "all": number(len(report.devices))}
    yield translate(N_("Not heard yet: {count}/{all} clusters")).format(**counted)
    for row in missing[:MOST]:
        yield "  " + _missing(row, translate)
    if len(missing) > MOST:
        yield "  " + translate(N_("and {count} more")).format(count=number(len(missing) - MOST))


def _missing(row: ReportRow, translate: Translate) -> str:
    why = translate(REASONS.get(row.reason, row.reason)) if row.reason else translate(RESULTS[row.result])
    call = translate(N_("call {contact}")).format(contact=row.contact) if row.contact else ""
    return " – ".join(part for part in (row.hamlet or row.device, why, call) if part)


def alone_line(row: AloneRow, translate: Translate) -> str:
    message = N_("without a second person: {title} – {person}: {reason}")
    return f"{clock(row.at)} " + translate(message).format(title=row.title, person=row.person, reason=row.reason)


def preview_json(preview: CallPreview) -> dict[str, Any]:
    return {
        "area": preview.area,
        "word": preview.word,
        "class": preview.cls,
        "text": preview.text,
        "devices": preview.devices,
        "boards": preview.boards,
        "languages": dict(preview.languages),
        "alone": preview.alone,
        "lost": [
            {
                "device": row.device,
                "hamlet": row.hamlet,
                "state": row.state,
                "since": rfc3339(row.since),
                "contact": row.contact,
            }
            for row in preview.lost
        ],
        "problems": [p.code for p in preview.problems],
        "warnings": [p.code for p in preview.warnings],
    }
