"""Verbs that change devices and show what was changed: apply, rollouts."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

import click

from inventory.diagnostics import Diagnostic
from inventory.model import UnitId
from inventory.names import fold
from nms.i18n import N_
from nms.provision import planfile
from nms.provision.rollout import HARMED
from nms.provision.values import Outcome, Plan
from tui.apply_methods import (
    APPLY,
    APPLY_PAUSE,
    APPLY_RESUME,
    ROLLOUT,
    ROLLOUTS,
    Apply,
    Last,
    Named,
    RolloutRow,
    TreatedRow,
)
from tui.commands.context import (
    DONE,
    FAILED,
    UNREACHABLE,
    Session,
    emit_json,
    report,
    session,
    show_problems,
)
from tui.commands.plan import fetched, paint
from tui.gateway import HubError
from tui.plan_methods import Ask
from tui.views import apply as view
from tui.views import plan as plan_view

MANY = 10
"""Devices above which the area's name must be typed."""
YES = ("có", "co", "yes")


@click.command(
    "apply",
    help=N_(
        "Change devices: exactly as a saved plan says, or after showing a plan and asking. Ctrl-C finishes the present "
        "wave. Ends with 1 if a device failed or was lost, with 4 if some are deferred."
    ),
)
@click.argument("what", nargs=-1, metavar=N_("[PLANFILE | SELECTION...]"))
@click.option("--yes", is_flag=True, help=N_("do not ask"))
@click.option("--resume", metavar=N_("ID"), help=N_("go on with a roll-out that was paused or interrupted"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def apply_verb(ctx: click.Context, what: tuple[str, ...], yes: bool, resume: str | None, as_json: bool) -> None:
    call = session(ctx)
    if resume is not None:
        if what:
            raise click.UsageError(call.translate(N_("--resume takes no plan and no selection")))
        begun = call.ask(APPLY_RESUME, Named(resume)).rollout
    else:
        begun = call.ask(APPLY, Apply(_planned(call, what, yes, as_json))).rollout
    if not begun:
        call.say(N_("No changes."))
        return
    raise click.exceptions.Exit(followed(call, begun, as_json, ours=True))


@click.command("rollouts", help=N_("What was rolled out, by whom, with which result; one of them device by device."))
@click.argument("rollout", required=False, metavar=N_("[ID]"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def rollouts_verb(ctx: click.Context, rollout: str | None, as_json: bool) -> None:
    call = session(ctx)
    if rollout is not None:
        followed(call, rollout, as_json, ours=False)
        return
    rows = call.ask(ROLLOUTS, Last()).rollouts
    if as_json:
        emit_json({"rollouts": [view.rollout_json(row) for row in rows]})
        return
    for row in rows:
        click.echo(view.rollout_line(row, call.translate))
    if not rows:
        call.say(N_("no roll-outs"))


# --- the plan ---------------------------------------------------------------------------------------------------------


def _planned(call: Session, what: tuple[str, ...], yes: bool, as_json: bool) -> str:
    """The text of the plan: a file's as it stands, or a new one that somebody has agreed to."""
    if len(what) == 1 and Path(what[0]).is_file():
        return Path(what[0]).read_text(encoding="utf-8", errors="replace")
    selection = " ".join(what)
    text = fetched(call, Ask(selection))
    plan = planfile.loads(text, "")
    if isinstance(plan, Diagnostic):
        report((plan,), call.translate)
        raise click.exceptions.Exit(FAILED)
    for line in plan_view.plan_lines(plan, call.translate, call.now(), paint()):
        click.echo(line, err=as_json)
    if not yes and any(d.changes or not d.known for d in plan.devices):
        _agree(call, plan, selection)
    return text


def _agree(call: Session, plan: Plan, selection: str) -> None:
    """Asks; a change of many devices by the name of their area."""
    if not sys.stdin.isatty():
        raise click.UsageError(call.translate(N_("nobody can be asked here: give --yes")))
    count = sum(1 for d in plan.devices if d.changes or not d.known)
    area = _area(call, selection) if count > MANY else ""
    if area:
        question = call.translate(N_("{count} devices. To change them, type the area's name ({area})"))
    else:
        question = call.translate(N_("{count} devices. Change them? Type 'yes'"))
    answer = fold(click.prompt(question.format(count=count, area=area), default="", show_default=False))
    if answer != fold(area) if area else answer not in map(fold, YES):
        call.say(N_("Nothing was changed."))
        raise click.exceptions.Exit(FAILED)


def _area(call: Session, selection: str) -> str:
    from inventory.select import Selection, parse

    network = call.network()
    parsed = parse(selection, network)
    units = parsed.units if isinstance(parsed, Selection) else None
    unit = network.units[UnitId(units[0] if units and len(units) == 1 else network.province)]
    return unit.aliases[0] if unit.aliases else unit.name


# --- following --------------------------------------------------------------------------------------------------------


def followed(call: Session, rollout: str, as_json: bool, *, ours: bool) -> int:
    """Shows a roll-out until it ends; its exit code. ``ours``: Ctrl-C stops it after the present wave."""
    try:
        row, devices = asyncio.run(_follow(call, rollout, as_json, ours))
    except HubError as error:
        show_problems(error.problems, call.translate)
        raise click.exceptions.Exit(FAILED) from None
    if as_json:
        emit_json({"rollout": view.rollout_json(row), "devices": [view.device_json(d) for d in devices.values()]})
    else:
        for line in view.end_lines(row, devices, call.translate):
            click.echo(line)
    return _code(row)


async def _follow(
    call: Session, rollout: str, as_json: bool, ours: bool
) -> tuple[RolloutRow, Mapping[str, TreatedRow]]:
    devices: dict[str, TreatedRow] = {}
    row: RolloutRow | None = None
    async with _pausing(call, rollout if ours else ""), aclosing(call.gateway().watch(ROLLOUT, Named(rollout))) as news:
        async for progress in news:
            row = progress.row
            for device in progress.devices:
                fresh = devices.get(device.device) != device
                devices[device.device] = device
                if fresh and (device.outcome != Outcome.WAITING or not ours):
                    click.echo(view.device_line(device, call.translate, paint()), err=as_json)
    assert row is not None
    return row, devices


@asynccontextmanager
async def _pausing(call: Session, rollout: str) -> AsyncIterator[None]:
    """The first Ctrl-C asks the hub to stop after the present wave; the second leaves it to itself."""
    loop, asked = asyncio.get_running_loop(), list[asyncio.Task[None]]()

    def pause() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        message = N_("The present wave is finished, then the roll-out stops. Ctrl-C again: leave it to the hub.")
        click.echo(call.translate(message), err=True)
        asked.append(loop.create_task(_pause(call, rollout)))

    if rollout:
        loop.add_signal_handler(signal.SIGINT, pause)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        for task in asked:
            task.cancel()


async def _pause(call: Session, rollout: str) -> None:
    with suppress(HubError):  # it has ended meanwhile
        await call.gateway().ask(APPLY_PAUSE, Named(rollout))


def _code(row: RolloutRow) -> int:
    left = ("waiting", "running", "untouched")
    if any(row.outcomes.get(outcome) for outcome in (*HARMED, *left)):
        return FAILED
    return UNREACHABLE if row.outcomes.get(Outcome.DEFERRED) else DONE
