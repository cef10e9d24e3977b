"""The verb that opens the screens."""

from __future__ import annotations

import sys

import click

from nms.i18n import N_
from tui.commands.context import session


@click.command("tui", help=N_("The operator's screens."))
@click.pass_context
def tui_verb(ctx: click.Context) -> None:
    from tui.app import LoaApp

    call = session(ctx)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError(call.translate(N_("the screens need a terminal; here use: loa status")))
    LoaApp(call.gateway(), call.translate).run()
