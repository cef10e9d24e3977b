"""Everything known of one bulletin, as lines and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from nms.i18n import N_
from tui.desk_methods import Bulletin, DecisionRow, VersionRow
from tui.views.bulletins import bulletin_json as row_json
from tui.views.bulletins import bulletin_line
from tui.views.times import rfc3339, shown
from tui.views.words import BULLETIN_FIELDS, BULLETIN_STATES, RESULTS

Translate = Callable[[str], str]
MAX_STARTS = 20


def fields(names: Iterable[str], translate: Translate) -> str:
    return ", ".join(translate(BULLETIN_FIELDS.get(name, name)) for name in names)


def bulletin_lines(found: Bulletin, translate: Translate) -> Iterator[str]:
    yield bulletin_line(found.row, translate)
    for label, value in (
        (N_("text"), found.text),
        (N_("authority"), found.authority),
        (N_("supplying agency"), found.supplier),
        (N_("field"), found.field),
    ):
        if value:
            yield f"  {translate(label)}: {value}"
    until = translate(N_("valid {start} to {until}"))
    yield "  " + until.format(start=shown(found.valid_from), until=shown(found.row.valid_until))
    for version in found.versions:
        yield "  " + _version(version, translate)
        yield from ("    " + _decision(d, translate) for d in found.decisions if d.version == version.version)
    yield from _offers(found, translate)
    yield from _starts(found, translate)
    for order in found.orders:
        said = translate(N_("{at} {by} put it before {before} in {unit}"))
        yield "  " + said.format(at=shown(order.at), by=order.by, before=order.before, unit=order.unit)
    heard = ", ".join(f"{translate(RESULTS[k])} {n}" for k, n in found.counts.items() if n and k in RESULTS)
    if heard:
        yield f"  {heard}"


def _version(version: VersionRow, translate: Translate) -> str:
    said = translate(N_("version {version}, {at} by {author}: {state}")).format(
        version=version.version,
        at=shown(version.created),
        author=version.author,
        state=translate(BULLETIN_STATES.get(version.state, version.state)),
    )
    if version.on_behalf:
        said += " · " + translate(N_("entered on behalf by {unit}")).format(unit=version.on_behalf)
    if version.changed:
        said += " · " + translate(N_("changed: {changed}")).format(changed=fields(version.changed, translate))
    return f"{said}  {version.bulletin}"


def _decision(decision: DecisionRow, translate: Translate) -> str:
    state = translate(BULLETIN_STATES.get(decision.decision, decision.decision))
    said = f"{shown(decision.at)} {state}: {decision.person}"
    if decision.paper:
        paper = translate(N_("recorded from paper {number}, signed by {signer} at {at}"))
        said += " · " + paper.format(number=decision.paper, signer=decision.signer, at=shown(decision.signed_at))
    return said + (f" – {decision.reason}" if decision.reason else "")


def _offers(found: Bulletin, translate: Translate) -> Iterator[str]:
    if not found.offers:
        return
    picked = [o for o in found.offers if o.picked]
    said = translate(N_("offered to {communes} communes, picked by {picked}"))
    yield "  " + said.format(communes=len(found.offers), picked=len(picked))
    for one in picked[:MAX_STARTS]:
        yield f"    {shown(one.picked)} {one.unit}: {one.by}"


def _starts(found: Bulletin, translate: Translate) -> Iterator[str]:
    for start in found.starts[:MAX_STARTS]:
        cancelled = f" ({translate(BULLETIN_STATES['cancelled'])})" if start.cancelled else ""
        yield f"  {shown(start.start)} v{start.version} {start.unit}{cancelled}"
    if len(found.starts) > MAX_STARTS:
        yield "  " + translate(N_("and {count} more")).format(count=len(found.starts) - MAX_STARTS)


def bulletin_json(found: Bulletin) -> Mapping[str, Any]:
    return {
        "bulletin": row_json(found.row),
        "text": found.text,
        "authority": found.authority,
        "supplier": found.supplier,
        "field": found.field,
        "valid_from": rfc3339(found.valid_from),
        "versions": [
            {
                "bulletin": v.bulletin,
                "version": v.version,
                "state": v.state,
                "title": v.title,
                "author": v.author,
                "created": rfc3339(v.created),
                "changed": v.changed,
                "on_behalf": v.on_behalf,
            }
            for v in found.versions
        ],
        "decisions": [
            {
                "version": d.version,
                "person": d.person,
                "at": rfc3339(d.at),
                "decision": d.decision,
                "reason": d.reason,
                "paper": d.paper,
                "signer": d.signer,
                "signed_at": rfc3339(d.signed_at),
            }
            for d in found.decisions
        ],
        "starts": [
            {
                "version": s.version,
                "unit": s.unit,
                "repeat": s.repeat,
                "start": rfc3339(s.start),
                "cancelled": s.cancelled,
            }
            for s in found.starts
        ],
        "offers": [{"unit": o.unit, "picked": rfc3339(o.picked), "by": o.by} for o in found.offers],
        "orders": [
            {"at": rfc3339(o.at), "by": o.by, "unit": o.unit, "bulletin": o.bulletin, "before": o.before}
            for o in found.orders
        ],
        "counts": dict(found.counts),
    }
