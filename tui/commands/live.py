"""The verb that speaks in a live bulletin."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from typing import TYPE_CHECKING

import click

from nms.i18n import N_
from tui.commands.context import FAILED, Session, report, session, show_problems

if TYPE_CHECKING:
    from tui.live_methods import Speaking
    from tui.speaking import Speaker

_LENGTH = re.compile(r"([1-9]\d{0,3})([smh])")
_MILLISECONDS = {"s": 1_000, "m": 60_000, "h": 3_600_000}
BARS = 20
LOWEST = -60.0
"""LUFS of an empty meter; a full one is 0."""


def length(text: str | None, call: Session) -> int:
    """For how long a microphone is open (ms); 0 for none."""
    if text is None:
        return 0
    found = _LENGTH.fullmatch(text)
    if found is None:
        raise click.UsageError(call.translate(N_("'{text}' is not a length such as 90s, 10m or 1h")).format(text=text))
    return int(found[1]) * _MILLISECONDS[found[2]]


@click.command(
    "live", help=N_("Speak in a live bulletin: on the hub itself, from its planned start on; Ctrl-C ends it.")
)
@click.argument("bulletin", metavar=N_("BULLETIN"))
@click.option(
    "--input",
    "name",
    default="default",
    show_default=True,
    metavar=N_("DEVICE"),
    help=N_("the sound card (ALSA): default, plughw:1,0; or - for sound on stdin, anything ffmpeg reads"),
)
@click.pass_context
def live_verb(ctx: click.Context, bulletin: str, name: str) -> None:
    from audio.faults import fault
    from tui.gateway import HubError, SocketGateway
    from tui.live_methods import Phase, live_socket
    from tui.speaking import PIPE, Input, NoSound, Speaker

    call = session(ctx)
    if os.environ.get("SSH_CONNECTION"):
        report((fault("AUD021", "ssh"),), call.translate)
        raise click.exceptions.Exit(FAILED)
    if name == PIPE and sys.stdin.isatty():
        raise click.UsageError(call.translate(N_("with --input -, the sound comes on stdin, not from the keyboard")))
    show = Show(call)
    gateway = SocketGateway(live_socket(call.settings.socket), call.claim)
    speaker = Speaker(gateway, bulletin, Input(name), show.told, show.level)
    try:
        last = asyncio.run(_until_the_end(speaker))
    except HubError as error:
        show.line_ends()
        show_problems(error.problems, call.translate)
        raise click.exceptions.Exit(FAILED) from None
    except NoSound as error:
        show.line_ends()
        report((error.diagnostic,), call.translate)
        raise click.exceptions.Exit(FAILED) from None
    show.line_ends()
    left = N_("not begun yet: the bulletin stays planned")
    call.say(left if last.phase is Phase.LEFT else N_("over: the microphone is closed"))


async def _until_the_end(speaker: Speaker) -> Speaking:
    """Ctrl-C ends the speech; a second one this program."""
    loop = asyncio.get_running_loop()

    def ends() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        speaker.end()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ends)
    return await speaker.run()


class Show:
    """Where the speech is, a line each; on a terminal also how loud it is, in one line that is written over."""

    def __init__(self, call: Session) -> None:
        self._call = call
        self._terminal = sys.stderr.isatty()
        self._open = False

    def told(self, speaking: Speaking | None) -> None:
        from tui.live_methods import Phase
        from tui.views.times import brief, clock

        self.line_ends()
        if speaking is None:
            self._call.tell(N_("the hub is away: what is said now is not heard; connecting again"))
            return
        if speaking.phase is Phase.ON_AIR:
            until = clock(speaking.until)
            self._call.tell(N_("on the air until {until}: {title}"), until=until, title=speaking.title)
        else:
            start, until = brief(speaking.start), brief(speaking.until)
            message = N_("on the air from {start} to {until}: {title}; speak when it says so")
            self._call.tell(message, start=start, until=until, title=speaking.title)

    def level(self, loudness: float) -> None:
        """LUFS."""
        if self._terminal:
            full = round(max(0.0, min(1.0, 1 - loudness / LOWEST)) * BARS)
            click.echo(f"\r\x1b[K[{'#' * full}{' ' * (BARS - full)}]", err=True, nl=False)
            self._open = True

    def line_ends(self) -> None:
        if self._open:
            click.echo(err=True)
            self._open = False
