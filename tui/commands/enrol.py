"""Verbs for new and exchanged devices: enroll, pending, bind, replace. The hub does the work, files change here."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection, Mapping
from contextlib import aclosing
from pathlib import Path

import click

from inventory.model import Device, DeviceId, Network
from nms.i18n import N_
from tui.commands.amend import amend
from tui.commands.context import FAILED, Session, emit_json, fail, session, show_problems
from tui.enrol_methods import ENROL, LOOK, PENDING, REPLACE, Enrol, Found, Look, Replace, Seen, StepDone
from tui.gateway import HubError
from tui.methods import Nothing
from tui.views import enrol as view

YES = ("có", "co", "yes")
OBSOLETE = ("public_key", "host_key")
"""What the inventory knows of a unit that was exchanged, and holds no longer."""

host_option = click.option("--host", metavar=N_("ADDRESS"), help=N_("where the device is on the bench"))
user_option = click.option("--user", default="", metavar=N_("ACCOUNT"), help=N_("its account; else the family's"))
fingerprint_option = click.option(
    "--fingerprint", default="", metavar="SHA256:…", help=N_("of its SSH host key, as on its label: nobody is asked")
)
password_option = click.option(
    "--password", is_flag=True, help=N_("ask for the factory's password; else the hub's own key must be accepted")
)
json_option = click.option("--json", "as_json", is_flag=True, help=N_("for programs"))


@click.command(
    "enroll",
    help=N_(
        "Put a factory-fresh device on the bench into service: check it, certify it, set it up, prove that it works, "
        "and write serial number and keys into the inventory. Run it again if it stops: what is done stays done."
    ),
)
@click.argument("device", metavar="ID")
@host_option
@user_option
@fingerprint_option
@password_option
@json_option
@click.pass_context
def enroll_verb(
    ctx: click.Context,
    device: str,
    host: str | None,
    user: str,
    fingerprint: str,
    password: bool,
    as_json: bool,
) -> None:
    call = session(ctx)
    if host is None:
        raise click.UsageError(call.translate(N_("--host says where the device is")))
    _enrol(call, device, Look(device, host), (user, fingerprint, password), as_json)


@click.command("pending", help=N_("Devices that announced themselves and wait to be bound to an id of the inventory."))
@json_option
@click.pass_context
def pending_verb(ctx: click.Context, as_json: bool) -> None:
    call = session(ctx)
    devices = call.ask(PENDING, Nothing()).devices
    if as_json:
        emit_json({"pending": [view.pending_json(one) for one in devices]})
        return
    for one in devices:
        for line in view.pending_lines(one, call.translate):
            click.echo(line)
    if not devices:
        call.say(N_("no device waits"))


@click.command(
    "bind",
    help=N_(
        "Put a device that announced itself into service. FINGERPRINT is the one that its own console shows, or at "
        "least 16 characters of its beginning: compare it there, not in the list of those who wait."
    ),
)
@click.argument("fingerprint", metavar=N_("FINGERPRINT"))
@click.argument("device", metavar="ID")
@user_option
@password_option
@json_option
@click.pass_context
def bind_verb(ctx: click.Context, fingerprint: str, device: str, user: str, password: bool, as_json: bool) -> None:
    call = session(ctx)
    _enrol(call, device, Look(device, key=fingerprint), (user, "", password), as_json)


@click.command(
    "replace",
    help=N_(
        "Exchange a device for a spare: id, history, volume ceilings stay, the old unit is refused everywhere. With "
        "--host the spare is put into service at once."
    ),
)
@click.argument("device", metavar="ID")
@click.option("--serial", required=True, metavar=N_("NUMBER"), help=N_("the spare's serial number"))
@host_option
@user_option
@fingerprint_option
@password_option
@json_option
@click.pass_context
def replace_verb(
    ctx: click.Context,
    device: str,
    serial: str,
    host: str | None,
    user: str,
    fingerprint: str,
    password: bool,
    as_json: bool,
) -> None:
    call = session(ctx)
    network = call.network()
    known = _known(call, network, device)
    if host is None or known.serial != serial:  # else an exchange that was begun goes on
        _exchange(call, device, serial, as_json and host is None)
    if host is not None:
        _enrol(call, device, Look(device, host), (user, fingerprint, password), as_json)


# --- exchanging -------------------------------------------------------------------------------------------------------


def _exchange(call: Session, device: str, serial: str, as_json: bool) -> None:
    done = call.ask(REPLACE, Replace(device, serial))
    file = _write(call, device, {"serial": serial}, OBSOLETE)
    if as_json:
        emit_json({"replaced": view.replaced_json(done)})
        return
    message = N_("{device}: {serial} takes the place of {previous}, which is refused from now on")
    _say(call, message, device=device, serial=serial, previous=done.previous or "–")
    _say(call, N_("certificates revoked: {count}"), count=done.revoked)
    _say(call, N_("changed {file}: commit it"), file=file)


def _known(call: Session, network: Network, device: str) -> Device:
    known = network.devices.get(DeviceId(device))
    if known is None:
        fail(call.translate(N_("'{id}' is not in the inventory")).format(id=device))
    return known


# --- enrolling --------------------------------------------------------------------------------------------------------


def _enrol(call: Session, device: str, look: Look, how: tuple[str, str, bool], as_json: bool) -> None:
    user, fingerprint, password = how
    network = call.network()
    _known(call, network, device)
    seen = _compared(call, look, fingerprint)
    secret = _password(call) if password else ""
    found = _followed(call, Enrol(device, seen.address, seen.fingerprint, seen.key, user, secret))
    file = _write(call, device, found.values, ())
    if as_json:
        emit_json({"enrolled": view.found_json(found)})
        return
    _finish(call, network, found, file)


def _compared(call: Session, look: Look, fingerprint: str) -> Seen:
    """Who answers there, once a person has said that it is the device that is meant."""
    if fingerprint and not look.key:
        return Seen(look.address, fingerprint, known=False)
    seen = call.ask(LOOK, look)
    if seen.key:
        message = N_("{address}: key {key}; it says it is {model}, serial number {serial}")
        words = {"key": view.grouped(seen.key), "model": seen.model or "–", "serial": seen.serial or "–"}
        _say(call, message, address=seen.address, **words)
    elif not seen.known:
        _say(call, N_("{address} shows the host key {key}"), address=seen.address, key=seen.fingerprint)
    if seen.known or (seen.key and len(_bare(look.key)) == len(seen.key)):
        return seen  # the inventory has it, or all of it was typed
    if not sys.stdin.isatty():
        raise click.UsageError(call.translate(N_("nobody can be asked here: give the whole fingerprint")))
    question = call.translate(N_("Does the device's label or console show the same? Type 'yes'"))
    if click.prompt(question, default="", show_default=False, err=True).strip().lower() not in YES:
        _say(call, N_("Nothing was changed."))
        raise click.exceptions.Exit(FAILED)
    return seen


def _bare(key: str) -> str:
    return "".join(key.split())


def _password(call: Session) -> str:
    """Without echo; it goes through the hub's socket and is kept nowhere."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    return str(click.prompt(call.translate(N_("The factory's password")), hide_input=True, err=True))


