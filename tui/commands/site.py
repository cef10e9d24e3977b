"""Verbs for records made on the spot: accept, survey, records, label."""

from __future__ import annotations

from pathlib import Path

import click

from inventory.model import DeviceId, Network, UnitId
from nms.i18n import N_
from tui.commands.context import Session, emit_json, fail, session
from tui.site_methods import ACCEPT, RECORDS, SURVEY, Accept, SiteRecord, Subject, SurveyStation


@click.command("accept", help=N_("Record that a device was accepted where it stands, and what was measured there."))
@click.argument("device", metavar=N_("DEVICE"))
@click.option("--level", type=float, metavar="DB(A)", help=N_("sound level where people stand, in dB(A)"))
@click.option("--signal", type=float, metavar="DBM", help=N_("RSRP in dBm; else as the device last reported it"))
@click.option(
    "--tone", type=click.Choice(["none", "silent", "heard"]), default="none", help=N_("how the sound was proven")
)
@click.option("--photo", default="", help=N_("where the picture is kept"))
@click.option("--note", default="", help=N_("remarks"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def accept_verb(
    ctx: click.Context,
    device: str,
    level: float | None,
    signal: float | None,
    tone: str,
    photo: str,
    note: str,
    as_json: bool,
) -> None:
    call = session(ctx)
    _show(call, [call.ask(ACCEPT, Accept(device, level, signal, tone, photo, note))], as_json)


@click.command(
    "survey", help=N_("Record what was found of a commune's old station; its condition goes into its file too.")
)
@click.argument("commune", metavar=N_("COMMUNE"))
@click.option(
    "--technology", type=click.Choice(["wired", "fm", "ip"]), required=True, help=N_("how it distributes sound")
)
@click.option("--condition", type=click.Choice(["good", "degraded", "broken"]), required=True, help=N_("its condition"))
@click.option("--horns", type=int, required=True, help=N_("horns counted"))
@click.option("--working", type=int, required=True, help=N_("of these working"))
@click.option("--photo", default="", help=N_("where the picture is kept"))
@click.option("--note", default="", help=N_("remarks"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def survey_verb(
    ctx: click.Context,
    commune: str,
    technology: str,
    condition: str,
    horns: int,
    working: int,
    photo: str,
    note: str,
    as_json: bool,
) -> None:
    call = session(ctx)
    network = call.network()
    record = call.ask(SURVEY, SurveyStation(commune, technology, condition, horns, working, photo, note))
    _show(call, [record], as_json)
    changed = _write_condition(call, network, UnitId(commune), condition)
    if changed is not None and not as_json:
        call.say(N_("changed {file}: commit it"), file=changed)


@click.command(
    "records", help=N_("Acceptances, surveys, enrolments of a device or a commune; -o writes the last one to print.")
)
@click.argument("subject", metavar=N_("DEVICE or COMMUNE"))
@click.option("-o", "--output", metavar=N_("FILE"), help=N_("a page (HTML) to print and sign"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def records_verb(ctx: click.Context, subject: str, output: str | None, as_json: bool) -> None:
    from tui.views.site import record_page

    call = session(ctx)
    found = call.ask(RECORDS, Subject(subject)).records
    if not found and not as_json:
        fail(call.translate(N_("nothing is recorded of {subject}")).format(subject=subject))
    if output and found:
        Path(output).write_text(record_page(found[0], call.translate), "utf-8")
        call.say(N_("wrote {file}"), file=output)
        return
    _show(call, found, as_json)


@click.command("label", help=N_("A label with a QR code for a device: id, serial number, fingerprint of its key."))
@click.argument("device", metavar=N_("DEVICE"))
@click.option("-o", "--output", metavar=N_("FILE"), help=N_("an SVG file to print, 50 by 30 mm"))
@click.pass_context
def label_verb(ctx: click.Context, device: str, output: str | None) -> None:
    from tui.views.site import label_svg, label_terminal, label_text

    call = session(ctx)
    known = call.network().devices.get(DeviceId(device))
    if known is None:
        fail(call.translate(N_("'{id}' is not in the inventory")).format(id=device))
    text = label_text(known.id, known.serial, known.public_key)
    if output:
        Path(output).write_text(label_svg(text, known.id, known.name), "utf-8")
        call.say(N_("wrote {file}"), file=output)
        return
    click.echo(label_terminal(text), nl=False)
    click.echo(text)


def _show(call: Session, records: list[SiteRecord] | tuple[SiteRecord, ...], as_json: bool) -> None:
    from tui.views.site import record_document, record_lines

    if as_json:
        emit_json({"records": [record_document(record) for record in records]})
        return
    for record in records:
        for line in record_lines(record, call.translate):
            click.echo(line)


def _write_condition(call: Session, network: Network, unit: UnitId, condition: str) -> Path | None:
    """Puts what was found into the station's own file; None where the commune has no station there."""
    from tui.commands.amend import amend

    station = network.stations.get(unit)
    if station is None:
        return None
    found = {"condition": condition, "surveyed": call.today().isoformat()}
    try:
        return amend(call.settings.inventory, station.place, found)
    except (OSError, ValueError) as error:
        fail(
            call.translate(N_("the record is kept; {file} could not be changed: {reason}")).format(
                file=station.place.file, reason=error
            )
        )
