"""The verb that runs the hub."""

from __future__ import annotations

import asyncio

import click

from nms.i18n import N_
from tui.commands.context import FAILED, report, session


@click.command("serve", help=N_("Run the hub until it is told to stop (SIGTERM); SIGHUP reads the inventory again."))
@click.pass_context
def serve_verb(ctx: click.Context) -> None:
    from tui.serve import StartError, serve

    call = session(ctx)
    network = call.network()
    try:
        asyncio.run(serve(call.settings, network))
    except StartError as error:
        report(error.diagnostics, call.translate)
        raise click.exceptions.Exit(FAILED) from None
