"""The verb of certificates. It needs no hub: a running one works on the same files."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from inventory.diagnostics import Diagnostic
from nms.i18n import N_
from nms.settings import system_clock
from tui.commands.context import FAILED, Session, emit_json, existing, report, session
from tui.commands.keys import passphrase
from tui.views.times import milliseconds, shown

if TYPE_CHECKING:
    from nms.provision.authority import Authority, Entry

ACTIONS = ("init", "hub", "issue", "revoke", "list")
PERSISTENCE = Path("/var/lib/mosquitto")
"""Where Debian's mosquitto may write."""


@click.command(
    "pki",
    help=N_(
        "Certificates of hub and devices. init: make the authority, once. hub: certify the hub and write the broker's "
        "files. issue ID --csr FILE: certify a device's request. revoke ID: refuse a device's certificates, or the one "
        "with that serial number. list: what was given."
    ),
)
@click.argument("action", type=click.Choice(ACTIONS))
@click.argument("name", required=False, metavar="ID")
@click.option("--csr", metavar=N_("FILE"), help=N_("the device's certificate request (PEM), for issue"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def pki_verb(ctx: click.Context, action: str, name: str | None, csr: str | None, as_json: bool) -> None:
    call = session(ctx)
    if (action in ("issue", "revoke")) != bool(name) or (action == "issue") != bool(csr):
        raise click.UsageError(call.translate(N_("issue takes ID and --csr, revoke takes ID, the others nothing")))
    # certificates have the world's dates: a shifted clock is the programme's alone
    now = system_clock()
    if action == "init":
        _init(call, now)
    elif action == "hub":
        _hub(call, now)
    elif action == "issue":
        _issue(call, name or "", existing(csr or "", call.translate), now)
    elif action == "revoke":
        _revoke(call, name or "", now, as_json)
    else:
        _list(call, _authority(call).entries(), now, as_json)


def _init(call: Session, now: datetime) -> None:
    from nms.provision.authority import PKI, ROOT_KEY, init

    settings, network = call.settings, call.network()
    secret = passphrase(call, new=not (settings.keys / ROOT_KEY).exists())
    _refused(call, init(settings.state_dir, settings.keys, secret, network, now))
    call.say(
        N_("the authority is in {folder}; put {file} away from this machine"),
        folder=settings.state_dir / PKI,
        file=settings.keys / ROOT_KEY,
    )


def _hub(call: Session, now: datetime) -> None:
    from nms.provision import acl
    from nms.provision.authority import SHARED, write

    settings, network = call.settings, call.network()
    authority = _authority(call)
    problem = authority.certify_hub(network, settings.overlay or int(network.overlay), now)
    _refused(call, () if problem is None else (problem,))
    authority.publish(now)
    authority.permit(network, call.on(None, network))
    port = settings.mqtt_port
    text = acl.configuration(authority.broker, port, port + 1, PERSISTENCE)
    write(authority.broker / acl.CONFIGURATION, text.encode(), SHARED)
    call.say(
        N_("the hub is certified as {name}; start the broker with: mosquitto -c {file}"),
        name=network.hub.name if network.hub else "",
        file=authority.broker / acl.CONFIGURATION,
    )


def _issue(call: Session, device: str, request: Path, now: datetime) -> None:
    network = call.network()
    given = _authority(call).issue(network, call.on(None, network), device, request.read_bytes(), now)
    if isinstance(given, Diagnostic):
        _refused(call, (given,))
        return
    click.echo(given.chain.decode(), nl=False)
    message = call.translate(N_("{device} has a certificate until {until}"))
    click.echo(message.format(device=device, until=_day(given.entry.ends)), err=True)


def _revoke(call: Session, which: str, now: datetime, as_json: bool) -> None:
    revoked = _authority(call).revoke(which, now)
    if isinstance(revoked, Diagnostic):
        _refused(call, (revoked,))
        return
    _list(call, revoked, now, as_json)
    message = call.translate(N_("restart the broker, so that sessions under way end as well"))
    click.echo(message, err=True)


def _list(call: Session, entries: Iterable[Entry], now: datetime, as_json: bool) -> None:
    if as_json:
        emit_json({"certificates": [_document(e, now) for e in entries]})
        return
    for entry in entries:
        words = call.translate(_state(entry, now)).format(until=_day(entry.ends), at=_day(entry.revoked or now))
        click.echo(f"{entry.name}  {words}  {entry.serial}")


def _state(entry: Entry, now: datetime) -> str:
    if entry.revoked is not None:
        return N_("revoked {at}")
    return N_("valid until {until}") if entry.valid(now) else N_("ended {until}")


def _document(entry: Entry, now: datetime) -> dict[str, object]:
    return {
        "name": entry.name,
        "serial": entry.serial,
        "key": entry.key,
        "begins": entry.begins.isoformat(),
        "ends": entry.ends.isoformat(),
        "revoked": entry.revoked.isoformat() if entry.revoked else None,
        "valid": entry.valid(now),
    }


def _authority(call: Session) -> Authority:
    from nms.provision.authority import Authority

    opened = Authority.open(call.settings.state_dir)
    if isinstance(opened, Diagnostic):
        report((opened,), call.translate)
        raise click.exceptions.Exit(FAILED)
    return opened


def _refused(call: Session, diagnostics: tuple[Diagnostic, ...]) -> None:
    """Ends with 1 if there is anything to report."""
    report(diagnostics, call.translate)
    if diagnostics:
        raise click.exceptions.Exit(FAILED)


def _day(at: datetime) -> str:
    return shown(milliseconds(at))
