"""Verbs for what is wrong and who mends it: alarms, ack, repair, maintenance, device."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import click

from nms.i18n import N_, VIETNAM
from tui.alarm_methods import (
    ACKNOWLEDGE,
    ALARMS,
    DEVICE,
    MAINTAIN,
    MENDED,
    REPAIR,
    Acknowledge,
    Alarms,
    DeviceId,
    Maintain,
    Repair,
)
from tui.commands.context import UNREACHABLE, Session, emit_json, parse_time, session
from tui.views import alarms
from tui.views.device import device_document, device_lines
from tui.views.times import milliseconds, shown

LOST = ("down", "unreachable")


@click.command("alarms", help=N_("What is wrong, since when, who has it in hand, and whom to call."))
@click.argument("selection", nargs=-1, metavar=N_("[SELECTION]..."))
@click.option("--all", "past", is_flag=True, help=N_("those that are over too"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def alarms_verb(ctx: click.Context, selection: tuple[str, ...], past: bool, as_json: bool) -> None:
    call = session(ctx)
    rows = call.ask(ALARMS, Alarms(" ".join(selection), past)).alarms
    if as_json:
        emit_json({"alarms": [alarms.alarm_json(row) for row in rows]})
        return
    for row in rows:
        click.echo(alarms.alarm_line(row, call.translate))
        if row.state == "open":
            for line in alarms.call_lines(row, call.translate):
                click.echo(line)
    if not rows:
        call.say(N_("no alarms"))


@click.command("ack", help=N_("Take an alarm on. ALARM is its number in 'loa alarms', or what it is about."))
@click.argument("alarm", metavar=N_("ALARM"))
@click.option("--comment", default="", help=N_("what is being done about it"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def ack_verb(ctx: click.Context, alarm: str, comment: str, as_json: bool) -> None:
    call = session(ctx)
    row = call.ask(ACKNOWLEDGE, Acknowledge(alarm, comment))
    if as_json:
        emit_json({"alarm": alarms.alarm_json(row)})
    else:
        click.echo(alarms.alarm_line(row, call.translate))


@click.command(
    "repair",
    help=N_("Open a repair order: the device's alarms are quiet until its date. With --done it is mended."),
)
@click.argument("device", metavar=N_("DEVICE"))
@click.option("--part", help=N_("what is to be mended or replaced"))
@click.option("--until", metavar=N_("TIME"), help=N_("when it is due; of a date, its end"))
@click.option("--who", help=N_("who does it"))
@click.option("--done", is_flag=True, help=N_("the device is mended"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def repair_verb(
    ctx: click.Context, device: str, part: str | None, until: str | None, who: str | None, done: bool, as_json: bool
) -> None:
    call = session(ctx)
    if done:
        call.ask(MENDED, DeviceId(device))
        if as_json:
            emit_json({"device": device, "done": True})
        else:
            call.say(N_("{device} is mended"), device=device)
        return
    if not (part and until and who):
        raise click.UsageError(call.translate(N_("give --part, --until and --who, or --done")))
    row = call.ask(REPAIR, Repair(device, part, who, _end(call, until)))
    if as_json:
        emit_json({"repair": alarms.repair_json(row)})
    else:
        click.echo(f"{row.device}  {alarms.repair_line(row, call.translate)}")


@click.command("maintenance", help=N_("Announce work on a selection: what is off meanwhile is not lost."))
@click.argument("selection", nargs=-1, required=True, metavar=N_("SELECTION..."))
@click.option("--until", required=True, metavar=N_("TIME"), help=N_("when everything is on again; of a date, its end"))
@click.option("--from", "start", metavar=N_("TIME"), help=N_("when the work begins; now by default"))
@click.option("--reason", required=True, help=N_("what is done"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def maintenance_verb(
    ctx: click.Context, selection: tuple[str, ...], until: str, start: str | None, reason: str, as_json: bool
) -> None:
    call = session(ctx)
    begin = milliseconds(parse_time(start, call.now(), call.translate)) if start else 0
    end = _end(call, until)
    devices = call.ask(MAINTAIN, Maintain(" ".join(selection), end, reason, begin)).devices
    if as_json:
        emit_json({"devices": devices})
    else:
        call.say(N_("{count} devices in maintenance until {until}"), count=len(devices), until=shown(end))


@click.command("device", help=N_("Everything known of a device. Ends with 4 if it is lost."))
@click.argument("device", metavar=N_("DEVICE"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def device_verb(ctx: click.Context, device: str, as_json: bool) -> None:
    call = session(ctx)
    found = call.ask(DEVICE, DeviceId(device))
    if as_json:
        emit_json({"device": device_document(found)})
    else:
        for line in device_lines(found, call.translate):
            click.echo(line)
    if found.row.state in LOST:
        raise click.exceptions.Exit(UNREACHABLE)


def _end(call: Session, text: str) -> int:
    """A time in Unix milliseconds; a date alone means its last moment, as in 'until 05/12'."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return milliseconds(parse_time(text, call.now(), call.translate))
    return milliseconds(datetime.combine(day, datetime.min.time(), VIETNAM) + timedelta(days=1)) - 1
