"""The verb for what an apply would do: plan."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import aclosing
from pathlib import Path

import click

from inventory.diagnostics import Diagnostic
from nms.i18n import N_, number
from nms.provision import planfile
from nms.provision.values import Plan
from tui.commands.context import (
    FAILED,
    INVALID,
    UNREACHABLE,
    USAGE,
    Session,
    emit_json,
    report,
    session,
    show_problems,
)
from tui.plan_methods import PLAN, Ask, Piece, Refresh
from tui.views import plan as view

PENDING = 3


@click.command(
    "plan",
    help=N_("What would be changed on the devices of a selection. Ends with 4 if some of them cannot be reached."),
)
@click.argument("selection", nargs=-1, metavar=N_("[SELECTION]..."))
@click.option("-o", "--output", metavar=N_("FILE"), help=N_("keep the plan, for: loa apply FILE"))
@click.option("--detailed-exitcode", "detailed", is_flag=True, help=N_("end with 3 if there is something to change"))
@click.option("--refresh", is_flag=True, help=N_("ask every device, also those asked in the last 24 hours"))
@click.option("--drift", is_flag=True, help=N_("only what was changed by hand on the devices"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def plan_verb(
    ctx: click.Context,
    selection: tuple[str, ...],
    output: str | None,
    detailed: bool,
    refresh: bool,
    drift: bool,
    as_json: bool,
) -> None:
    call = session(ctx)
    if drift and output is not None:
        raise click.UsageError(call.translate(N_("--drift is a report and cannot be applied: give no -o")))
    ask = Ask(" ".join(selection), Refresh.ALL if refresh else Refresh.STALE, drift=drift)
    text = fetched(call, ask)
    if output is not None:
        _keep(call, Path(output), text)
    plan = planfile.loads(text, output or "")
    if isinstance(plan, Diagnostic):
        report((plan,), call.translate)
        raise click.exceptions.Exit(FAILED)
    if as_json:
        emit_json({"plan": view.plan_json(plan)})
    else:
        click.echo("\n".join(view.plan_lines(plan, call.translate, call.now(), paint())))
    raise click.exceptions.Exit(_code(plan, detailed))


def fetched(call: Session, ask: Ask) -> str:
    """The text of the plan, with progress on stderr; ends with the hub's reasons when there is none."""
    from tui.gateway import HubError

    try:
        return asyncio.run(_received(call, ask))
    except HubError as error:
        show_problems(error.problems, call.translate)
        codes = {problem.code[:3] for problem in error.problems}
        raise click.exceptions.Exit(INVALID if "INV" in codes else USAGE if "SEL" in codes else FAILED) from None


async def _received(call: Session, ask: Ask) -> str:
    parts: list[str] = []
    progress = Progress(call)
    async with aclosing(call.gateway().watch(PLAN, ask)) as pieces:
        async for piece in pieces:
            progress.show(piece)
            parts.append(piece.text)
    progress.end()
    return "".join(parts)


class Progress:
    """How many devices have answered: one line that is written over on a terminal, else a line for every tenth."""

    def __init__(self, call: Session) -> None:
        self._call = call
        self._terminal = sys.stderr.isatty()
        self._tenth = -1
        self._open = False

    def show(self, piece: Piece) -> None:
        if not piece.asked or piece.text:
            return
        tenth = piece.answered * 10 // piece.asked
        if not self._terminal and tenth == self._tenth:
            return
        self._tenth = tenth
        message = self._call.translate(N_("devices asked: {done} of {all}"))
        line = message.format(done=number(piece.answered), all=number(piece.asked))
        click.echo(f"\r{line}" if self._terminal else line, err=True, nl=not self._terminal)
        self._open = self._terminal

    def end(self) -> None:
        if self._open:
            click.echo(err=True)


def paint() -> view.Paint:
    """Colours on a terminal, unless the environment has NO_COLOR."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return view.plain
    return lambda text, colour: click.style(text, bold=True) if colour == "bold" else click.style(text, fg=colour)


def _keep(call: Session, path: Path, text: str) -> None:
    """Only its owner may read it: a plan shows how devices are set up."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        message = call.translate(N_("{path} cannot be written: {reason}"))
        click.echo(message.format(path=path, reason=error.strerror), err=True)
        raise click.exceptions.Exit(FAILED) from None


def _code(plan: Plan, detailed: bool) -> int:
    """What cannot be planned outweighs what cannot be reached, and that what is to be changed."""
    if any(map(view.broken, plan.devices)):
        return FAILED
    if any(map(view.lost, plan.devices)):
        return UNREACHABLE
    return PENDING if detailed and any(d.changes for d in plan.devices) else 0
