"""Verbs that say what is heard: push, approve, return, stop, resume, bulletins, report."""

from __future__ import annotations

import asyncio
import base64
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic

import click

from inventory.diagnostics import Diagnostic, Severity
from nms.i18n import N_, decimal
from tui.commands.context import (
    FAILED,
    Session,
    emit_json,
    existing,
    fail,
    parse_time,
    past,
    report,
    session,
    show_problems,
)
from tui.commands.live import length
from tui.gateway import HubError
from tui.handing_in import Making, hand_in, making_line
from tui.methods import (
    APPROVE,
    BODY,
    BULLETINS,
    PREVIEW,
    REPORT,
    RESUME,
    RETURN,
    STOP,
    Approve,
    Body,
    BulletinId,
    BulletinRow,
    Find,
    Preview,
    Push,
    Resume,
    Return,
    Silenced,
    Stop,
    Submitted,
)
from tui.signing import sign
from tui.sound_methods import SOUND
from tui.views import alarms, bulletins
from tui.views.times import milliseconds, rfc3339, shown
from tui.views.words import BULLETIN_STATES, CLASSES

SESSION = "session"
_GAP = re.compile(r"([1-9]\d{0,3})([mhd])")
_MILLISECONDS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


def gap(text: str | None, translate: Callable[[str], str]) -> int:
    """A time between two starts (ms); 0 for none, and for one start in each session."""
    if text is None or text == SESSION:
        return 0
    found = _GAP.fullmatch(text)
    if found is None:
        raise click.UsageError(translate(N_("'{text}' is not a gap such as 90m, 2h, 1d or session")).format(text=text))
    return int(found[1]) * _MILLISECONDS[found[2]]


QUIET_SECONDS = 1.0
"""What is done sooner than that needs no progress."""
SECONDS_A_LINE = 600
"""A tenth of this is a line of progress where the length is not known: every minute of sound."""


