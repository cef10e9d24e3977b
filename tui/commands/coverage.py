"""The planner's verb: coverage. It reads the inventory alone and needs no hub."""

from __future__ import annotations

import click

from nms.i18n import N_
from tui.commands.context import emit_json, parse_date, session


@click.command("coverage", help=N_("The year's indicators, recomputed and beside what the plan prints."))
@click.option("--year", type=click.IntRange(2000, 2100), required=True, help=N_("the year of the plan"))
@click.option("--on", metavar=N_("DATE"), help=N_("as of that day, on that day's units"))
@click.option("--districts", is_flag=True, help=N_("also every district"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def coverage_verb(ctx: click.Context, year: int, on: str | None, districts: bool, as_json: bool) -> None:
    from inventory.coverage import coverage
    from tui.views import coverage as view

    call = session(ctx)
    answer = coverage(call.network(), year, parse_date(on, call.translate) if on else None)
    if as_json:
        emit_json(view.document(answer, call.translate))
        return
    for line in view.lines(answer, call.translate, districts=districts):
        click.echo(line)
