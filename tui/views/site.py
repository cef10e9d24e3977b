"""Records made on the spot, as text, as a page to print, and as JSON; labels with a QR code."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import segno

from nms.i18n import N_
from tui.site_methods import SiteRecord
from tui.views.times import rfc3339, shown

Translate = Callable[[str], str]

TITLES: Mapping[str, str] = {
    "acceptance": N_("Acceptance record"),
    "survey": N_("Survey of a station"),
    "enrolment": N_("Enrolment record"),
    "replacement": N_("Replacement record"),
}
LABELS: Mapping[str, str] = {
    "serial": N_("Serial number"),
    "previous": N_("Previous serial number"),
    "place": N_("Place"),
    "latitude": N_("Latitude"),
    "longitude": N_("Longitude"),
    "day": N_("Ceiling by day (%)"),
    "early": N_("Ceiling early in the morning (%)"),
    "emergency": N_("Ceiling in an emergency (%)"),
    "signal": N_("Signal, RSRP (dBm)"),
    "level": N_("Sound level where people stand (dB(A))"),
    "tone": N_("Test tone"),
    "photo": N_("Picture"),
    "note": N_("Remarks"),
    "technology": N_("Technology"),
    "condition": N_("Condition"),
    "horns": N_("Horns"),
    "working": N_("Of these working"),
    "model": N_("Model"),
    "fingerprint": N_("Fingerprint of its key"),
}
VALUES: Mapping[str, str] = {
    "none": N_("not played"),
    "silent": N_("chain checked without sound"),
    "heard": N_("heard by a person there"),
    "wired": N_("wired"),
    "fm": N_("FM"),
    "ip": N_("IP"),
    "good": N_("good"),
    "degraded": N_("worn"),
    "broken": N_("broken"),
}
_STYLE = """\
@page { size: A4; margin: 20mm } body { font: 12pt serif } h1 { font-size: 16pt; text-align: center }
table { border-collapse: collapse; width: 100% } td { border: 1px solid #000; padding: 4pt 6pt }
td:first-child { width: 45% } .sign { margin-top: 18mm; display: flex; justify-content: space-between }"""


def record_lines(record: SiteRecord, translate: Translate) -> Iterator[str]:
    """The title, whose, then a line for each field, then what is missing."""
    yield f"{translate(TITLES[record.kind])}  {_whose(record)}"
    yield f"  {shown(record.at)}  {record.by}"
    for label, value in _fields(record, translate):
        yield f"  {label}: {value}"
    if record.missing:
        yield f"  {translate(N_('Still missing'))}: {_missing(record, translate)}"


def record_document(record: SiteRecord) -> Mapping[str, Any]:
    """The JSON form."""
    return {
        "id": record.id,
        "subject": record.subject,
        "kind": record.kind,
        "at": rfc3339(record.at),
        "by": record.by,
        "fields": dict(record.fields),
        "missing": list(record.missing),
    }


def record_page(record: SiteRecord, translate: Translate) -> str:
    """One page of HTML to print and sign; nothing in it is loaded from elsewhere."""
    title = html.escape(translate(TITLES[record.kind]))
    rows = "\n".join(
        f"<tr><td>{html.escape(label)}</td><td>{html.escape(value)}</td></tr>"
        for label, value in _fields(record, translate)
    )
    missing = f"{translate(N_('Still missing'))}: {_missing(record, translate)}" if record.missing else ""
    signers = "".join(
        f"<span>{html.escape(translate(who))}</span>" for who in (N_("Technician"), N_("For the commune"))
    )
    return f"""<!DOCTYPE html>
<html lang="vi"><head><meta charset="utf-8"><title>{title} {html.escape(record.subject)}</title>
<style>{_STYLE}</style></head>
<body><h1>{title}</h1>
<p>{html.escape(_whose(record))}<br>{html.escape(shown(record.at))}, {html.escape(record.by)}</p>
<table>{rows}</table>
<p>{html.escape(missing)}</p>
<div class="sign">{signers}</div></body></html>
"""


def label_text(device: str, serial: str, key: str) -> str:
    """What a device's QR code says: id, serial number and the fingerprint of its key, as a telephone shows it."""
    return " ".join(part for part in ("LOA", device, serial, key) if part)


def label_terminal(text: str) -> str:
    """The QR code as characters."""
    out = io.StringIO()
    segno.make(text, error="m").terminal(out=out, compact=True, border=2)
    return out.getvalue()


def label_svg(text: str, device: str, name: str) -> str:
    """A label to print, 50 by 30 mm: QR code, id and name."""
    code = io.BytesIO()
    segno.make(text, error="m").save(code, kind="svg", xmldecl=False, svgns=False, omitsize=True, border=1)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="50mm" height="30mm" viewBox="0 0 50 30">
<svg x="1" y="1" width="28" height="28">{code.getvalue().decode()}</svg>
<text x="30" y="10" font-family="sans-serif" font-size="3.4" font-weight="bold">{html.escape(device)}</text>
<text x="30" y="16" font-family="sans-serif" font-size="2.2">{html.escape(name[:28])}</text>
</svg>
"""


def _whose(record: SiteRecord) -> str:
    return ", ".join(part for part in (record.subject, record.name, record.place) if part)


def _fields(record: SiteRecord, translate: Translate) -> Iterator[tuple[str, str]]:
    for name, value in record.fields.items():
        if value:
            yield translate(LABELS.get(name, name)), translate(VALUES[value]) if value in VALUES else value


def _missing(record: SiteRecord, translate: Translate) -> str:
    return ", ".join(translate(LABELS[name]).lower() for name in record.missing)
