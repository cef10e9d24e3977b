"""Verbs that ask the hub what is: status, events."""

from __future__ import annotations

import click

from nms.i18n import N_
from tui.commands.context import UNREACHABLE, emit_json, past, session
from tui.methods import DEVICES, EVENTS, OVERVIEW, Nothing, Select, Since
from tui.views import status
from tui.views.times import rfc3339

LOST = ("down", "unreachable")


@click.command(
    "status", help=N_("The province at a glance, or the devices of a selection. Ends with 4 if any is lost.")
)
@click.argument("selection", nargs=-1, metavar=N_("[SELECTION]..."))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def status_verb(ctx: click.Context, selection: tuple[str, ...], as_json: bool) -> None:
    call = session(ctx)
    if not selection:
        overview = call.ask(OVERVIEW, Nothing())
        if as_json:
            emit_json(status.overview_json(overview))
        else:
            for line in status.overview_lines(overview, call.translate):
                click.echo(line)
        lost = sum(n for state, n in status.totals(overview).items() if state in LOST)
    else:
        rows = call.ask(DEVICES, Select(" ".join(selection))).devices
        if as_json:
            emit_json({"devices": [status.device_json(row) for row in rows]})
        else:
            for row in rows:
                click.echo(status.device_line(row, call.translate))
            call.say(N_("{count} devices"), count=len(rows))
        lost = sum(row.state in LOST for row in rows)
    if lost:
        raise click.exceptions.Exit(UNREACHABLE)


@click.command("events", help=N_("What changed."))
@click.option("--since", metavar=N_("TIME"), help=N_("17:00, or 2024-10-01T17:00; the last hour if not given"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def events_verb(ctx: click.Context, since: str | None, as_json: bool) -> None:
    call = session(ctx)
    rows = call.ask(EVENTS, Since(past(since, call.now(), call.translate))).events
    if as_json:
        emit_json(
            {
                "events": [
                    {
                        "id": row.id,
                        "at": rfc3339(row.at),
                        "subject": row.subject,
                        "kind": row.kind,
                        "from": row.before,
                        "to": row.after,
                        "cause": row.cause,
                    }
                    for row in rows
                ]
            }
        )
        return
    for row in rows:
        click.echo(status.event_line(row, call.translate))
