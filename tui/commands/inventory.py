"""Verbs that read the inventory alone and need no hub: validate, show, units, schema."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable

import click

from inventory.diagnostics import Diagnostic, Severity
from inventory.model import Device, Sim, Tier
from nms.i18n import N_, number
from tui.commands.context import INVALID, emit_json, report, session
from tui.views.words import KINDS, column, hamlet_name

FILES = ("network", "units", "grid", "groups", "people", "targets", "trust", "station")


@click.command("validate", help=N_("Check the inventory."))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def validate_verb(ctx: click.Context, as_json: bool) -> None:
    from inventory.load import load
    from inventory.sims import expiring

    call = session(ctx)
    network, diagnostics = load(call.settings.inventory)
    if network is not None:
        diagnostics += expiring(network, call.on(None, network))
    errors = sum(d.severity is Severity.ERROR for d in diagnostics)
    if as_json:
        emit_json({"errors": errors, "diagnostics": [_diagnostic(d, call.translate) for d in diagnostics]})
    else:
        report(diagnostics, call.translate)
        if network is None:
            files = {d.place.file for d in diagnostics if d.severity is Severity.ERROR}
            call.say(N_("{errors} errors in {files} files"), errors=errors, files=len(files))
        else:
            call.say(
                N_("{name}: {units} units, {devices} devices, no errors"),
                name=network.name,
                units=number(len(network.units)),
                devices=number(len(network.devices)),
            )
    if network is None:
        raise click.exceptions.Exit(INVALID)


def _diagnostic(diagnostic: Diagnostic, translate: Callable[[str], str]) -> dict[str, object]:
    return {
        "code": diagnostic.code,
        "severity": str(diagnostic.severity),
        "file": diagnostic.place.file,
        "line": diagnostic.place.line,
        "column": diagnostic.place.column,
        "message": diagnostic.text(translate),
        "fix": diagnostic.fix_text(translate),
        "related": [str(place) for place in diagnostic.related],
    }


@click.command("show", help=N_("Devices of a selection, such as: district=pleiku kind=modem"))
@click.argument("selection", nargs=-1, metavar=N_("[SELECTION]..."))
@click.option("--on", metavar=N_("DATE"), help=N_("as of that day; 2024-10-01"))
@click.option("--sims", is_flag=True, help=N_("their SIMs: number, ICCID, plan, operator, end"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def show_verb(ctx: click.Context, selection: tuple[str, ...], on: str | None, sims: bool, as_json: bool) -> None:
    from inventory.overlay import address

    call = session(ctx)
    network = call.network()
    day = call.on(on, network)
    if sims:
        _show_sims(call.devices(network, " ".join(selection), day), as_json)
        return
    rows = []
    for device in call.devices(network, " ".join(selection), day):
        unit = network.unit_of(device, day)
        hamlet = network.hamlets.get(device.hamlet) if device.hamlet else None
        rows.append(
            {
                "id": device.id,
                "kind": str(device.kind),
                "unit": unit or "",
                "unit_name": network.units[unit].name if unit else "",
                "hamlet": hamlet_name(hamlet) if hamlet else "",
                "address": address(device.id, call.settings.overlay or int(network.overlay)),
                "uplink": device.uplink or "",
                "in_service": device.in_service.isoformat(),
            }
        )
    if as_json:
        emit_json({"on": day.isoformat(), "devices": rows})
        return
    for row in rows:
        row["kind"] = column(KINDS, row["kind"], call.translate)
        click.echo("{id:<12} {kind} {address:<16} {uplink:<10} {unit_name} · {hamlet}".format_map(row).rstrip(" ·"))
    call.say(N_("{count} devices on {day}"), count=number(len(rows)), day=day.strftime("%d/%m/%Y"))


def _show_sims(devices: Iterable[Device], as_json: bool) -> None:
    """One line for each SIM."""
    cards = [(device.id, device.sim) for device in devices if device.sim is not None]
    if as_json:
        emit_json({"sims": [_sim(device, sim) for device, sim in cards]})
        return
    for device, sim in cards:
        end = f"{sim.expires:%d/%m/%Y}" if sim.expires else ""
        line = f"{device:<12} {sim.number:<12} {sim.iccid:<20} {sim.plan:<10} {sim.operator:<10} {sim.apn:<12} {end}"
        click.echo(line.rstrip())


def _sim(device: str, sim: Sim) -> dict[str, str | None]:
    return {
        "device": device,
        "number": sim.number,
        "iccid": sim.iccid,
        "plan": sim.plan,
        "operator": sim.operator,
        "apn": sim.apn,
        "expires": sim.expires.isoformat() if sim.expires else None,
    }


@click.command("units", help=N_("Administrative units valid on a date."))
@click.option("--on", metavar=N_("DATE"), help=N_("as of that day; 2024-10-01"))
@click.option("--tier", type=click.Choice([str(t) for t in Tier]), help=N_("only units of this tier"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def units_verb(ctx: click.Context, on: str | None, tier: str | None, as_json: bool) -> None:
    call = session(ctx)
    network = call.network()
    day = call.on(on, network)
    units = sorted(network.units_on(day, Tier(tier) if tier else None), key=lambda u: (u.parent or "", u.code))
    if as_json:
        rows = [
            {
                "id": u.id,
                "code": u.code,
                "name": u.name,
                "tier": u.tier,
                "parent": u.parent,
                "predecessors": u.predecessors,
            }
            for u in units
        ]
        emit_json({"on": day.isoformat(), "units": rows})
        return
    for unit in units:
        parent = network.units[unit.parent].name if unit.parent else ""
        click.echo(f"{unit.id:<12} {unit.name} · {parent}".rstrip(" ·"))
    counts = Counter(u.tier for u in network.units_on(day))
    both, without = N_("on {day}: {districts} districts, {communes} communes"), N_("on {day}: {communes} communes")
    call.say(
        both if counts[Tier.DISTRICT] else without,
        day=day.strftime("%d/%m/%Y"),
        districts=counts[Tier.DISTRICT],
        communes=counts[Tier.COMMUNE],
    )


@click.command("schema", help=N_("JSON Schema of one kind of inventory file."))
@click.argument("kind", type=click.Choice(FILES))
def schema_verb(kind: str) -> None:
    from inventory.schema import json_schema

    click.echo(json.dumps(json_schema(kind), ensure_ascii=False, indent=1))
