"""What every verb needs: settings, language, the inventory, the hub, and the one way to end."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from inventory.diagnostics import Diagnostic, Place, Severity, has_errors, render
from nms.i18n import DEFAULT, LANGUAGES, N_, VIETNAM, speak, translator
from nms.settings import Settings, load

if TYPE_CHECKING:
    from inventory.model import Device, Network
    from tui.gateway import SocketGateway
    from tui.methods import Method, Problem

P = TypeVar("P")
R = TypeVar("R")

FORMAT_VERSION = 1
DONE, FAILED, USAGE, UNREACHABLE, INVALID = 0, 1, 2, 4, 5


@dataclass(frozen=True, slots=True)
class Session:
    """One call of the command: how it was asked, and the answers' language."""

    settings: Settings
    translate: Callable[[str], str]
    claim: str

    def now(self) -> datetime:
        return self.settings.make_clock()()

    def today(self) -> date:
        return self.now().astimezone(VIETNAM).date()

    def network(self) -> Network:
        """The checked inventory; ends with 5 and every mistake on stderr when there are errors."""
        from inventory.load import load as load_inventory

        network, diagnostics = load_inventory(self.settings.inventory)
        if network is None:
            report(diagnostics, self.translate)
            raise click.exceptions.Exit(INVALID)
        return network

    def on(self, given: str | None, network: Network) -> date:
        """The date of a query: as given, else the inventory's own, else today."""
        return parse_date(given, self.translate) if given else network.on(self.today())

    def gateway(self) -> SocketGateway:
        from tui.gateway import SocketGateway

        return SocketGateway(self.settings.socket, self.claim)

    def ask(self, method: Method[P, R], params: P) -> R:
        """The hub's answer; ends with 1 and its reasons on stderr when it refuses or is not there."""
        from tui.gateway import HubError, ask

        try:
            return ask(self.gateway(), method, params)
        except HubError as error:
            show_problems(error.problems, self.translate)
            raise click.exceptions.Exit(FAILED) from None

    def devices(self, network: Network, selection: str, on: date) -> tuple[Device, ...]:
        """The devices of a selection; ends with 2 and the mistake on stderr when it does not parse."""
        from inventory.select import Selection, parse

        parsed = parse(selection, network, on)
        if isinstance(parsed, Selection):
            return parsed.devices(on)
        report(parsed, self.translate)
        raise click.exceptions.Exit(USAGE)

    def say(self, message: str, **fields: object) -> None:
        """One translated line of the answer."""
        click.echo(self.translate(message).format(**fields))

    def tell(self, message: str, **fields: object) -> None:
        """One translated line about what was done, on stderr."""
        click.echo(self.translate(message).format(**fields), err=True)


def session(ctx: click.Context) -> Session:
    """The session of this call, from the group's options, the environment and the configuration files."""
    root = ctx.find_root()
    if isinstance(root.obj, Session):
        return root.obj
    options = root.params
    flags = {"inventory": options.get("inventory"), "state_dir": options.get("state"), "language": options.get("lang")}
    loaded = load(flags, os.environ, uid=os.getuid())
    if isinstance(loaded, tuple):
        language = os.environ.get("LOA_LANG", DEFAULT)
        report(loaded, translator(language if language in LANGUAGES else DEFAULT))
        raise click.exceptions.Exit(USAGE)
    translate = translator(loaded.settings.language)
    speak(loaded.settings.language)
    report(loaded.warnings, translate)
    made = Session(loaded.settings, translate, options.get("claim") or "")
    root.obj = made
    return made


def report(diagnostics: Iterable[Diagnostic], translate: Callable[[str], str]) -> None:
    """Every diagnostic on stderr, errors last, so that they stand nearest to the prompt."""
    for diagnostic in sorted(diagnostics, key=lambda d: d.severity is Severity.ERROR):
        click.echo(render(diagnostic, translate), err=True)


def show_problems(
    problems: Iterable[Problem], translate: Callable[[str], str], severity: Severity = Severity.ERROR
) -> None:
    """What the hub refused or warns of, in the form of a diagnostic."""
    for problem in problems:
        place = Place(problem.place)
        diagnostic = Diagnostic(problem.code, place, problem.message, problem.fix, problem.fields, severity)
        click.echo(render(diagnostic, translate), err=True)


def parse_date(text: str, translate: Callable[[str], str]) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = translate(N_("'{text}' is not a date such as 2024-10-01")).format(text=text)
        raise click.UsageError(message) from None


def parse_time(text: str, now: datetime, translate: Callable[[str], str]) -> datetime:
    """An aware time: ``17:00`` today (tomorrow if past), ``2024-10-01T17:00`` or with an offset; +07:00 by default."""
    local = now.astimezone(VIETNAM)
    try:
        if len(text) <= 5:
            at = datetime.combine(local.date(), datetime.strptime(text, "%H:%M").time(), VIETNAM)  # noqa: DTZ007
            return at if at > local else at + timedelta(days=1)
        at = datetime.fromisoformat(text)
    except ValueError:
        message = translate(N_("'{text}' is not a time such as 17:00 or 2024-10-01T17:00")).format(text=text)
        raise click.UsageError(message) from None
    return at if at.utcoffset() is not None else at.replace(tzinfo=VIETNAM)


def past(text: str | None, now: datetime, translate: Callable[[str], str]) -> int:
    """A time gone by in Unix milliseconds: an hour ago if not given; ``17:00`` means the last 17:00."""
    if text is None:
        return int((now - timedelta(hours=1)).timestamp() * 1000)
    at = parse_time(text, now, translate)
    return int((at if at <= now else at - timedelta(days=1)).timestamp() * 1000)


def emit_json(document: Mapping[str, Any]) -> None:
    """One JSON document with its format version, on stdout."""
    click.echo(json.dumps({"format_version": FORMAT_VERSION, **document}, ensure_ascii=False, indent=1))


def finish(diagnostics: Iterable[Diagnostic]) -> None:
    """End with 5 if there are errors."""
    if has_errors(diagnostics):
        raise click.exceptions.Exit(INVALID)


def fail(message: str, code: int = FAILED) -> NoReturn:
    """End with ``code`` and a line on stderr."""
    print(message, file=sys.stderr)
    raise click.exceptions.Exit(code)


def existing(path: str, translate: Callable[[str], str]) -> Path:
    """The file, or a usage error that names it."""
    found = Path(path)
    if not found.is_file():
        raise click.UsageError(translate(N_("{path}: no such file")).format(path=path))
    return found
