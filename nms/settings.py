"""How this installation runs: flag > LOA_* > $XDG_CONFIG_HOME/loa/config.yaml > /etc/loa/config.yaml > default.

Every value knows where it came from. Mistakes are collected from all sources and told at once. Nothing here imports the
database, Ansible or the screens; YAML is imported only when there is a file to read.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import inventory
from inventory.diagnostics import Diagnostic, Place, Severity, has_errors
from nms.flatyaml import entries, unreadable
from nms.i18n import DEFAULT, LANGUAGES, N_
from nms.vault import Secret, secrets

__all__ = [
    "SAMPLE",
    "SYSTEM_CONFIG",
    "Clock",
    "Loaded",
    "Secret",
    "Settings",
    "Shift",
    "load",
    "secrets",
    "shifted_clock",
    "system_clock",
]

SYSTEM_CONFIG = Path("/etc/loa/config.yaml")
SAMPLE = Path(inventory.__file__).parent / "gia-lai"

Clock = Callable[[], datetime]
"""Returns the present as an aware datetime in UTC."""


def system_clock() -> datetime:
    return datetime.now(UTC)


def shifted_clock(start: datetime, origin: float) -> Clock:
    """A clock that showed ``start`` at Unix time ``origin`` and runs on; processes that share both agree."""
    return lambda: start.astimezone(UTC) + timedelta(seconds=time.time() - origin)


@dataclass(frozen=True, slots=True)
class Shift:
    """Time moved for the demo and tests: at Unix time ``origin`` it was ``start``."""

    start: datetime
    origin: float

    def __str__(self) -> str:
        return f"{self.start.isoformat()}@{self.origin!r}"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a process of Loa must be told. Intervals and timeouts in seconds; ``overlay`` replaces the network's
    first octet, ``snmp_trap_port`` 0 takes no traps, ``clock`` moves time (demo and tests only).
    ``vault_password_file`` unlocks the inventory's secrets. What is over is kept for ``event_days``,
    a sound that nobody schedules any more for ``content_days``. ``mp3``: sounds are also made for other vendors'
    devices.
    Texts are spoken by espeak-ng with ``speech_accent``, or by the Piper voice in the file ``speech_model``, with
    ``speech_speed`` words a minute.
    """

    inventory: Path
    state_dir: Path
    socket: Path
    store: str
    keys: Path
    vault_password_file: Path | None
    mqtt_host: str
    mqtt_port: int
    snmp_bind: str
    snmp_port: int
    snmp_trap_port: int
    snmp_interval: float
    snmp_timeout: float
    exporter_host: str
    exporter_port: int
    content_host: str
    content_port: int
    overlay: int | None
    clock: Shift | None
    language: str
    event_days: int
    speech_accent: str
    speech_speed: int
    speech_model: Path | None
    content_days: int
    mp3: bool

    def make_clock(self) -> Clock:
        return system_clock if self.clock is None else shifted_clock(self.clock.start, self.clock.origin)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Valid settings, where each came from (``--mqtt-port``, ``LOA_MQTT_PORT``, ``file:line:column``, ``default``),
    and what is odd but no error."""

    settings: Settings
    origins: Mapping[str, str]
    warnings: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class Given:
    """One value as somebody wrote it; relative paths are meant from ``base``."""

    name: str
    text: str
    place: Place
    base: Path
    source: str = ""


_NO_QUOTE = "CFG005"
"""The code of a bad store URL, which is not shown: it may hold a password."""

PASSPHRASE = "LOA_ROOT_PASSPHRASE"  # noqa: S105 (the variable's name, not a password)
"""Unlocks the root key for one command; a secret and therefore no setting."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def _path(given: Given) -> Path:
    if not given.text:
        raise ValueError
    try:
        return given.base / Path(given.text).expanduser()
    except RuntimeError as error:  # the home of a user that does not exist
        raise ValueError from error


def _word(given: Given) -> str:
    if not given.text or any(c.isspace() for c in given.text):
        raise ValueError
    return given.text


def _integer(low: int, high: int) -> Callable[[Given], int]:
    def parse(given: Given) -> int:
        if not given.text.isascii() or not given.text.isdigit() or not low <= int(given.text) <= high:
            raise ValueError
        return int(given.text)

    return parse


