"""The verb that opens the screens."""

from __future__ import annotations

import click

from tui.commands.context import session


@click.command("tui", help="The operator's screens.")
@click.pass_context
def tui_verb(ctx: click.Context) -> None:
    from tui.app import LoaApp

    call = session(ctx)
    LoaApp(call.gateway(), call.translate).run()
