"""The hub's values as the wire carries them, and the wire's as the hub takes them."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audio.bulletin import Draft
from audio.documents import BulletinClass
from audio.playout import BulletinView
from audio.speech import INVISIBLE
from inventory.diagnostics import Diagnostic
from inventory.model import Network, Tier, UnitId
from inventory.select import Selection, parse
from nms.i18n import nfc
from nms.moments import to_milliseconds
from nms.store import ReceiptRow
from tui import methods as m
from tui.hub import Caller, Refusal, refuse

MAX_AUDIO = 64 * 1024 * 1024
LONGEST_NAME = 60
"""Characters of a recording's name, at its end: a file system takes 255 bytes."""


def decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Refusal(
            m.Problem("CFG102", "the request does not fit: {detail}", "use the hub's own version", {"detail": "base64"})
        ) from None


def audio_file(audio: str, name: str, folder: Path) -> Path | None:
    """The uploaded recording (base64) as a file of the hub's own; its name is only a name."""
    if not audio:
        return None
    data = decoded(audio)
    if len(data) > MAX_AUDIO:
        raise Refusal(m.Problem("CFG108", "the recording is larger than 64 MiB", "hand in a compressed recording", {}))
    shown = "".join(c for c in Path(name).name if c.isprintable())[-LONGEST_NAME:]
    path = folder / (shown if shown.strip(".") else "recording")
    path.write_bytes(data)
    return path


def written(text: str) -> str:
    """What a person wrote, composed, so that Vietnamese compares and counts as it looks, without what nobody sees."""
    return nfc(text).translate(INVISIBLE)


def draft_of(network: Network, caller: Caller, push: m.Push, audio: Path | None) -> Draft:
    """What the caller wants aired. Refuses a caller who is nobody, and a class that there is not."""
    unit = network.units.get(UnitId(push.origin))
    tier = unit.tier if unit else Tier.COMMUNE
    return Draft(
        tier=tier,
        origin=UnitId(push.origin),
        author=caller.known().id,
        cls=bulletin_class(push.cls),
        title=written(push.title),
        audience=written(push.audience) or f"{tier}={push.origin}",
        text=written(push.text),
        audio=audio,
        valid_from=moment(push.valid_from),
        valid_until=moment(push.valid_until),
        play_now=push.play_now,
        repeats=push.repeats,
        volume=push.volume,
        authority=written(push.authority),
        trim=push.trim,
        supplier=written(push.supplier),
        field=written(push.field),
        every=push.every,
        by_session=push.by_session,
        on_behalf=push.on_behalf,
        live=push.live,
    )


def bulletin_class(name: str) -> BulletinClass:
    if name not in list(BulletinClass):
        fields = {"value": name, "known": ", ".join(BulletinClass)}
        raise Refusal(m.Problem("CFG107", "no class is called '{value}'", "one of: {known}", fields))
    return BulletinClass(name)


def done(outcome: Any) -> Any:
    """The result, or the refusal it is."""
    if isinstance(outcome, tuple) and outcome and isinstance(outcome[0], Diagnostic):
        raise refuse(outcome)
    return outcome


def moment(milliseconds: int) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None


def area_name(network: Network, audience: str, origin: UnitId) -> str:
    """The audience's own name: the one unit it names, else the origin's; without its type word."""
    selection = parse(audience, network)
    units = selection.units if isinstance(selection, Selection) else None
    unit = network.units.get(units[0] if units and len(units) == 1 else origin)
    return (unit.aliases[0] if unit.aliases else unit.name) if unit else ""


def bulletin_row(view: BulletinView) -> m.BulletinRow:
    return m.BulletinRow(
        id=view.id,
        title=view.title,
        cls=view.cls,
        tier=view.tier,
        origin=view.origin,
        author=view.author,
        state=str(view.state),
        audience=view.audience,
        created=view.created,
        valid_until=view.valid_until,
        duration=view.duration,
        heard=view.heard,
        expected=view.expected,
        follows=view.follows,
        version=view.version,
    )


def sweep_row(snapshot: Any) -> m.SweepRow | None:
    if snapshot is None:
        return None
    stats = snapshot.stats
    return m.SweepRow(
        to_milliseconds(snapshot.at), stats.seconds, stats.targets, stats.answered, stats.refused, stats.dropped
    )


def as_run_row(row: ReceiptRow) -> m.AsRun:
    started, ended = row.started or row.received, row.ended or row.received
    return m.AsRun(
        id=row.id,
        device=row.device,
        bulletin=row.bulletin,
        airing=row.airing,
        repeat=row.repeat,
        content=row.content or "",
        started=to_milliseconds(started),
        ended=to_milliseconds(ended),
        offset=row.offset_ms,
        result=row.result,
        reason=row.reason,
        level=row.lufs,
    )
