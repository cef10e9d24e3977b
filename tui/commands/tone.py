"""The verb that has a loudspeaker try itself out: tone."""

from __future__ import annotations

import click

from nms.i18n import N_
from tui.commands.context import FAILED, emit_json, session
from tui.site_methods import TRY, Try


@click.command("tone", help=N_("Have a loudspeaker sound a test tone of two seconds; it answers what came of it."))
@click.argument("device", metavar=N_("DEVICE"))
@click.option("--silent", is_flag=True, help=N_("the same way without any sound, at night too"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def tone_verb(ctx: click.Context, device: str, silent: bool, as_json: bool) -> None:
    from tui.views.words import PLAYED, REASONS

    call = session(ctx)
    tried = call.ask(TRY, Try(device, silent))
    if as_json:
        emit_json({"device": device, "result": tried.result, "reason": tried.reason, "level_dbfs": tried.level})
    else:
        words = [call.translate(PLAYED.get(tried.result, tried.result))]
        if tried.reason:
            words.append(call.translate(REASONS.get(tried.reason, tried.reason)))
        if tried.level is not None:
            words.append(f"{tried.level:.1f} dBFS")
        click.echo(f"{device}  {', '.join(words)}")
    if not tried.passed:
        raise click.exceptions.Exit(FAILED)
