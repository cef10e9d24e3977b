"""Verbs about device families: check a profile, look at a device through one. No hub is needed."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING

import click

from inventory.diagnostics import Diagnostic, Place, Severity
from nms.i18n import N_
from tui.commands.context import FAILED, INVALID, UNREACHABLE, USAGE, Session, emit_json, existing, report, session

if TYPE_CHECKING:
    from nms.monitor.profiles import Profile
    from nms.monitor.snmp.outcome import Refusal, Silence
    from nms.monitor.snmp.usm import Security


@click.command("profile", help=N_("Check files that describe device families."))
@click.argument("action", type=click.Choice(["check"]))
@click.argument("files", nargs=-1, required=True, metavar=N_("FILE..."))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def profile_verb(ctx: click.Context, action: str, files: tuple[str, ...], as_json: bool) -> None:
    from nms.monitor.profiles import check_files

    del action  # there is one
    call = session(ctx)
    profiles, found = check_files(existing(file, call.translate) for file in files)
    errors = sum(d.severity is Severity.ERROR for d in found)
    if as_json:
        emit_json({"errors": errors, "profiles": sorted(profiles), "diagnostics": [_row(d, call) for d in found]})
    else:
        report(found, call.translate)
        for profile in profiles.values():
            metrics = ", ".join(column.metric for column in profile.columns)
            click.echo(f"{profile.name} · {profile.title}: {metrics}")
    if errors:
        raise click.exceptions.Exit(INVALID)


def _row(found: Diagnostic, call: Session) -> dict[str, object]:
    return {
        "code": found.code,
        "file": found.place.file,
        "line": found.place.line,
        "column": found.place.column,
        "message": found.text(call.translate),
        "fix": found.fix_text(call.translate),
    }


@click.command(
    "probe",
    help=N_(
        "What a device says over SNMP: each metric of its family, normalised and raw. The community or user comes from "
        "the inventory's secrets. Ends with 4 if nothing answers."
    ),
)
@click.argument("where", metavar=N_("ADDRESS[:PORT]"))
@click.option("--profile", "family", metavar=N_("NAME"), help=N_("read it as this family, whatever it says it is"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def probe_verb(ctx: click.Context, where: str, family: str | None, as_json: bool) -> None:
    from nms.monitor.probe import Probe, probe
    from nms.monitor.profiles import load_profiles
    from nms.monitor.snmp.outcome import Silence
    from nms.monitor.snmp.walk import Dialogue
    from tui.views.probe import document, lines

    call = session(ctx)
    address, port = _endpoint(where, call)
    profiles, _ = load_profiles()
    wanted = _family(family, profiles, call) if family is not None else None
    security = _security(call)
    try:
        with Dialogue(address, port, security, call.settings.snmp_timeout) as device:
            seen = probe(device, profiles, wanted)
    except OSError as error:
        seen = Silence(error.strerror or str(error))
    shown = f"{address}:{port}"
    if not isinstance(seen, Probe):
        _give_up(seen, shown, call)
    elif as_json:
        emit_json(document(seen, shown))
    else:
        for line in lines(seen, shown, call.translate):
            click.echo(line)


def _endpoint(where: str, call: Session) -> tuple[str, int]:
    """Address and port; the port is the fleet's if none is given."""
    host, colon, port = where.partition(":")
    try:
        number = int(port) if colon else call.settings.snmp_port
        address = str(IPv4Address(host))
    except (AddressValueError, ValueError):
        number, address = 0, ""
    if not 0 < number < 65536:
        message = call.translate(N_("'{text}' is not an address such as 10.184.11.1 or 10.184.11.1:161"))
        raise click.UsageError(message.format(text=where))
    return address, number


def _family(name: str, profiles: Mapping[str, Profile], call: Session) -> Profile:
    if name not in profiles:
        message = call.translate(N_("no family is called '{name}'; there are: {known}"))
        raise click.UsageError(message.format(name=name, known=", ".join(sorted(profiles))))
    return profiles[name]


def _security(call: Session) -> Security:
    """How devices are asked, from the inventory's encrypted secrets; ends with 2 if they cannot be used."""
    from nms.monitor.snmp.usm import security_from
    from nms.vault import secrets

    place = Place(str(call.settings.inventory / "secrets.yaml"))
    password = call.settings.vault_password_file
    if password is None:
        message = "no vault password file is set: the devices' SNMP community cannot be read"
        fix = "set vault_password_file (LOA_VAULT_PASSWORD_FILE)"
        report((Diagnostic("CFG020", place, message, fix),), call.translate)
        raise click.exceptions.Exit(USAGE)
    found = secrets(call.settings.inventory, password)
    security = found if isinstance(found, tuple) else security_from(found, place)
    if isinstance(security, tuple | Diagnostic):
        report((security,) if isinstance(security, Diagnostic) else security, call.translate)
        raise click.exceptions.Exit(USAGE)
    return security


def _give_up(seen: Silence | Refusal, where: str, call: Session) -> None:
    from nms.monitor.snmp.outcome import Silence

    fields = {"where": where, "reason": seen.reason}
    if isinstance(seen, Silence):
        message = N_("{where} does not answer: {reason}")
        fix = N_("check power, link, the device's SNMP settings and the secrets: a wrong community meets silence, too")
        report((Diagnostic("MON030", Place(""), message, fix, fields),), call.translate)
        raise click.exceptions.Exit(UNREACHABLE)
    message = N_("{where} answers with something else than was asked for: {reason}")
    fix = N_("the device's firmware or its SNMP user is at fault; look at it with: snmpget")
    report((Diagnostic("MON031", Place(""), message, fix, fields),), call.translate)
    raise click.exceptions.Exit(FAILED)
