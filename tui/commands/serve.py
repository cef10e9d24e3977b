"""The verb that runs the hub."""

from __future__ import annotations

import asyncio

import click

from nms.i18n import N_
from tui.commands.context import FAILED, report, session


@click.command("serve", help=N_("Run the hub until it is told to stop (SIGTERM); SIGHUP reads the inventory again."))
@click.option(
    "--only", metavar=N_("ROLES"), help=N_("do only this: monitor, playout, socket, exporter; commas between")
)
@click.option("--shard", metavar="I/N", help=N_("poll only part I of N; other processes poll the others"))
@click.pass_context
def serve_verb(ctx: click.Context, only: str | None, shard: str | None) -> None:
    from tui.failure import StartError
    from tui.roles import Misuse, work
    from tui.serve import serve

    call = session(ctx)
    todo = work(only, shard)
    if isinstance(todo, Misuse):
        raise click.UsageError(call.translate(todo.message).format_map(todo.fields))
    network = call.network()
    try:
        asyncio.run(serve(call.settings, network, todo))
    except StartError as error:
        report(error.diagnostics, call.translate)
        raise click.exceptions.Exit(FAILED) from None
