"""Verbs about bulletins that were handed in: approve, return, stop, resume, bulletins, report."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from dataclasses import replace

import click

from inventory.diagnostics import Diagnostic, Severity
from nms.i18n import N_
from tui.commands.context import (
    FAILED,
    Session,
    emit_json,
    fail,
    parse_time,
    past,
    report,
    session,
    show_problems,
)
from tui.methods import (
    APPROVE,
    BODY,
    BULLETINS,
    REPORT,
    RESUME,
    RETURN,
    STOP,
    Approve,
    Body,
    BulletinId,
    BulletinRow,
    Find,
    Resume,
    Return,
    Stop,
)
from tui.signing import sign
from tui.views import alarms, bulletins
from tui.views.times import milliseconds, rfc3339, shown
from tui.views.words import BULLETIN_STATES


@click.command("approve", help=N_("Approve a bulletin: shows it, signs it with the origin unit's key, hands it in."))
@click.argument("bulletin", metavar=N_("BULLETIN"))
@click.option("--paper", metavar=N_("NUMBER"), help=N_("the leader has signed on paper: the document's number"))
@click.option("--signer", help=N_("who signed the paper"))
@click.option("--at", metavar=N_("TIME"), help=N_("when the paper was signed"))
@click.option("--yes", is_flag=True, help=N_("do not ask"))
@click.option(
    "--break-glass",
    "reason",
    default="",
    metavar=N_("REASON"),
    help=N_("an emergency, without a second person, after a minute; goes on record and is told to everyone"),
)
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def approve_verb(
    ctx: click.Context,
    bulletin: str,
    paper: str | None,
    signer: str | None,
    at: str | None,
    yes: bool,
    reason: str,
    as_json: bool,
) -> None:
    call = session(ctx)
    if len({paper is None, signer is None, at is None}) > 1:
        raise click.UsageError(call.translate(N_("--paper, --signer and --at belong together")))
    signed_at = past(at, call.now(), call.translate) if at else 0
    body = call.ask(BODY, BulletinId(bulletin))
    for line in alarms.unheard_lines(body.silenced, call.translate):
        click.echo(line, err=True)
    show_problems(body.warnings, call.translate, Severity.WARNING)
    if not yes:
        _confirm(call, body)
    signed = _sign(call, body)
    approved = call.ask(APPROVE, Approve(bulletin, signed, reason, paper or "", signer or "", signed_at))
    if as_json:
        starts = {unit: rfc3339(at) for unit, at in approved.starts.items()}
        emit_json({"starts": starts, "homeless": approved.homeless, "offered": approved.offered})
        return
    if approved.starts:
        first = shown(min(approved.starts.values()))
        call.say(N_("approved; first start {first} in {communes} communes"), first=first, communes=len(approved.starts))
    elif approved.offered:
        call.say(N_("approved; {communes} communes may pick it"), communes=len(approved.offered))
    elif not approved.homeless:
        call.say(N_("approved and on the air"))
    if approved.homeless:
        communes = ", ".join(approved.homeless)
        fail(call.translate(N_("no room within its validity in: {communes}")).format(communes=communes))


def _confirm(call: Session, body: Body) -> None:
    """Show what is to be signed and ask; without a terminal there is nobody to ask."""
    if not sys.stdin.isatty():
        raise click.UsageError(call.translate(N_("nobody to ask here: look at the bulletin, then use --yes")))
    click.echo(bulletins.bulletin_line(body.row, call.translate), err=True)
    click.echo(base64.b64decode(body.body).decode(), err=True)
    if body.spoken:
        click.echo(call.translate(N_("It is read: {text}")).format(text=body.spoken), err=True)
    if not click.confirm(call.translate(N_("Approve and sign?")), err=True):
        raise click.Abort


def _sign(call: Session, body: Body) -> str:
    signed = sign(call.settings.keys, body.body, milliseconds(call.now()))
    if isinstance(signed, Diagnostic):
        report((signed,), call.translate)
        raise click.exceptions.Exit(FAILED)
    return signed


@click.command("return", help=N_("Give a bulletin back to its author."))
@click.argument("bulletin", metavar=N_("BULLETIN"))
@click.option("--reason", required=True, help=N_("what the author reads"))
@click.pass_context
def return_verb(ctx: click.Context, bulletin: str, reason: str) -> None:
    call = session(ctx)
    call.ask(RETURN, Return(bulletin, reason))
    call.say(N_("returned"))


@click.command("stop", help=N_("Silence an area now: everything, or one bulletin."))
@click.argument("selection", nargs=-1, metavar=N_("[SELECTION]..."))
@click.option("--bulletin", default="", help=N_("only this one"))
@click.option("--hold-until", metavar=N_("TIME"), help=N_("stay silent until then"))
@click.option("--reason", default="", help=N_("why; goes on record"))
@click.pass_context
def stop_verb(
    ctx: click.Context, selection: tuple[str, ...], bulletin: str, hold_until: str | None, reason: str
) -> None:
    call = session(ctx)
    until = milliseconds(parse_time(hold_until, call.now(), call.translate)) if hold_until else 0
    stopped = call.ask(STOP, Stop(" ".join(selection), bulletin, until, reason))
    call.say(N_("stopped in {targets}"), targets=", ".join(stopped.targets))


@click.command("resume", help=N_("End the stops in an area before their time. What a stop cancelled stays cancelled."))
@click.argument("selection", nargs=-1, required=True, metavar=N_("SELECTION..."))
@click.option("--bulletin", default="", help=N_("only the stop of this one"))
@click.option("--reason", required=True, help=N_("why; goes on record"))
@click.pass_context
def resume_verb(ctx: click.Context, selection: tuple[str, ...], bulletin: str, reason: str) -> None:
    call = session(ctx)
    resumed = call.ask(RESUME, Resume(" ".join(selection), reason, bulletin))
    for line in bulletins.resumed_lines(resumed, call.translate):
        click.echo(line)


@click.command("bulletins", help=N_("Bulletins and their states, newest first."))
@click.option("--search", default="", metavar=N_("WORDS"), help=N_("all of them occur in it; accents do not count"))
@click.option("--state", type=click.Choice(list(BULLETIN_STATES)), default=None, help=N_("only in this state"))
@click.option("--origin", default="", metavar=N_("UNIT"), help=N_("only of this unit"))
@click.option("--since", metavar=N_("TIME"), help=N_("handed in since: 17:00, or 2024-10-01T17:00"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def bulletins_verb(
    ctx: click.Context, search: str, state: str | None, origin: str, since: str | None, as_json: bool
) -> None:
    call = session(ctx)
    from_ = past(since, call.now(), call.translate) if since else 0
    rows = _pages(call, Find(search, state or "", origin, from_))
    if as_json:
        emit_json({"bulletins": [bulletins.bulletin_json(row) for row in rows]})
        return
    shown_any = False
    for row in rows:
        shown_any = True
        click.echo(bulletins.bulletin_line(row, call.translate))
    if not shown_any:
        call.say(N_("no bulletins"))


def _pages(call: Session, find: Find) -> Iterator[BulletinRow]:
    """All that is meant, asked for page by page."""
    while True:
        page = call.ask(BULLETINS, find)
        yield from page.bulletins
        if not page.more:
            return
        find = replace(find, before=page.bulletins[-1].id)


@click.command("report", help=N_("Who heard a bulletin, who did not, and whom to call there."))
@click.argument("bulletin", metavar=N_("BULLETIN"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def report_verb(ctx: click.Context, bulletin: str, as_json: bool) -> None:
    call = session(ctx)
    answer = call.ask(REPORT, BulletinId(bulletin))
    if as_json:
        emit_json(bulletins.report_json(answer))
        return
    for line in bulletins.report_lines(answer, call.translate):
        click.echo(line)
