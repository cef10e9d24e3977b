"""RouterOS 7 over SSH (MikroTik).

An option is ``/path property`` (``/system identity name``) or ``/path[selector] property``, the selector being what
``find`` takes: ``/interface wireguard[name=loa] mtu``, ``/interface lte apn[default=yes] apn``, or the bare name of a
built-in item: ``/ip service[telnet] disabled``. Items are known by their name, else by their comment; one with neither
is numbered (``[#0]``) and can be read, not changed. An item is made with the first option that is wanted of it and
removed with the last. An export leaves out what has its default value, so a role leaves it out too. The format is
help.mikrotik.com's "Configuration Management" (``export terse``, ``show-sensitive``) and "Scripting" (strings).

Safe Mode is no probation: it lives in the session that took it, and that session dies with the link that a change
cuts. Instead the device saves a binary backup and schedules that it is loaded, which restarts the device: after a time,
and at the next start ("Scheduler": an item that starts at ``startup`` runs there only with interval 0, hence two). The
backup was made before, so loading it removes both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil
from typing import Final

from nms.provision.drivers.language import MASK, Unchangeable, Words, missing

_TOKEN: Final = re.compile(r'\[[^\]]{0,500}\]|(?:[^\s"=\[]+=)?"(?:\\.|[^"\\])*"|\S+', re.DOTALL)
_FIND: Final = re.compile(r"\[\s*find\s+(.*?)\s*\]")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:,@*+-]+")
_ESCAPE: Final = re.compile(rb"\\(?:([0-9A-F]{2})|(.))", re.DOTALL)
_NAMED: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"_": b" ", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}
_SECRET: Final = re.compile(
    r"(?<=[ ])((?!public-key)[\w.-]*(?:pass(?:word|phrase|code)|secret|private-key|(?:pre)?-?shared-key|psk|pin)=)"
    r'(?:"(?:\\.|[^"\\])*"|\\"(?:(?!\\").)*\\"|[^\s"\\]+)',
    re.DOTALL,
)
_PASSING: Final = re.compile(
    r"^(?:/system scheduler add .*name=loa-guard.*\n|# (?=.* by RouterOS)\S+ \S+ )", re.MULTILINE
)
_LINK: Final = ("/interface", "/ip address", "/ip firewall", "/ip route", "/ip service")
_LONG: Final = 300
_CHUNK: Final = 100
"""Characters; each may take nine on the line (three bytes, escaped)."""

_IDENTITY: Final = ("name", "comment")
_ARMED: Final = "[:len [/system scheduler find name=loa-guard]]"
_EXPORT: Final = (
    ':put ("loa-host model=" . [/system resource get board-name])',
    ':put ("loa-host os=RouterOS " . [/system resource get version])',
    ':do {:put ("loa-host serial=" . [/system routerboard get serial-number])} on-error={}',
    ':do {:put ("loa-host wireguard=" . [/interface wireguard get loa public-key])} on-error={}',
    f':if ({_ARMED} > 0) do={{:put "loa-host probation=yes"}}',
    "/export terse show-sensitive",
)
_FILE: Final = (
    ':local file "loa-before"; :if ([:len [/file find name=flash]] > 0) do={:set file "flash/loa-before"}; '
    "/system backup save name=$file dont-encrypt=yes"
)
"""Where there is a folder ``flash``, everything beside it is memory and gone after a power cut."""

_GO_BACK: Final = r'on-event="/system backup load name=$file password=\"\""'


class RouterOS:
    """The driver."""

    words = Words(
        device_type="mikrotik_routeros",
        export=_EXPORT,
        confirm=(
            f':if ({_ARMED} = 0) do={{:error "loa: nothing to confirm"}}',
            "/system scheduler remove [find name=loa-guard-boot]",
            "/system scheduler remove [find name=loa-guard]",
            '/file remove [find name~"loa-before"]',
        ),
        back=("/system scheduler set [find name=loa-guard] interval=1s",),
        refusal=(
            r"(?im)^(?:bad command|expected |syntax error|failure:|input does not match|no such |invalid |ambiguous |"
            r"value |not enough |unknown |missing |action |loa: |.*\(line \d+ column \d+\)).*"
        ),
        prompt=r"\[[^\]\r\n]*@[^\]\r\n]*\] > ?$",
        memory="/system script[name=loa-applied] source",
        lasting=r"[^\[]*(?:$|\[(?!name=|comment=|#))",
    )

    def parse(self, text: str) -> dict[str, str]:
        found: dict[str, str] = {}
        counts: dict[str, int] = {}
        for line in text.splitlines():
            if line.startswith("/") and not _PASSING.match(f"{line}\n"):
                _read(line, found, counts)
        return found

    def change(
        self, current: Mapping[str, str], wanted: Mapping[str, str | None], restarts: Sequence[str]
    ) -> tuple[str, ...]:
        del restarts  # every setting works at once
        return tuple(_packed(_edits(current, missing(current, wanted))))

    def arm(self, within: float) -> tuple[str, ...]:
        policy = "policy=ftp,reboot,read,write,policy,test,password,sensitive"
        timer = f"/system scheduler add name=loa-guard interval={ceil(within)}s {policy} {_GO_BACK}"
        start = f"/system scheduler add name=loa-guard-boot start-time=startup {policy} {_GO_BACK}"
        return (
            f':if ({_ARMED} > 0) do={{:error "loa: a change waits to be confirmed"}}',
            f"{{ {_FILE}; {start}; {timer} }}",
        )

    def kept(self, text: str) -> str:
        return _SECRET.sub(rf"\g<1>{MASK}", _PASSING.sub("", text))


def _read(line: str, found: dict[str, str], counts: dict[str, int]) -> None:
    """Add one exported command to the options."""
    tokens = _TOKEN.findall(line)
    verb = next((i for i, token in enumerate(tokens) if token in ("add", "set")), None)
    if verb is None:
        return
    path, rest = " ".join(tokens[:verb]), tokens[verb + 1 :]
    values = {k: _unquoted(v) for k, _, v in (t.partition("=") for t in rest if "=" in t and not t.startswith("["))}
    if tokens[verb] == "add":
        number = counts.get(path, 0)
        counts[path] = number + 1
        key = next((k for k in _IDENTITY if values.get(k)), "")
        path += f"[{key}={values[key]}]" if key else f"[#{number}]"
    elif rest and rest[0].startswith("["):
        match = _FIND.fullmatch(rest[0])
        path += f"[{_selector(match[1])}]" if match else ""
    elif rest and "=" not in rest[0]:
        path += f"[{_unquoted(rest[0])}]"
    found.update({f"{path} {key}": value for key, value in values.items()})


def _selector(found: str) -> str:
    key, _, value = found.partition("=")
    return f"{key}={_unquoted(value)}"


def _split(name: str) -> tuple[str, str, str]:
    """Path, selector and property of an option."""
    head, _, prop = name.rpartition("] ") if "] " in name else name.rpartition(" ")
    path, _, selector = head.partition("[")
    return path, selector, prop


def _edits(current: Mapping[str, str], differing: Mapping[str, str | None]) -> Iterator[str]:
    """The commands, item by item."""
    items: dict[tuple[str, str], dict[str, str | None]] = {}
    for name, text in differing.items():
        path, selector, prop = _split(name)
        if selector.startswith("#") or not prop:
            raise Unchangeable(name)
        items.setdefault((path, selector), {})[prop] = text or None
    for (path, selector), props in sorted(items.items(), key=_turn):
        long = {p: t for p, t in props.items() if t is not None and len(_quoted(t)) > _LONG}
        brief = props | {p: t[:_CHUNK] for p, t in long.items()}
        yield _edit(path, selector, brief, _left(path, selector, current))
        for prop, text in long.items():
            yield from _rest(path, selector, prop, text)


def _packed(commands: Iterable[str]) -> Iterator[str]:
    """Several commands on one line as long as it is short: each line costs a journey there and back."""
    line = ""
    for command in commands:
        if line and len(line) + len(command) > _LONG:
            yield line
            line = command
        else:
            line = f"{line}; {command}" if line else command
    if line:
        yield line


def _turn(item: tuple[tuple[str, str], Mapping[str, str | None]]) -> tuple[bool, bool]:
    """Removals first, so that names are free again; what may cut the link last."""
    (path, _), props = item
    return path.startswith(_LINK), any(props.values())


def _rest(path: str, selector: str, prop: str, text: str) -> Iterator[str]:
    """What follows the first piece of a long text: the console edits lines up to its width only."""
    which = _which(selector)
    target = f"{path} set {which} " if which else f"{path} set "
    get = f"{path} get {which} {prop}" if which else f"{path} get {prop}"
    for start in range(_CHUNK, len(text), _CHUNK):
        yield f"{target}{prop}=([{get}] . {_string(text[start : start + _CHUNK])})"


def _left(path: str, selector: str, current: Mapping[str, str]) -> set[str]:
    """The properties that the item has now."""
    head = f"{path}[{selector}] " if selector else f"{path} "
    return {name[len(head) :] for name in current if name.startswith(head)}


def _edit(path: str, selector: str, props: Mapping[str, str | None], present: set[str]) -> str:
    key, _, value = selector.partition("=")
    words = " ".join(f"{p}={_quoted(t)}" if t is not None else f"!{p}" for p, t in props.items() if p != key)
    if not selector:
        return f"{path} set {words}"
    which = _which(selector)
    if key in _IDENTITY and not present:
        return f"{path} add {key}={_quoted(value)} {words}".rstrip()
    stay = {p for p in present if props.get(p, "") is not None} | {p for p, t in props.items() if t is not None}
    if key in _IDENTITY and stay <= {key}:
        return f"{path} remove {which}"
    return f"{path} set {which} {words}"


def _which(selector: str) -> str:
    key, _, value = selector.partition("=")
    return f"[find {key}={_quoted(value)}]" if value else _quoted(key) if key else ""


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else _string(text)


def _string(text: str) -> str:
    made = []
    for byte in text.encode():
        char = chr(byte)
        plain = " " <= char <= "~"
        made.append(("\\" + char if char in '"\\$?' else char) if plain else f"\\{byte:02X}")
    return '"' + "".join(made) + '"'


def _unquoted(token: str) -> str:
    if len(token) < 2 or not (token[0] == token[-1] == '"'):
        return token

    def one(match: re.Match[bytes]) -> bytes:
        return bytes([int(match[1], 16)]) if match[1] else _NAMED.get(match[2], match[2])

    return _ESCAPE.sub(one, token[1:-1].encode()).decode(errors="replace")
