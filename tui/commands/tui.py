"""The verb that opens the screens."""

from __future__ import annotations

import sys

import click

from inventory.diagnostics import Diagnostic
from nms.i18n import N_
from tui.commands.context import session


@click.command("tui", help=N_("The operator's screens."))
@click.pass_context
def tui_verb(ctx: click.Context) -> None:
    from tui.app import LoaApp
    from tui.signing import sign
    from tui.views.times import milliseconds

    call = session(ctx)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError(call.translate(N_("the screens need a terminal; here use: loa status")))

    def signer(body: str) -> str | Diagnostic:
        return sign(call.settings.keys, body, milliseconds(call.now()))

    LoaApp(call.gateway(), call.translate, signer).run()
