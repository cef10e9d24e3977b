"""The verb of the programme grid: ``show`` reads the inventory, and the hub if it runs; ``sign`` asks the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inventory.model import UnitId
from nms.i18n import N_
from tui.commands.context import FAILED, Session, emit_json, session, show_problems

if TYPE_CHECKING:
    from tui.grid_methods import DayRows

NO_HUB = ("CFG101", "CFG103")


@click.command(
    "grid",
    help=N_(
        "The weekly programme. show UNIT: a commune's day, why each item is there and what was displaced. sign UNIT: "
        "hand in the relays that the unit declares, so that its leader can approve them."
    ),
)
@click.argument("action", type=click.Choice(["show", "sign"]))
@click.argument("unit", metavar=N_("UNIT"))
@click.option("--on", metavar=N_("DATE"), help=N_("the day to show; 2024-10-01"))
@click.option("--authority", default="", help=N_("document number and date, or by whose order; for sign"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def grid_verb(ctx: click.Context, action: str, unit: str, on: str | None, authority: str, as_json: bool) -> None:
    call = session(ctx)
    if (action == "sign" and on is not None) or (action == "show" and authority):
        raise click.UsageError(call.translate(N_("--on is for show, --authority for sign")))
    if action == "sign":
        _sign(call, unit, authority, as_json)
    else:
        _show(call, unit, on, as_json)


def _show(call: Session, unit: str, on: str | None, as_json: bool) -> None:
    from tui.views import grid

    network = call.network()
    day = call.on(on, network)
    known = UnitId(unit)
    if network.successor(known, day) != known:
        message = call.translate(N_("no unit '{id}' on {date}; see: loa units")).format(id=unit, date=day.isoformat())
        raise click.UsageError(message)
    placed = _placed(call, unit, day.isoformat())
    shown = grid.unit_day(network, known, day)
    if as_json:
        emit_json(grid.day_json(shown, placed))
        return
    for line in grid.day_lines(network, shown, placed, call.translate):
        click.echo(line)
    if placed is None:
        click.echo(call.translate(N_("the hub is not running: bulletins and signatures are not shown")), err=True)


def _placed(call: Session, unit: str, day: str) -> DayRows | None:
    """What the hub has placed; None where there is no hub to ask."""
    from tui.gateway import HubError, ask
    from tui.grid_methods import GRID_DAY, UnitDay

    try:
        return ask(call.gateway(), GRID_DAY, UnitDay(unit, day))
    except HubError as error:
        if all(problem.code in NO_HUB for problem in error.problems):
            return None
        show_problems(error.problems, call.translate)
        raise click.exceptions.Exit(FAILED) from None


def _sign(call: Session, unit: str, authority: str, as_json: bool) -> None:
    from tui.grid_methods import GRID_SIGN, HandIn

    made = call.ask(GRID_SIGN, HandIn(unit, authority)).bulletins
    if as_json:
        emit_json({"bulletins": made})
        return
    for bulletin in made:
        click.echo(bulletin)
    if made:
        call.say(N_("{count} relays wait for approval: loa approve NUMBER"), count=len(made))
    else:
        call.say(N_("every relay of this unit is signed or waits for approval"))
