"""Verbs for the configurations that devices had: backup, restore; and a device's history."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import click

from inventory.diagnostics import Diagnostic
from nms.i18n import N_
from nms.provision import planfile
from nms.provision.backup import difference
from tui.backup_methods import (
    BACKUP,
    BACKUP_TEXT,
    HISTORY,
    RESTORATION,
    RESTORE,
    BackedUp,
    BackupText,
    Device,
    Restore,
    Which,
)
from tui.commands.apply import YES, followed
from tui.commands.context import FAILED, UNREACHABLE, Session, emit_json, report, session, show_problems
from tui.commands.plan import paint
from tui.gateway import HubError
from tui.methods import Select
from tui.views import history as view
from tui.views import plan as plan_view
from tui.views.times import rfc3339


@click.command(
    "backup",
    help=N_(
        "Keep the configuration of devices as it is now, without its secrets; or show what was kept. "
        "Ends with 4 if some devices cannot be reached."
    ),
)
@click.argument("selection", nargs=-1, metavar=N_("[SELECTION | DEVICE]..."))
@click.option("--show", type=int, metavar=N_("N"), help=N_("print backup N of the device; 0 is the last"))
@click.option("--diff", nargs=2, type=int, metavar=N_("N N"), help=N_("what changed from one backup to another"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def backup_verb(
    ctx: click.Context, selection: tuple[str, ...], show: int | None, diff: tuple[int, int] | None, as_json: bool
) -> None:
    call, text = session(ctx), " ".join(selection)
    if show is not None:
        _show(call.ask(BACKUP_TEXT, Which(text, show)), as_json)
    elif diff is not None:
        old, new = (call.ask(BACKUP_TEXT, Which(text, number)) for number in diff)
        _difference(call, old, new, as_json)
    else:
        raise click.exceptions.Exit(_made(call, text, as_json))


@click.command(
    "restore",
    help=N_(
        "Put a modem's configuration back as a backup has it, after showing what changes and asking. On probation like "
        "every change: a modem that loses contact goes back by itself. What the inventory wants is not changed by this."
    ),
)
@click.argument("device", metavar=N_("DEVICE"))
@click.option("--backup", "number", type=int, required=True, metavar=N_("N"), help=N_("its number in the history"))
@click.option("--yes", is_flag=True, help=N_("do not ask"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def restore_verb(ctx: click.Context, device: str, number: int, yes: bool, as_json: bool) -> None:
    call = session(ctx)
    shown = call.ask(RESTORATION, Which(device, number))
    plan = planfile.loads(shown.text, "")
    if isinstance(plan, Diagnostic):
        report((plan,), call.translate)
        raise click.exceptions.Exit(FAILED)
    for line in plan_view.plan_lines(plan, call.translate, call.now(), paint()):
        click.echo(line, err=as_json)
    (part,) = plan.devices
    if not part.changes:
        return
    if not yes:
        question = call.translate(N_("Put backup {number} back on {device}? (yes)")).format(
            number=shown.number, device=device
        )
        if click.prompt(question, default="", show_default=False, err=True).strip().casefold() not in YES:
            raise click.Abort
    begun = call.ask(RESTORE, Restore(device, shown.number, part.known)).rollout
    raise click.exceptions.Exit(followed(call, begun, as_json, ours=False))


def show_history(call: Session, device: str, as_json: bool) -> None:
    """Who did what to a device, and when; the newest last."""
    rows = call.ask(HISTORY, Device(device)).rows
    if as_json:
        emit_json({"device": device, "history": [view.history_json(row) for row in rows]})
        return
    for row in rows:
        click.echo(view.history_line(row, call.translate))
    if not rows:
        call.say(N_("nothing was done to {device} yet"), device=device)


def _show(found: BackupText, as_json: bool) -> None:
    if as_json:
        document = {"device": found.device, "number": found.number, "at": rfc3339(found.at), "why": found.why}
        emit_json({"backup": {**document, "by": found.by, "text": found.text}})
    else:
        click.echo(found.text, nl=not found.text.endswith("\n"))


def _difference(call: Session, old: BackupText, new: BackupText, as_json: bool) -> None:
    lines = difference(old.text, new.text)
    if as_json:
        emit_json({"device": old.device, "from": old.number, "to": new.number, "diff": list(lines)})
        return
    for line in lines:
        click.echo(paint()(line, {"+": "green", "-": "red"}.get(line[:1], "white")))
    if not lines:
        call.say(N_("No changes."))


def _made(call: Session, selection: str, as_json: bool) -> int:
    """Each device as it answers, and the exit code."""
    try:
        rows = asyncio.run(_received(call, selection, as_json))
    except HubError as error:
        show_problems(error.problems, call.translate)
        return FAILED
    if as_json:
        emit_json({"backups": [view.backup_json(row) for row in rows]})
    return UNREACHABLE if any(row.problem is not None for row in rows) else 0


async def _received(call: Session, selection: str, as_json: bool) -> list[BackedUp]:
    rows = []
    async with aclosing(call.gateway().watch(BACKUP, Select(selection))) as answers:
        async for row in answers:
            rows.append(row)
            if not as_json:
                click.echo(view.backup_line(row, call.translate))
    return rows
