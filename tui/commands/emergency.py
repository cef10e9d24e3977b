"""Verbs of emergencies: emergency (from a script), correct, all-clear, scripts."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click

from inventory.diagnostics import Diagnostic
from nms.i18n import N_
from tui.commands.context import FAILED, Session, emit_json, report, session, show_problems
from tui.emergency_methods import CALL, CALL_PREVIEW, FOLLOW, SCRIPTS, Call, CallPreview, Follow
from tui.gateway import HubError, ask
from tui.methods import ALL_CLEAR, APPROVE, BODY, Approve, BulletinId, Nothing
from tui.signing import sign
from tui.views import emergency as views
from tui.views.times import milliseconds

WORDLESS = "BUL069"


@click.command("scripts", help=N_("Pre-approved emergencies and drills, with their blanks."))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def scripts_verb(ctx: click.Context, as_json: bool) -> None:
    call = session(ctx)
    rows = call.ask(SCRIPTS, Nothing()).scripts
    if as_json:
        found = [{"id": r.id, "title": r.title, "class": r.cls, "text": r.text, "blanks": r.blanks} for r in rows]
        emit_json({"scripts": found})
        return
    for row in rows:
        click.echo(views.script_line(row, call.translate))
        click.echo(f"  {row.text}")
    if not rows:
        call.say(N_("no scripts: write scripts.yaml"))


@click.command(
    "emergency", help=N_("Send an emergency or drill from a script: shows whom it reaches, asks, signs, sends.")
)
@click.option("--script", required=True, metavar=N_("SCRIPT"), help=N_("one of: loa scripts"))
@click.option("--area", required=True, metavar=N_("UNIT"), help=N_("one commune, one district or the province"))
@click.option("--set", "pairs", multiple=True, metavar=N_("BLANK=WORDS"), help=N_("fills a blank of the script"))
@click.option("--yes", "typed", default="", metavar=N_("NAME"), help=N_("the area's name, where nobody can be asked"))
@click.option("--preview", is_flag=True, help=N_("only say who would hear it"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def emergency_verb(
    ctx: click.Context, script: str, area: str, pairs: tuple[str, ...], typed: str, preview: bool, as_json: bool
) -> None:
    call = session(ctx)
    wanted = Call(script, area, _values(call, pairs))
    seen = call.ask(CALL_PREVIEW, wanted)
    _show(call, seen, as_json=as_json and preview)
    if seen.problems:
        raise click.exceptions.Exit(FAILED)
    if preview:
        return
    made = call.ask(CALL, Call(script, area, wanted.values, typed or _typed(call, seen)))
    if as_json:
        emit_json({"bulletin": made.bulletin, "on_air": seen.alone})
    else:
        click.echo(made.bulletin)
    if seen.alone:
        _send(call, made.bulletin)
        call.tell(N_("on the air"))
    else:
        call.tell(N_("waiting for a second person: loa approve {bulletin}"), bulletin=made.bulletin)


def _values(call: Session, pairs: tuple[str, ...]) -> Mapping[str, str]:
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.UsageError(call.translate(N_("'{text}' is not BLANK=WORDS")).format(text=pair))
        values[name.strip()] = value.strip()
    return values


def _show(call: Session, seen: CallPreview, *, as_json: bool) -> None:
    if as_json:
        emit_json(views.preview_json(seen))
    else:
        for line in views.preview_lines(seen, call.translate):
            click.echo(line, err=True)
    show_problems((*seen.warnings, *seen.problems), call.translate)


def _typed(call: Session, seen: CallPreview) -> str:
    """Ask for the area's name; without a terminal there is nobody to ask."""
    if not sys.stdin.isatty():
        message = call.translate(N_("nobody to ask here: look at --preview, then use --yes {word}"))
        raise click.UsageError(message.format(word=f'"{seen.word}"'))
    typed: str = click.prompt(views.typed_line(seen, call.translate), err=True)
    return typed


def _send(call: Session, bulletin: str) -> bool:
    """Sign in this process and hand in; False, with the reason on stderr, where the unit's key is not here."""
    body = call.ask(BODY, BulletinId(bulletin))
    signed = sign(call.settings.keys, body.body, milliseconds(call.now()))
    if isinstance(signed, Diagnostic):
        report((signed,), call.translate)
        return False
    call.ask(APPROVE, Approve(bulletin, signed))
    return True


@click.command("correct", help=N_("Say that an emergency was wrong, once, to those who heard it; it ends at once."))
@click.argument("bulletin", metavar=N_("BULLETIN"))
@click.option("--text", default="", help=N_("the words; the script's own if not given"))
@click.pass_context
def correct_verb(ctx: click.Context, bulletin: str, text: str) -> None:
    call = session(ctx)
    made = call.ask(FOLLOW, Follow(bulletin, "correction", text))
    if not _send(call, made.bulletin):
        raise click.exceptions.Exit(FAILED)
    click.echo(made.bulletin)
    call.tell(N_("ended; the correction is said where the alarm was heard"))


@click.command("all-clear", help=N_("End an emergency, with words to those who heard it; the programme goes on."))
@click.argument("bulletin", metavar=N_("BULLETIN"))
@click.option("--text", default="", help=N_("the words; the script's own if not given"))
@click.pass_context
def all_clear_verb(ctx: click.Context, bulletin: str, text: str) -> None:
    call = session(ctx)
    try:
        made = ask(call.gateway(), FOLLOW, Follow(bulletin, "all_clear", text))
    except HubError as error:
        if [p.code for p in error.problems] != [WORDLESS]:
            show_problems(error.problems, call.translate)
            raise click.exceptions.Exit(FAILED) from None
    else:
        if _send(call, made.bulletin):
            click.echo(made.bulletin)
            call.tell(N_("ended; the all-clear is said where the alarm was heard"))
            return
    # without words or the key to sign them it ends all the same
    cleared = call.ask(ALL_CLEAR, BulletinId(bulletin))
    call.say(N_("ended in {targets}"), targets=", ".join(cleared.targets))
