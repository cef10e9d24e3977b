"""What only one process may do on a database. Pure values; the database keeps them as advisory locks.

A claim is held by the session that writes, so that nothing is written by a process that has lost its claim.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from inventory.diagnostics import Diagnostic, Place
from nms.i18n import N_
from nms.store.failure import StoreError

_ROLES: Final = 0x4C6F_0000
_SHARDS: Final = 0x4C70_0000
_NUMBERS: Final = {"playout": 1, "socket": 2, "exporter": 3}
"""The numbers of roles are in use in running databases: never change one."""
MOST_SHARDS: Final = 1024

GATE: Final = (_ROLES, 0x7F00_0001)
"""Held while a process looks at who holds what and takes its claims."""
CHAIN: Final = (_ROLES, 0x7F00_0002)
"""Held while an audit row is added, until its transaction ends."""
MIGRATION: Final = (_ROLES, 0x7F00_0003)
"""Held while the tables are brought to this program's revision."""

OWNED, SHARED_OUT = "STO008", "STO009"
LOST_CLAIM: Final = frozenset({OWNED, SHARED_OUT})
"""The codes after which a process must end: another one does its work."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that one process does: the two keys of its advisory lock, and its name for people."""

    space: int
    number: int
    name: str


@dataclass(frozen=True, slots=True)
class Holder:
    """A session that holds the lock ``space``, ``number``; ``name`` is what it calls itself."""

    space: int
    number: int
    session: int
    name: str


def role(name: str) -> Claim:
    """The claim to a role that one process has for the whole database. Raises KeyError for another name."""
    return Claim(_ROLES, _NUMBERS[name], name)


def shard(index: int, count: int) -> Claim:
    """The claim to poll part ``index`` of ``count`` (from 1); all of the fleet is part 1 of 1."""
    return Claim(_SHARDS + count, index, f"shard {index}/{count}")


def refusal(claims: Iterable[Claim], holders: Iterable[Holder], where: str) -> StoreError | None:
    """Why these claims cannot be had while others hold theirs; None if they can."""
    wanted = {(claim.space, claim.number): claim for claim in claims}
    counts = {claim.space: claim for claim in wanted.values() if _count(claim.space)}
    for holder in sorted(holders, key=lambda h: (h.space, h.number)):
        claim = wanted.get((holder.space, holder.number))
        if claim is not None:
            return _owned(where, claim, holder)
        if counts and _count(holder.space) and holder.space not in counts:
            return _shared_out(where, next(iter(counts)), holder)
    return None


def _count(space: int) -> int:
    """The number of shards a lock belongs to; 0 if it is no shard's."""
    return space - _SHARDS if _SHARDS < space <= _SHARDS + MOST_SHARDS else 0


def _owned(where: str, claim: Claim, holder: Holder) -> StoreError:
    message = N_("'{claim}' already runs on this database ({owner})")
    fix = N_("stop that one first, or give this process other work: --only, --shard")
    return StoreError(Diagnostic(OWNED, Place(where), message, fix, {"claim": claim.name, "owner": holder.name}))


def _shared_out(where: str, space: int, holder: Holder) -> StoreError:
    message = N_("the fleet is shared out in {held} parts ({owner} has one), not in {wanted}")
    fix = N_("stop every process of the old number, then start the new ones")
    fields = {"held": str(_count(holder.space)), "wanted": str(_count(space)), "owner": holder.name}
    return StoreError(Diagnostic(SHARED_OUT, Place(where), message, fix, fields))
