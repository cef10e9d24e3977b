"""Who may do what with a bulletin that has been handed in: decide on it, stop it, end it, speak in it.

Pure. The rules are domain.md's "Who may say what to whom".
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Protocol

from audio.bulletin import State, covers, may, outside, unit_name
from audio.documents import Audience
from audio.refusals import refuse
from inventory.diagnostics import Diagnostic
from inventory.model import Network, Person, Role


class Stored(Protocol):
    """A bulletin as the store keeps it."""

    @property
    def state(self) -> str: ...
    @property
    def author(self) -> str: ...
    @property
    def origin(self) -> str: ...
    @property
    def on_behalf(self) -> str: ...


def may_approve(network: Network, person: Person, row: Stored, authors: Collection[str]) -> tuple[Diagnostic, ...]:
    """Why this person cannot decide on this bulletin now: two persons, the leader's area, the state.

    ``authors``: the ids of who wrote any of its versions, because each may still hold words of the ones before.
    """
    refused = _decided_by_others(network, person, row, authors)
    leads = may(network, person, (Role.APPROVER,), row.origin) and (not row.on_behalf or person.area == row.origin)
    if refused or leads:
        return refused
    return (refuse("BUL022", person=person.name, unit=unit_name(network, row.origin)),)


def may_record(network: Network, person: Person, row: Stored, authors: Collection[str]) -> tuple[Diagnostic, ...]:
    """Why this person cannot record that a leader approved on paper: a second account of the area, no author's.

    ``authors`` as of ``may_approve``.
    """
    refused = _decided_by_others(network, person, row, authors)
    if refused or may(network, person, (Role.EDITOR, Role.OPERATOR, Role.APPROVER), row.origin):
        return refused
    return (refuse("BUL087", person=person.name, unit=unit_name(network, row.origin)),)


def may_stop(
    network: Network, on: date, person: Person, target: Audience, origin: str | None, reason: str
) -> tuple[Diagnostic, ...]:
    """Why this person cannot stop in ``target``; stopping a higher tier's bulletin (``origin``) asks for a reason."""
    if not any(r in person.roles for r in (Role.OPERATOR, Role.APPROVER)):
        return (refuse("BUL031", person=person.name, target=unit_name(network, person.area)),)
    beyond = outside(network, on, person.area, target)
    if beyond is not None:
        return (refuse("BUL031", person=person.name, target=beyond),)
    if origin is not None and not covers(network, person.area, origin) and not reason.strip():
        return (refuse("BUL032", origin=unit_name(network, origin)),)
    return ()


def may_end(network: Network, person: Person, row: Stored) -> tuple[Diagnostic, ...]:
    """Why this person cannot give the all-clear or withdraw: the origin unit's operators, approvers and the author."""
    if person.id == row.author or may(network, person, (Role.OPERATOR, Role.APPROVER), row.origin):
        return ()
    return (refuse("BUL031", person=person.name, target=unit_name(network, row.origin)),)


def may_speak(network: Network, person: Person, row: Stored) -> tuple[Diagnostic, ...]:
    """Why this person cannot speak in a live bulletin: its author, or an editor, operator or approver of its unit."""
    if person.id == row.author or may(network, person, (Role.EDITOR, Role.OPERATOR, Role.APPROVER), row.origin):
        return ()
    return (refuse("BUL093", person=person.name, unit=unit_name(network, row.origin)),)


def _decided_by_others(
    network: Network, person: Person, row: Stored, authors: Collection[str]
) -> tuple[Diagnostic, ...]:
    """Why nobody decides on it now, or not this person: they would be their own words."""
    unit = unit_name(network, row.origin)
    if row.state != State.SUBMITTED:
        return (refuse("BUL023", state=row.state),)
    if person.id == row.author:
        return (refuse("BUL021", unit=unit),)
    return (refuse("BUL099", person=person.name, unit=unit),) if person.id in authors else ()
