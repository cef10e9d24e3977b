"""What provisioning speaks of: resources wanted and found, differences, plans, outcomes. Values only.

A device is a set of resources, each with a key. What the inventory wants of it is its ``Manifest``, what it said of
itself its ``Facts``; the difference is its part of a ``Plan``. Linux files and services and the options of a modem's
own configuration are all resources, so that one pure comparison serves every family.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from inventory.diagnostics import Diagnostic
from inventory.model import DeviceId


class Family(StrEnum):
    """Who brings a device to its manifest: Ansible for Linux, a driver for each configuration language. ``NONE``:
    nobody, Loa only watches it."""

    LINUX = "linux"
    UCI = "uci"
    ROUTEROS = "routeros"
    VTYSH = "vtysh"
    NONE = "none"


class Kind(StrEnum):
    """What a resource is. ``text`` is a file's content; a service's ``enabled running``; a package's version (empty:
    any); an artifact's SHA-256, fetched from the hub; the value of an option."""

    FILE = "file"
    SERVICE = "service"
    PACKAGE = "package"
    ARTIFACT = "artifact"
    OPTION = "option"


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing a device should have. ``name``: a path, a unit, a package, an option such as ``network.wwan.apn``.

    ``attributes``: ``owner:group mode`` of a file. A ``secret``'s text is in no plan, fact, log or diff; only its
    digest is. ``restarts``: services to restart when it changes. ``key`` and ``digest`` follow from the others; many
    devices share a resource, so they are made once.
    """

    kind: Kind
    name: str
    text: str = field(repr=False)
    attributes: str = ""
    secret: bool = False
    restarts: tuple[str, ...] = ()
    key: str = field(init=False, repr=False, compare=False)
    digest: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", f"{self.kind}:{self.name}")
        object.__setattr__(self, "digest", digest_of(self.text, self.attributes))


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that one device should have; resources by key, in the order in which they are made."""

    device: DeviceId
    family: Family
    resources: Mapping[str, Resource]

    @property
    def digest(self) -> str:
        return combined((key, one.digest) for key, one in self.resources.items())


@dataclass(frozen=True, slots=True)
class Observed:
    """A resource as it is on the device. ``text`` is None where it is secret, binary or too long to be kept."""

    digest: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What a device said about itself at ``at``.

    ``found``: the resources asked for that exist. ``applied``: what Loa left there at its last change, key to digest,
    so that a hand-made change (drift) is told from a change of the inventory. ``host``: model, serial, os, arch,
    receiver (version), wireguard (public key) and what else the family reports, all text.
    """

    device: DeviceId
    at: datetime
    found: Mapping[str, Observed] = field(default_factory=dict)
    applied: Mapping[str, str] = field(default_factory=dict)
    host: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Of the state only: the same facts read later have the same digest."""
        return combined(
            [(key, one.digest) for key, one in sorted(self.found.items())]
            + [("applied " + key, digest) for key, digest in sorted(self.applied.items())]
        )


class Action(StrEnum):
    """``DRIFT``: the device was changed by hand since Loa last left it, and is brought back."""

    CREATE = "create"
    CHANGE = "change"
    DRIFT = "drift"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Change:
    """One resource that will not stay as it is. ``diff``: unified lines, masked for a secret."""

    action: Action
    kind: Kind
    name: str
    diff: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """What would be done to one device. ``problem``: why nothing can be said or done about it now.

    ``wanted`` and ``known`` are the digests of manifest and facts that the changes follow from, ``known_at`` the facts'
    age. Without facts (``known`` empty) nothing is known of the device yet.
    """

    device: DeviceId
    family: Family
    wanted: str
    known: str = ""
    known_at: datetime | None = None
    changes: tuple[Change, ...] = ()
    unreachable_since: datetime | None = None
    problem: Diagnostic | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What an apply would do, and what it follows from. ``inputs``: digests of inventory and templates."""

    id: str
    made: datetime
    by: str
    selection: str
    inputs: Mapping[str, str]
    devices: tuple[DevicePlan, ...]


class Outcome(StrEnum):
    """What became of one device in a rollout.

    ``WAITING`` for its wave; ``RUNNING``; ``UNCHANGED``; ``APPLIED`` and in contact afterwards; ``FAILED``, told why,
    still in contact; ``LOST``: no contact after the change; ``RESTORED``: lost, and back on its old configuration by
    itself; ``DEFERRED``: could not be reached before the change, done when it returns; ``UNTOUCHED``: the rollout ended
    before it.
    """

    WAITING = "waiting"
    RUNNING = "running"
    UNCHANGED = "unchanged"
    APPLIED = "applied"
    FAILED = "failed"
    LOST = "lost"
    RESTORED = "restored"
    DEFERRED = "deferred"
    UNTOUCHED = "untouched"


@dataclass(frozen=True, slots=True)
class Result:
    """Of one device: ``detail`` says why, ``sent`` and ``received`` are the bytes it cost, as seen by the hub;
    ``facts`` what it said of itself afterwards, where it did."""

    device: DeviceId
    outcome: Outcome
    detail: Diagnostic | None = None
    sent: int = 0
    received: int = 0
    facts: Facts | None = None


def digest_of(text: str, attributes: str = "") -> str:
    """SHA-256 (hex) of a resource's content and attributes, as devices compute it too."""
    return hashlib.sha256(f"{attributes}\n{text}".encode()).hexdigest()


def combined(pairs: Iterable[tuple[str, str]]) -> str:
    """One SHA-256 (hex) of named digests in their order."""
    return hashlib.sha256(json.dumps(list(pairs)).encode()).hexdigest()
