"""The as-run log: what was heard on a day, or each receipt since a time."""

from __future__ import annotations

from pathlib import Path

import click

from nms.i18n import N_
from tui.commands.context import FAILED, Session, emit_json, fail, parse_date, past, session

BYS = ("unit", "tier", "bulletin")


@click.command(
    "asrun",
    help=N_("What was to be heard on a day, what was, what was not and why; or each receipt since a time."),
)
@click.argument("selection", nargs=-1, metavar=N_("[SELECTION]..."))
@click.option("--date", "day", metavar=N_("DATE"), help=N_("the day, 2024-10-01; today if not given"))
@click.option("--by", type=click.Choice(BYS), default="unit", show_default=True, help=N_("what a line is about"))
@click.option("--csv", "file", metavar=N_("FILE"), help=N_("write the lines for a spreadsheet"))
@click.option("--since", metavar=N_("TIME"), help=N_("each receipt since then: 17:00, or 2024-10-01T17:00"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def asrun_verb(
    ctx: click.Context,
    selection: tuple[str, ...],
    day: str | None,
    by: str,
    file: str | None,
    since: str | None,
    as_json: bool,
) -> None:
    call = session(ctx)
    if since is not None:
        if selection or day or file:
            raise click.UsageError(call.translate(N_("--since lists receipts: only --json goes with it")))
        _receipts(call, since, as_json)
        return
    from audio.daybook import By
    from tui.asrun_methods import AS_RUN_DAY, AsRunDay
    from tui.views import asrun as view

    wanted = parse_date(day, call.translate).isoformat() if day else ""
    log = call.ask(AS_RUN_DAY, AsRunDay(wanted, " ".join(selection), By(by)))
    if file is not None:
        try:
            # spreadsheets take UTF-8 for what it is only with its mark
            with Path(file).open("w", encoding="utf-8-sig", newline="") as out:
                view.write_csv(log, out, call.translate)
        except OSError as error:
            message = call.translate(N_("{path} cannot be written: {reason}"))
            fail(message.format(path=file, reason=error.strerror), FAILED)
    if as_json:
        emit_json(view.document(log))
        return
    for line in view.lines(log, call.translate):
        click.echo(line)


def _receipts(call: Session, since: str, as_json: bool) -> None:
    from tui.methods import AS_RUN, Since
    from tui.views import bulletins

    rows = call.ask(AS_RUN, Since(past(since, call.now(), call.translate))).receipts
    if as_json:
        emit_json({"receipts": [bulletins.as_run_json(row) for row in rows]})
        return
    for row in rows:
        click.echo(bulletins.as_run_line(row, call.translate))