def _duration(given: Given) -> float:
    match = _DURATION.fullmatch(given.text)
    if match is None or float(match[1]) == 0:
        raise ValueError
    return float(match[1]) * _SECONDS[match[2]]


def _shift(given: Given) -> Shift:
    moment, _, origin = given.text.partition("@")
    start = datetime.fromisoformat(moment)
    if start.utcoffset() is None or not math.isfinite(float(origin)):
        raise ValueError
    return Shift(start, float(origin))


def _store(given: Given) -> str:
    """A URL without a password, or a path."""
    if "://" not in given.text:
        return _sqlite(_path(given))
    if re.search(r"://[^/@]*:[^/]*@|[?&]password=", given.text):
        raise ValueError
    return given.text


def _sqlite(path: Path) -> str:
    return f"sqlite:///{path.absolute()}"


def _one_of(*known: str) -> Callable[[Given], str]:
    def parse(given: Given) -> str:
        if given.text not in known:
            raise ValueError
        return given.text

    return parse


def _switch(given: Given) -> bool:
    if given.text not in ("true", "false"):
        raise ValueError
    return given.text == "true"


@dataclass(frozen=True, slots=True)
class _Option:
    """How one setting is read, what to do about a bad value, and its default given the state folder."""

    parse: Callable[[Given], object]
    fix: str
    default: Callable[[Path], object]
    code: str = "CFG002"
    variable: str = ""


_PORT = N_("give a port from 1 to 65535")
_PORT_OR_NONE = N_("give a port from 1 to 65535, or 0 for none")
_HOST = N_("give a host name or an address")
_PATH = N_("give a path")
_TIME = N_("give a duration such as 90s, 15m or 2h")
_OCTET = N_("give the first octet of an address, 1 to 223")
_SHIFT = N_("give a time with its zone, @ and Unix seconds: 2024-10-01T16:59:30+07:00@1795000000.0")
_STORE = N_("give a path, or a database URL without a password: PostgreSQL reads that from ~/.pgpass")
_DAYS = N_("give a number of days from 30 to 3650")
_ACCENT = N_("give north, central or south")
_SPEED = N_("give words a minute, 100 to 250")
_CONTENT_DAYS = N_("give a number of days from 8 to 3650")
_SWITCH = N_("give true or false")
_LANGUAGE = N_("give vi or en")

_OPTIONS: Mapping[str, _Option] = {
    "inventory": _Option(_path, _PATH, lambda state: SAMPLE),
    "state_dir": _Option(_path, _PATH, lambda state: state),
    "socket": _Option(_path, _PATH, lambda state: state / "hub.sock"),
    "store": _Option(_store, _STORE, lambda state: _sqlite(state / "loa.db"), code=_NO_QUOTE),
    "keys": _Option(_path, _PATH, lambda state: state / "keys"),
    "vault_password_file": _Option(_path, _PATH, lambda state: None),
    "mqtt_host": _Option(_word, _HOST, lambda state: "127.0.0.1"),
    "mqtt_port": _Option(_integer(1, 65535), _PORT, lambda state: 8883),
    "snmp_bind": _Option(_word, _HOST, lambda state: "0.0.0.0"),  # noqa: S104 (a client: devices are everywhere)
    "snmp_port": _Option(_integer(1, 65535), _PORT, lambda state: 161),
    "snmp_trap_port": _Option(_integer(0, 65535), _PORT_OR_NONE, lambda state: 162),
    "snmp_interval": _Option(_duration, _TIME, lambda state: 60.0),
    "snmp_timeout": _Option(_duration, _TIME, lambda state: 2.0),
    "exporter_host": _Option(_word, _HOST, lambda state: "127.0.0.1"),
    "exporter_port": _Option(_integer(1, 65535), _PORT, lambda state: 9740),
    "content_host": _Option(_word, _HOST, lambda state: "127.0.0.1"),
    "content_port": _Option(_integer(1, 65535), _PORT, lambda state: 8443),
    "overlay": _Option(_integer(1, 223), _OCTET, lambda state: None),
    "clock": _Option(_shift, _SHIFT, lambda state: None),
    "event_days": _Option(_integer(30, 3650), _DAYS, lambda state: 400),
    "speech_accent": _Option(_one_of("north", "central", "south"), _ACCENT, lambda state: "north"),
    "speech_speed": _Option(_integer(100, 250), _SPEED, lambda state: 175),
    "speech_model": _Option(_path, _PATH, lambda state: None),
    "content_days": _Option(_integer(8, 3650), _CONTENT_DAYS, lambda state: 30),
    "mp3": _Option(_switch, _SWITCH, lambda state: False),
    "language": _Option(_one_of(*LANGUAGES), _LANGUAGE, lambda state: DEFAULT, code="CFG004", variable="LOA_LANG"),
}


