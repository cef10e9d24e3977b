"""Signing a bulletin in the approver's own process: the issuer's key never leaves his account."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

from inventory.diagnostics import Diagnostic
from inventory.model import UnitId
from tui.gateway import Gateway
from tui.methods import APPROVE, BODY, Approve, BulletinId

Signer = Callable[[str], str | Diagnostic]
"""From a bulletin's exact bytes (base64) to its frame (base64)."""


async def hand_in(gateway: Gateway, signer: Signer, bulletin: str) -> Diagnostic | None:
    """Sign a bulletin that waits and approve it; why it cannot be signed here. Raises HubError."""
    signed = signer((await gateway.ask(BODY, BulletinId(bulletin))).body)
    if isinstance(signed, Diagnostic):
        return signed
    await gateway.ask(APPROVE, Approve(bulletin, signed))
    return None


def sign(keys: Path, body: str, now: int) -> str | Diagnostic:
    """The frame (base64) of a bulletin's exact bytes (base64), signed with its origin's key at ``now`` (Unix ms)."""
    from audio import trust
    from audio.documents import Bulletin, decode
    from audio.envelope import key_id

    data = base64.b64decode(body)
    bulletin = decode(Bulletin, data)
    key = trust.load_issuer(keys, UnitId(bulletin.origin))
    if isinstance(key, Diagnostic):
        return key
    kid, origin = key_id(key.public_key().public_bytes_raw()), bulletin.origin
    span = bulletin.valid_from, bulletin.valid_until
    frame = trust.sign_bulletin(data, bulletin.id, key, kid, origin, bulletin.version, now, *span)
    return base64.b64encode(frame).decode()
