"""Whether what an approver signed is what was submitted, with a key that may say it to this audience. Pure."""

from __future__ import annotations

from datetime import date

from audio import trust
from audio.bulletin import addressed, unit_name
from audio.documents import Bulletin, decode
from audio.envelope import Key, Refused, open_frame, parse
from audio.refusals import refuse
from inventory.diagnostics import Diagnostic
from inventory.model import Network


def check_signature(network: Network, on: date, body: bytes, signed: bytes, now: int) -> tuple[Diagnostic, ...]:
    """Why this frame is not the submitted ``body``, signed by its issuer; empty if it is. ``now`` in ms."""
    if network.trust is None:
        return (refuse("BUL027"),)
    bulletin = decode(Bulletin, body)
    origin = unit_name(network, bulletin.origin)
    keys = trust.keyring(network.trust)
    claimed = parse(signed)
    # a bulletin may be approved before its validity begins, never after its end
    begins = bulletin.valid_from if isinstance(claimed, Refused) else claimed.header.nbf
    opened = open_frame(signed, f"bulletin/{bulletin.id}", keys, ("issuer",), max(now, begins))
    if isinstance(opened, Refused):
        return (refuse("BUL024", reason=opened.reason, detail=opened.detail, unit=origin),)
    if opened.body != body:
        return (refuse("BUL025"),)
    key = keys[opened.header.kid]
    if not _allowed(network, on, bulletin, key):
        return (refuse("BUL026", key=key.kid, cls=bulletin.cls, unit=origin),)
    return ()


def _allowed(network: Network, on: date, bulletin: Bulletin, key: Key) -> bool:
    """The key is the origin unit's own, for this class, and every addressed device stands in its area."""
    if key.iss != bulletin.origin or bulletin.cls not in key.classes:
        return False
    areas = set(key.areas)
    return all(areas & set(network.device_chain(d, on)) for d in addressed(network, on, bulletin.audience))