@click.command("push", help=N_("Send a bulletin for approval."))
@click.option("--origin", metavar=N_("UNIT"), help=N_("the unit that speaks: 64, 622, 23557"))
@click.option("--on-behalf", metavar=N_("UNIT"), help=N_("the unit below yours that speaks; its own leader approves"))
@click.option(
    "--class",
    "cls",
    type=click.Choice(list(CLASSES)),
    default="normal",
    show_default=True,
    help=N_("class of the bulletin"),
)
@click.option("--title", required=True, help=N_("its name in lists; it is not spoken"))
@click.option("--text", help=N_("text to be spoken"))
@click.option("--audio", metavar=N_("FILE"), help=N_("a recording: anything ffmpeg reads"))
@click.option("--live", metavar=N_("LENGTH"), help=N_("no content yet: a microphone that is open so long (10m)"))
@click.option("--trim", is_flag=True, help=N_("cut the silence before the recording's first sound"))
@click.option(
    "--to", "audience", default="", metavar=N_("SELECTION"), help=N_("who hears it; the unit's whole area by default")
)
@click.option("--now", "play_now", is_flag=True, help=N_("as soon as the air is free, instead of in the next session"))
@click.option("--repeats", type=click.IntRange(1, 20), default=1, show_default=True, help=N_("how often it is heard"))
@click.option("--every", metavar=N_("GAP"), help=N_("between two of the repeats: 2h, 1d, or session (one in each)"))
@click.option("--until", metavar=N_("TIME"), help=N_("valid until"))
@click.option(
    "--volume",
    type=click.IntRange(1, 100),
    default=100,
    show_default=True,
    help=N_("percent; the devices' own ceilings hold"),
)
@click.option("--authority", default="", help=N_("document number and date, or by whose order"))
@click.option("--supplier", default="", help=N_("the agency that supplied it"))
@click.option("--field", default="", help=N_("what it is about: health, farming, …"))
@click.option("--preview", is_flag=True, help=N_("only say who would hear it, and how its text is read"))
@click.option("--sound", metavar=N_("FILE"), help=N_("with --preview: write to FILE (Opus) what would be heard"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def push_verb(
    ctx: click.Context,
    origin: str | None,
    on_behalf: str | None,
    cls: str,
    title: str,
    text: str | None,
    audio: str | None,
    live: str | None,
    trim: bool,
    audience: str,
    play_now: bool,
    repeats: int,
    every: str | None,
    until: str | None,
    volume: int,
    authority: str,
    supplier: str,
    field: str,
    preview: bool,
    sound: str | None,
    as_json: bool,
) -> None:
    call = session(ctx)
    if sound is not None and not preview:
        raise click.UsageError(call.translate(N_("--sound goes with --preview")))
    _one_content(call, text, audio, live)
    if trim and audio is None:
        raise click.UsageError(call.translate(N_("--trim is for recordings")))
    recording = base64.b64encode(existing(audio, call.translate).read_bytes()).decode() if audio else ""
    if (origin is None) == (on_behalf is None):
        raise click.UsageError(call.translate(N_("give either --origin or --on-behalf")))
    push = Push(
        origin=origin or on_behalf or "",
        cls=cls,
        title=title,
        audience=audience,
        text=text or "",
        audio=recording,
        audio_name=Path(audio).name if audio else "",
        valid_until=milliseconds(parse_time(until, call.now(), call.translate)) if until else 0,
        play_now=play_now,
        repeats=repeats,
        volume=volume,
        authority=authority,
        trim=trim,
        supplier=supplier,
        field=field,
        every=gap(every, call.translate),
        by_session=every == SESSION,
        on_behalf=on_behalf is not None,
        live=length(live, call),
    )
    if preview:
        _preview(call, call.ask(PREVIEW, push), as_json)
        if sound is not None:
            _listen(call, push, Path(sound))
        return
    made = _handed_in(call, push)
    if push.live and not as_json:
        click.echo(made.bulletin)
        call.tell(N_("a microphone, open for {seconds} s, waiting for approval"), seconds=decimal(made.duration / 1000))
        return
    _made(call, made, as_json)


def _one_content(call: Session, text: str | None, audio: str | None, live: str | None) -> None:
    if (text, audio, live).count(None) != 2:
        raise click.UsageError(call.translate(N_("give one of --text, --audio and --live")))


def _made(call: Session, made: Submitted, as_json: bool) -> None:
    show_problems(made.warnings, call.translate, Severity.WARNING)
    if as_json:
        length, cut = made.duration / 1000, made.cut / 1000
        emit_json({"bulletin": made.bulletin, "seconds": length, "cut": cut, "lufs": made.loudness or None})
        return
    click.echo(made.bulletin)
    if made.cut:
        message = call.translate(N_("{seconds} s of silence cut from the beginning"))
        click.echo(message.format(seconds=decimal(made.cut / 1000)), err=True)
    seconds, loudness = decimal(made.duration / 1000), decimal(made.loudness)
    message = call.translate(N_("{seconds} s at {loudness} LUFS ({voice}), waiting for approval"))
    click.echo(message.format(seconds=seconds, loudness=loudness, voice=made.voice), err=True)


def _handed_in(call: Session, push: Push) -> Submitted:
    """The bulletin, with progress on stderr when it takes long; ends with 1 and the hub's reasons if there is none."""
    progress = _Progress(call)
    try:
        return asyncio.run(hand_in(call.gateway(), push, progress.show))
    except HubError as error:
        show_problems(error.problems, call.translate)
        raise click.exceptions.Exit(FAILED) from None
    finally:
        progress.end()


class _Progress:
    """How far the sound is, after the first second: one line that is written over on a terminal, else a line for every
    tenth of a stage.
    """

    def __init__(self, call: Session) -> None:
        self._call = call
        self._terminal = sys.stderr.isatty()
        self._began = monotonic()
        self._last = ("", -1)
        self._open = False

    def show(self, making: Making) -> None:
        tenth = making.stage, int(making.done * 10 // (making.total or SECONDS_A_LINE))
        if monotonic() - self._began < QUIET_SECONDS or (not self._terminal and tenth == self._last):
            return
        self._last = tenth
        line = making_line(making, self._call.translate)
        click.echo(f"\r\x1b[K{line}" if self._terminal else line, err=True, nl=not self._terminal)
        self._open = self._terminal

    def end(self) -> None:
        if self._open:
            click.echo(err=True)


def _preview(call: Session, preview: Preview, as_json: bool) -> None:
    if as_json:
        silenced = [alarms.silenced_json(row) for row in preview.silenced]
        emit_json(
            {
                "devices": preview.devices,
                "lost": preview.lost,
                "communes": preview.communes,
                "silenced": silenced,
                "spoken": preview.spoken,
                "warnings": [{"code": w.code, "fields": dict(w.fields)} for w in preview.warnings],
            }
        )
    else:
        call.say(
            N_("{devices} clusters in {communes} communes, {lost} of them lost now"),
            devices=preview.devices,
            communes=len(preview.communes),
            lost=preview.lost,
        )
        _unheard(call, preview.silenced)
        if preview.spoken:
            click.echo(preview.spoken)
    show_problems(preview.warnings, call.translate, Severity.WARNING)
    if preview.problems:
        show_problems(preview.problems, call.translate)
        raise click.exceptions.Exit(FAILED)


def _listen(call: Session, push: Push, file: Path) -> None:
    """The finished sound as a file of the caller's own; nothing is handed in."""
    made = call.ask(SOUND, push)
    try:
        file.write_bytes(base64.b64decode(made.data))
    except OSError as error:
        fail(call.translate(N_("{path} cannot be written: {reason}")).format(path=file, reason=error.strerror or error))
    seconds, loudness = decimal(made.duration / 1000), decimal(made.loudness)
    message = call.translate(N_("{path}: {seconds} s at {loudness} LUFS ({voice}), not handed in"))
    click.echo(message.format(path=file, seconds=seconds, loudness=loudness, voice=made.voice), err=True)


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
    _unheard(call, body.silenced)
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


def _unheard(call: Session, silenced: tuple[Silenced, ...]) -> None:
    for line in alarms.unheard_lines(silenced, call.translate):
        click.echo(line, err=True)


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
    call.say(N_("no longer stopped in {targets}"), targets=", ".join(resumed.targets))
    for row in resumed.standing:
        message = N_("{place} stays stopped until {until} by {issuer}")
        call.say(message, place=row.place, until=shown(row.until), issuer=row.issuer)


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