def load(
    flags: Mapping[str, str | None], environ: Mapping[str, str], *, uid: int, system: Path = SYSTEM_CONFIG
) -> Loaded | tuple[Diagnostic, ...]:
    """The settings of a process run by ``uid``, or everything that is wrong with them.

    ``flags`` are keyed by setting (``mqtt_port``); None means not given. Lower sources are checked even where a higher
    one overrides them.
    """
    found: list[Diagnostic] = []
    layers = [
        *(list(_file(path, found)) for path in (system, _user_config(environ))),
        list(_environment(environ, found)),
        [Given(k, v, Place(f"--{k.replace('_', '-')}"), Path()) for k, v in flags.items() if v is not None],
    ]
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for given in (given for layer in layers for given in layer):
        value = _value(given, found)
        if value is not None:
            values[given.name] = value
            origins[given.name] = str(given.place)
    if has_errors(found):
        return tuple(found)
    state = values.get("state_dir") or _state_dir(environ, uid)
    complete = {name: values.get(name, option.default(state)) for name, option in _OPTIONS.items()}
    where = {field.name: origins.get(field.name, "default") for field in fields(Settings)}
    return Loaded(Settings(**complete), where, tuple(found))


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()


def _xdg(environ: Mapping[str, str], variable: str, default: str) -> Path:
    """The XDG base directory; relative values are invalid by its specification and ignored."""
    path = Path(environ.get(variable, ""))
    return path if path.is_absolute() else _home(environ) / default


def _user_config(environ: Mapping[str, str]) -> Path:
    return _xdg(environ, "XDG_CONFIG_HOME", ".config") / "loa" / "config.yaml"


def _state_dir(environ: Mapping[str, str], uid: int) -> Path:
    return Path("/var/lib/loa") if uid == 0 else _xdg(environ, "XDG_STATE_HOME", ".local/state") / "loa"


def _value(given: Given, found: list[Diagnostic]) -> object:
    option = _OPTIONS.get(given.name)
    if option is None:
        found.append(_unknown(given.name, given.place, list(_OPTIONS), source=given.source))
        return None
    try:
        return option.parse(given)
    except ValueError:
        quote = option.code != _NO_QUOTE
        message = N_("'{text}' is no value for {name}") if quote else N_("{name} cannot be used as it is given")
        fields = {"name": given.name, "text": given.text if quote else ""}
        source = given.source if quote else ""
        found.append(Diagnostic(option.code, given.place, message, option.fix, fields, source=source))
        return None


def _environment(environ: Mapping[str, str], found: list[Diagnostic]) -> Iterator[Given]:
    names = {option.variable or f"LOA_{name.upper()}": name for name, option in _OPTIONS.items()}
    for variable in sorted(environ):
        if variable in names:
            yield Given(names[variable], environ[variable], Place(variable), Path())
        elif variable.startswith("LOA_") and variable != PASSPHRASE:
            # another program may own the name, so this does not stop the command
            found.append(_unknown(variable, Place(variable), list(names), Severity.WARNING))


def _unknown(
    name: str, place: Place, known: list[str], severity: Severity = Severity.ERROR, source: str = ""
) -> Diagnostic:
    near = get_close_matches(name, known, 1)
    fix = N_("did you mean '{near}'?") if near else N_("the settings are: {known}")
    fields = {"name": name, "near": near[0] if near else "", "known": ", ".join(known)}
    return Diagnostic("CFG001", place, N_("unknown setting '{name}'"), fix, fields, severity, source=source)


def _file(path: Path, found: list[Diagnostic]) -> Iterator[Given]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        found.append(unreadable(Place(str(path)), error.strerror or str(error)))
        return
    for entry in entries(data, str(path), found):
        yield Given(entry.name, entry.text, entry.place, path.parent, entry.source)