def _followed(call: Session, ask: Enrol) -> Found:
    """A line for each step that is done; ends with 1 and the reason when it stops."""
    try:
        last = asyncio.run(_steps(call, ask))
    except HubError as error:
        show_problems(error.problems, call.translate)
        raise click.exceptions.Exit(FAILED) from None
    if last is None or last.found is None:
        show_problems([last.problem] if last is not None and last.problem is not None else [], call.translate)
        raise click.exceptions.Exit(FAILED)
    return last.found


async def _steps(call: Session, ask: Enrol) -> StepDone | None:
    last = None
    async with aclosing(call.gateway().watch(ENROL, ask)) as steps:
        async for step in steps:
            last = step
            if step.message:
                click.echo(view.step_line(step, call.translate), err=True)
    return last


def _write(call: Session, device: str, values: Mapping[str, str], obsolete: Collection[str]) -> Path:
    """Into the device's own record; a file that changed meanwhile is not touched."""
    place = call.network().devices[DeviceId(device)].place
    try:
        return amend(call.settings.inventory, place, values, obsolete)
    except (OSError, ValueError) as error:
        message = call.translate(
            N_("the hub has done it; {file} could not be changed: {reason}; write there: {values}")
        )
        words = ", ".join(f"{key}: {value}" for key, value in values.items())
        fail(message.format(file=place.file, reason=error, values=words))


def _finish(call: Session, network: Network, found: Found, file: Path) -> None:
    """What to commit, and the label to print."""
    from tui.views.site import label_terminal, label_text

    known = network.devices[DeviceId(found.device)]
    text = label_text(known.id, found.values.get("serial", known.serial), found.values.get("public_key", ""))
    _say(call, N_("{device} is in service: {model}"), device=found.device, model=found.model or "–")
    _say(call, N_("changed {file}: commit it"), file=file)
    click.echo(label_terminal(text), nl=False)
    click.echo(text)


def _say(call: Session, message: str, **fields: object) -> None:
    """Beside the answer."""
    click.echo(call.translate(message).format(**fields), err=True)
