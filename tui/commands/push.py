"""The verb by which a bulletin is handed in, with a preview of who hears it and how it sounds."""

from __future__ import annotations

import asyncio
import base64
import re
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import click

from inventory.diagnostics import Severity
from nms.i18n import N_, decimal
from tui.commands.context import FAILED, Session, emit_json, existing, fail, parse_time, session, show_problems
from tui.commands.live import length
from tui.gateway import HubError
from tui.handing_in import Making, hand_in, making_line
from tui.methods import PREVIEW, Preview, Push, Submitted
from tui.sound_methods import SOUND
from tui.views import alarms
from tui.views.times import milliseconds
from tui.views.words import CLASSES

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
    _one_content(call, text, audio, live, trim)
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
    _made(call, push, _handed_in(call, push), as_json)


def _one_content(call: Session, text: str | None, audio: str | None, live: str | None, trim: bool) -> None:
    if (text, audio, live).count(None) != 2:
        raise click.UsageError(call.translate(N_("give one of --text, --audio and --live")))
    if trim and audio is None:
        raise click.UsageError(call.translate(N_("--trim is for recordings")))


def _made(call: Session, push: Push, made: Submitted, as_json: bool) -> None:
    show_problems(made.warnings, call.translate, Severity.WARNING)
    if as_json:
        length, cut = made.duration / 1000, made.cut / 1000
        emit_json({"bulletin": made.bulletin, "seconds": length, "cut": cut, "lufs": made.loudness or None})
        return
    click.echo(made.bulletin)
    if push.live:
        call.tell(N_("a microphone, open for {seconds} s, waiting for approval"), seconds=decimal(made.duration / 1000))
        return
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
        for line in alarms.unheard_lines(preview.silenced, call.translate):
            click.echo(line, err=True)
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
