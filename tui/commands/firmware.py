"""The verb of the receiver's program: which one the hub hands out. It needs no hub."""

from __future__ import annotations

from pathlib import Path

import click

from nms.i18n import N_
from tui.commands.context import emit_json, existing, fail, session


@click.command(
    "firmware",
    help=N_("Which receiver's program devices get. WHEEL puts a new one in: loa plan then shows whom it changes."),
)
@click.argument("wheel", required=False, metavar=N_("WHEEL"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def firmware_verb(ctx: click.Context, wheel: str | None, as_json: bool) -> None:
    from nms.provision.artifacts import RECEIVER, ArtifactStore, receiver
    from tui.provisioning import ARTIFACTS

    call = session(ctx)
    store = ArtifactStore(call.settings.state_dir / ARTIFACTS)
    try:
        if wheel is not None:
            path: Path = existing(wheel, call.translate)
            data = path.read_bytes()
            store.add(RECEIVER, data, receiver(data), path.name)
        known = store.all().get(RECEIVER)
    except (OSError, ValueError) as error:
        fail(call.translate(N_("the hub's artifacts: {problem}")).format(problem=error))
    if as_json:
        named = (
            {"version": known.version, "sha256": known.sha256, "file": known.file, "size": known.size}
            if known
            else None
        )
        emit_json({"receiver": named})
    elif known is None:
        fail(call.translate(N_("the hub has no receiver's program yet: loa firmware WHEEL")))
    else:
        call.say(
            N_("receiver {version}, {sha}, from {file}"), version=known.version, sha=known.sha256[:12], file=known.file
        )
