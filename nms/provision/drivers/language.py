"""What a configuration language must tell: how it is read, changed, put on probation and shown without its secrets.

A configuration is a mapping of options to texts. A driver is pure: it makes commands and reads what a device answered;
``session`` does the talking. An option that is wanted as ``None`` is to be absent; an empty text means the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from nms.provision.values import Kind, Manifest, digest_of

MASK: Final = "***"
"""Stands where a secret stood, in backups and in what devices answered."""

_HOST: Final = re.compile(r"^loa-host (\w+)=(.*)\n?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Words:
    """The fixed sentences of a language.

    ``device_type`` is netmiko's; a device that ``takes_scripts`` tells their exit code, others take one command after
    the other and complain in words that match ``refusal``; ``prompt`` ends an answer. ``export`` prints the
    configuration with its secrets, and lines ``loa-host key=value`` about the device, among them ``probation`` while a
    change waits (``early``: it does not work yet). ``confirm`` ends the probation and fails if there is none; ``back``
    ends it by going back at once (where there is none it only leaves what was begun). ``memory`` is the option in which
    the device remembers what Loa left there, if it has room for that. Options that match ``lasting`` cannot be absent:
    what is no longer wanted of them stays.
    """

    device_type: str
    export: tuple[str, ...]
    confirm: tuple[str, ...]
    back: tuple[str, ...] = ()
    refusal: str = ""
    prompt: str = ""
    takes_scripts: bool = False
    memory: str = ""
    lasting: str = ""


class Unchangeable(ValueError):
    """The option that the language has no command for."""


class Driver(Protocol):
    """One configuration language."""

    @property
    def words(self) -> Words: ...

    def parse(self, text: str) -> dict[str, str]:
        """The options in what ``words.export`` printed."""

    def change(
        self, current: Mapping[str, str], wanted: Mapping[str, str | None], restarts: Sequence[str]
    ) -> tuple[str, ...]:
        """The commands that bring ``current`` to ``wanted`` (other options stay) and make it work; raises
        Unchangeable."""

    def arm(self, within: float) -> tuple[str, ...]:
        """Given before any change: the device goes back by itself after ``within`` seconds, and after losing power.
        Empty where the language has no means for it."""

    def kept(self, text: str) -> str:
        """An export as it may be kept: without passwords, keys and other secrets, the time, the probation."""


def host(text: str) -> dict[str, str]:
    """What an export says about the device itself."""
    return {key: value.strip() for key, value in _HOST.findall(text) if value.strip()}


def plain(text: str) -> str:
    """An export without what it says about the device itself."""
    return _HOST.sub("", text)


def possible(words: Words, wanted: Mapping[str, str | None]) -> dict[str, str | None]:
    """Without the wish that something be absent that cannot be."""
    lasts = re.compile(words.lasting or r"(?!)").match
    return {name: text for name, text in wanted.items() if text or not lasts(name)}


def missing(current: Mapping[str, str], wanted: Mapping[str, str | None]) -> dict[str, str | None]:
    """The part of ``wanted`` that ``current`` does not have."""
    return {name: text for name, text in wanted.items() if current.get(name, "") != (text or "")}


def wishes(
    manifest: Manifest, current: Mapping[str, str], memory: str
) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """What a manifest makes of a configuration, and the services that what changes must restart.

    What Loa left at an earlier change and the manifest no longer holds is to be absent.
    """
    options = {one.name: one for one in manifest.resources.values() if one.kind is Kind.OPTION}
    gone = [name for name in recalled(current.get(memory, "")) if name not in options]
    wanted: dict[str, str | None] = {name: one.text for name, one in options.items()}
    wanted |= dict.fromkeys(gone)
    changing = missing(current, wanted)
    restarts = dict.fromkeys(s for name in changing if name in options for s in options[name].restarts)
    if memory:
        wanted[memory] = remembered({name: one.text for name, one in options.items()})
    return wanted, tuple(restarts)


def remembered(options: Mapping[str, str]) -> str:
    """The text in which a device remembers what Loa left: one line ``- digest option`` each, in their order."""
    return "\n".join(f"- {digest_of(text)} {name}" for name, text in options.items())


def recalled(text: str) -> dict[str, str]:
    """Option to digest, from what a device remembers; what is no such line is nothing."""
    pairs = (line.removeprefix("- ").split(" ", 1) for line in text.splitlines())
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2}


def from_backup(backup: Mapping[str, str], current: Mapping[str, str]) -> dict[str, str | None]:
    """What a backup makes of a configuration: its options, nothing else; secrets stay as they are."""
    kept = {name for name, text in backup.items() if MASK in text}
    wanted: dict[str, str | None] = {name: text for name, text in backup.items() if name not in kept}
    return wanted | dict.fromkeys(name for name in current if name not in backup)
