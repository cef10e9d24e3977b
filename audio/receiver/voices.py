"""Which sounds a device needs: an order is said in its hamlet's languages, a scheduled item in the item's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from audio.documents import Bulletin, ContentKind, Policy, Voice
from audio.timetable import Item, Order


def said(bulletin: Bulletin, policy: Policy, *, ordered: bool) -> tuple[Voice, ...]:
    """What this device says of the bulletin, one after the other: nothing of a siren alone; a relay's is not held."""
    if bulletin.kind is ContentKind.RELAY or not bulletin.content:
        return ()
    return bulletin.said(policy.languages) if ordered else bulletin.voices[:1]


def narrowed(orders: Iterable[Order], has: Callable[[str], bool]) -> tuple[Order, ...]:
    """The orders in those of their languages whose sound is here: an alarm does not wait for the rest of them.

    Of one whose sounds are all missing the siren is left; without one it is left out.
    """
    found = []
    for order in orders:
        if order.bulletin is None:
            found.append(order)
        elif voices := [voice for voice in order.bulletin.voices if has(voice.content)]:
            main, *also = voices
            bulletin = replace(order.bulletin, language=main.language, content=main.content, duration=main.duration)
            found.append(replace(order, bulletin=replace(bulletin, also=tuple(also))))
        elif (siren := order.siren_alone) is not None:
            found.append(siren)
    return tuple(found)


def wanted(items: Iterable[Item], orders: Iterable[Order], policy: Policy) -> frozenset[str]:
    """Every content that this device may have to play."""
    meant = [(i.bulletin, False) for i in items] + [(o.bulletin, True) for o in orders if o.bulletin is not None]
    return frozenset(
        voice.content
        for bulletin, ordered in meant
        if bulletin.audience.addresses(policy.device, policy.units, policy.groups)
        for voice in said(bulletin, policy, ordered=ordered)
    )


def waits(items: Iterable[Item], orders: Iterable[Order], policy: Policy, now: int) -> dict[str, int]:
    """The contents that are still to come on the air here, and in how many ms."""
    in_force = [o.bulletin for o in orders if o.bulletin is not None and o.until > now]
    found = {voice.content: 0 for bulletin in in_force for voice in said(bulletin, policy, ordered=True)}
    for item in items:
        if item.airing.latest > now and not item.relay:
            wait = item.airing.start - now
            found[item.bulletin.content] = min(wait, found.get(item.bulletin.content, wait))
    mine = wanted(items, orders, policy)
    return {content: wait for content, wait in found.items() if content in mine}
