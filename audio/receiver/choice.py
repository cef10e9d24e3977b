"""The timetable's decision over what this device has: the sounds on its storage, its own siren, what comes in live."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from audio.documents import Bulletin, NowKind, Policy
from audio.receiver.live import LOOK, LiveLike, is_live
from audio.receiver.stage import NO_SIGNAL
from audio.receiver.voices import narrowed, said
from audio.timetable import Decision, Item, Order, Segment, what_plays

SCRAP = 500
"""So little of a relay (ms) is not begun: its sound ends up to a block before its window."""


def here(bulletin: Bulletin, has: Callable[[str], bool]) -> bool:
    """Whether its sound need not be waited for: it is held, or comes only when it is heard."""
    return is_live(bulletin) or has(bulletin.content)


def decided(
    items: Sequence[Item],
    orders: Sequence[Order],
    history: Sequence[Segment],
    at: int,
    policy: Policy,
    has: Callable[[str], bool],
) -> Decision:
    """The timetable's decision over what is here (``has``, by content).

    Of an order whose sounds are all missing the siren sounds. The area of an emergency is silent around that as around
    its message, and so it is where there is no siren either; a drill and a follow-up let the rest go on.
    """
    ready = tuple(item for item in items if item.airing.start > at or here(item.bulletin, has))
    decision = what_plays(ready, orders, history, at, policy)
    play, ordered = decision.play, frozenset(order.entry for order in orders)
    if play is None or all(has(v.content) for v in said(play.bulletin, policy, ordered=play.airing in ordered)):
        return decision
    other = what_plays(ready, narrowed(orders, has), history, at, policy)
    if decision.reason != NowKind.EMERGENCY or (other.play is not None and other.play.airing in ordered):
        return other
    return Decision(None, "emergency hold", min(decision.until, other.until))


def received(decision: Decision, at: int, playing: str, live: LiveLike) -> Decision:
    """The decision; while a relay's pages are missing, or at its very end, silence. ``playing``: what is on the air."""
    play = decision.play
    if play is None or play.airing == playing or not is_live(play.bulletin):
        return decision
    if play.ends - at >= SCRAP and live.ready(play.bulletin.content, at):
        return decision
    return Decision(None, NO_SIGNAL, min(decision.until, at + LOOK))
