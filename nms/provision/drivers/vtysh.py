"""vtysh: FRRouting's command line, in the manner of Cisco's (docs.frrouting.org, "VTY shell" and "Basic Commands").

An option is a line without its last word, inside the lines it stands under: ``interface lan / description``,
``ip route 10.0.0.0/8``; the last word is its text (everything after a free text's command, ``yes`` for a command of
one word). A command that stands several times, such as addresses of an interface, is one option of several lines.

FRR can neither go back by itself (Cisco has ``reload in`` and ``configure terminal revert timer``) nor, as built by
Debian, start a job on its host. What is real: a change is made to the running configuration only, and saved when it is
confirmed; until then a restart of the host ends it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from nms.provision.drivers.language import MASK, Words, missing

_FREE: Final = ("description",)
_YES: Final = "yes"
_IGNORED: Final = re.compile(r"!|Building configuration|Current configuration|frr (?:version|defaults)|end$|exit")
_SECRET: Final = re.compile(
    r"^(.*\b(?:password|secret|key-string|authentication-key|message-digest-key \d+ md5)(?: \d| md5| clear)?) \S+",
    re.MULTILINE,
)
_WITHIN: Final = " / "


class Vtysh:
    """The driver."""

    words = Words(
        device_type="cisco_ios",
        export=("show running-config",),
        confirm=("write memory",),
        back=("end",),
        refusal=r"(?m)^%.*",
        prompt=r"(?m)^[^\s#]+(?:\([^)\r\n]*\))?# ?$",
    )

    def parse(self, text: str) -> dict[str, str]:
        found: dict[str, str] = {}
        lines = [line for line in text.splitlines() if line.strip() and not _IGNORED.match(line.strip())]
        above: list[str] = []
        for line, following in zip(lines, [*lines[1:], ""], strict=True):
            above = above[: _depth(line)]
            if _depth(following) > _depth(line):
                above.append(line.strip())
                continue
            key, value = _split(line.strip())
            name = _WITHIN.join((*above, key))
            found[name] = f"{found[name]}\n{value}" if name in found else value
        return found

    def change(
        self, current: Mapping[str, str], wanted: Mapping[str, str | None], restarts: Sequence[str]
    ) -> tuple[str, ...]:
        del restarts  # every line works at once
        made: list[str] = []
        for name, text in missing(current, wanted).items():
            *above, key = name.split(_WITHIN)
            before, after = current.get(name, "").split("\n"), (text or "").split("\n")
            made += ["configure terminal", *above, *_lines(key, before, after), "end"]
        return tuple(made)

    def arm(self, within: float) -> tuple[str, ...]:
        del within  # see above: there is nothing to arm
        return ()

    def kept(self, text: str) -> str:
        return _SECRET.sub(rf"\g<1> {MASK}", text)


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _split(line: str) -> tuple[str, str]:
    free = next((word for word in _FREE if line.startswith(f"{word} ")), None)
    if free is not None:
        return free, line[len(free) + 1 :]
    key, _, value = line.rpartition(" ")
    return (key, value) if key else (line, _YES)


def _lines(key: str, before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    """Old lines are taken back before new ones stand; a free text replaces its predecessor."""
    if key not in _FREE or after == [""]:
        yield from (_negated(_line(key, value)) for value in before if value and value not in after)
    yield from (_line(key, value) for value in after if value and value not in before)


def _line(key: str, value: str) -> str:
    return key if value == _YES and " " not in key else f"{key} {value}"


def _negated(line: str) -> str:
    return line.removeprefix("no ") if line.startswith("no ") else f"no {line}"
