"""Whether 'play now' may be said now: in the quiet hours (khung giờ không phát) only an emergency plays. Pure."""

from __future__ import annotations

from datetime import date, datetime

from audio import schedule
from audio.bulletin import Draft, addressed, audience_of, unit_name
from audio.documents import Audience, BulletinClass
from audio.refusals import refuse
from inventory.diagnostics import Diagnostic
from inventory.model import Network
from nms.i18n import local
from nms.moments import from_milliseconds, to_milliseconds


def play_now(network: Network, on: date, draft: Draft, now: datetime) -> tuple[Diagnostic, ...]:
    """The rule that forbids to play the draft at once, with the first commune in which it holds and until when."""
    if not draft.play_now or draft.cls is BulletinClass.EMERGENCY:
        return ()
    audience = audience_of(network, on, draft.audience)
    if not isinstance(audience, Audience):
        return ()
    at = to_milliseconds(now)
    units = {network.unit_of(device, on) for device in addressed(network, on, audience)}
    for unit in sorted(u for u in units if u is not None):
        holding = [span.until for span in schedule.quiet(network, unit, at, at + 1) if span.start <= at]
        if holding:
            until = local(from_milliseconds(max(holding)))
            return (refuse("BUL014", unit=unit_name(network, unit), until=until),)
    return ()
