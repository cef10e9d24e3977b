"""Verbs for what is wrong and who mends it: alarms, ack, repair, maintenance, device."""

from __future__ import annotations

import click

from nms.i18n import N_
from tui.alarm_methods import (
    ACKNOWLEDGE,
    ALARMS,
    DEVICE,
    MAINTAIN,
    MENDED,
    REPAIR,
    SILENCE,
    UNSILENCE,
    Acknowledge,
    Alarms,
    DeviceId,
    Maintain,
    Repair,
    Silence,
    Unsilence,
)
from tui.commands.context import UNREACHABLE, Session, emit_json, parse_time, session
from tui.views import alarms
from tui.views.device import device_document, device_lines
from tui.views.times import milliseconds, read_end, shown

LOST = ("down", "unreachable")


@click.command("alarms", help=N_("What is wrong, since when, who has it in hand, and whom to call."))
@click.argument("selection", nargs=-1, metavar=N_("[SELECTION]..."))
@click.option("--all", "past", is_flag=True, help=N_("those that are over too"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def alarms_verb(ctx: click.Context, selection: tuple[str, ...], past: bool, as_json: bool) -> None:
    call = session(ctx)
    answer = call.ask(ALARMS, Alarms(" ".join(selection), past))
    rows = answer.alarms
    if as_json:
        silenced = [alarms.silenced_json(row) for row in answer.silenced]
        emit_json({"alarms": [alarms.alarm_json(row) for row in rows], "silenced": silenced})
        return
    for row in rows:
        click.echo(alarms.alarm_line(row, call.translate))
        if row.state == "open":
            for line in alarms.call_lines(row, call.translate):
                click.echo(line)
    for muted in answer.silenced:
        click.echo(alarms.silenced_line(muted, call.translate))
    if not rows and not answer.silenced:
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


@click.command("silence", help=N_("Let nothing be heard from a cluster until it is mended: no emergency either."))
@click.argument("device", metavar=N_("DEVICE"))
@click.option("--until", required=True, metavar=N_("TIME"), help=N_("when it is heard again; of a date, its end"))
@click.option("--reason", required=True, help=N_("why; goes on record"))
@click.option("--repair", metavar=N_("WHO/PART"), help=N_("open a repair order too: who mends what"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def silence_verb(ctx: click.Context, device: str, until: str, reason: str, repair: str | None, as_json: bool) -> None:
    call = session(ctx)
    who, _, part = (text.strip() for text in (repair or "").partition("/"))
    if repair is not None and not (who and part):
        raise click.UsageError(call.translate(N_("write --repair as WHO/PART, such as: --repair 'Lan/loa nén'")))
    row = call.ask(SILENCE, Silence(device, _end(call, until), reason, who, part))
    if as_json:
        emit_json({"silenced": alarms.silenced_json(row)})
        return
    click.echo(alarms.silenced_line(row, call.translate))
    for line in alarms.unheard_lines([row], call.translate):
        click.echo(line)


@click.command("unsilence", help=N_("Let a silenced cluster be heard again. Closing its repair order does it too."))
@click.argument("device", metavar=N_("DEVICE"))
@click.option("--reason", required=True, help=N_("why; goes on record"))
@click.pass_context
def unsilence_verb(ctx: click.Context, device: str, reason: str) -> None:
    call = session(ctx)
    call.ask(UNSILENCE, Unsilence(device, reason))
    call.say(N_("{device} is no longer silenced"), device=device.upper())


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
@click.option("--history", is_flag=True, help=N_("who did what to it, and when: roll-outs, backups, records"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def device_verb(ctx: click.Context, device: str, history: bool, as_json: bool) -> None:
    call = session(ctx)
    if history:
        from tui.commands.backup import show_history

        show_history(call, device, as_json)
        return
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
    end = read_end(text, call.now())
    if end is None:
        message = N_("'{text}' is not a time such as 17:00, 05/12 or 17:00 05/12/2024")
        raise click.UsageError(call.translate(message).format(text=text))
    return milliseconds(end)
