"""Verbs of a bulletin's life and of a commune's own programme: edit, bulletin, offers, pick, order."""

from __future__ import annotations

import base64
from pathlib import Path

import click

from nms.i18n import N_
from tui.commands.context import emit_json, existing, fail, parse_time, session
from tui.commands.push import SESSION, gap
from tui.desk_methods import BULLETIN, EDIT, OFFERS, ORDER, PICK, Edit, Order, Pick, UnitId
from tui.methods import BulletinId
from tui.views import bulletins, desk
from tui.views.times import milliseconds, rfc3339, shown
from tui.views.words import CLASSES


@click.command("edit", help=N_("Change a bulletin. What a leader signed becomes its next version."))
@click.argument("bulletin", metavar=N_("BULLETIN"))
@click.option("--title", help=N_("its name in lists; it is not spoken"))
@click.option("--text", help=N_("text to be spoken"))
@click.option("--audio", metavar=N_("FILE"), help=N_("a recording: anything ffmpeg reads"))
@click.option("--class", "cls", type=click.Choice(list(CLASSES)), default=None, help=N_("class of the bulletin"))
@click.option("--to", "audience", metavar=N_("SELECTION"), help=N_("who hears it"))
@click.option("--now/--in-session", "play_now", default=None, help=N_("as soon as the air is free, or in sessions"))
@click.option("--repeats", type=click.IntRange(1, 20), default=None, help=N_("how often it is heard"))
@click.option("--every", metavar=N_("GAP"), help=N_("between two of the repeats: 2h, 1d, or session (one in each)"))
@click.option("--until", metavar=N_("TIME"), help=N_("valid until"))
@click.option("--volume", type=click.IntRange(1, 100), default=None, help=N_("percent; the devices' own ceilings hold"))
@click.option("--authority", help=N_("document number and date, or by whose order"))
@click.option("--supplier", help=N_("the agency that supplied it"))
@click.option("--field", help=N_("what it is about: health, farming, …"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def edit_verb(
    ctx: click.Context,
    bulletin: str,
    title: str | None,
    text: str | None,
    audio: str | None,
    cls: str | None,
    audience: str | None,
    play_now: bool | None,
    repeats: int | None,
    every: str | None,
    until: str | None,
    volume: int | None,
    authority: str | None,
    supplier: str | None,
    field: str | None,
    as_json: bool,
) -> None:
    call = session(ctx)
    if text is not None and audio is not None:
        raise click.UsageError(call.translate(N_("give either --text or --audio")))
    wanted = Edit(
        bulletin=bulletin,
        title=title,
        text=text,
        audio=base64.b64encode(existing(audio, call.translate).read_bytes()).decode() if audio else "",
        audio_name=Path(audio).name if audio else "",
        cls=cls,
        audience=audience,
        valid_until=milliseconds(parse_time(until, call.now(), call.translate)) if until else None,
        play_now=play_now,
        repeats=repeats,
        every=gap(every, call.translate) if every else None,
        by_session=True if every == SESSION else None,
        volume=volume,
        authority=authority,
        supplier=supplier,
        field=field,
    )
    made = call.ask(EDIT, wanted)
    if as_json:
        emit_json(
            {"bulletin": made.bulletin, "version": made.version, "waiting": made.waiting, "changed": made.changed}
        )
        return
    click.echo(made.bulletin)
    said = N_("version {version} waits for approval: {changed}") if made.waiting else N_("changed: {changed}")
    changed = desk.fields(made.changed, call.translate)
    click.echo(call.translate(said).format(version=made.version, changed=changed), err=True)


@click.command("bulletin", help=N_("Everything known of a bulletin: versions, approvals, starts, who heard it."))
@click.argument("bulletin", metavar=N_("BULLETIN"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def bulletin_verb(ctx: click.Context, bulletin: str, as_json: bool) -> None:
    call = session(ctx)
    found = call.ask(BULLETIN, BulletinId(bulletin))
    if as_json:
        emit_json(desk.bulletin_json(found))
        return
    for line in desk.bulletin_lines(found, call.translate):
        click.echo(line)


@click.command("offers", help=N_("Normal bulletins of higher tiers that a commune may pick."))
@click.argument("unit", metavar=N_("UNIT"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def offers_verb(ctx: click.Context, unit: str, as_json: bool) -> None:
    call = session(ctx)
    rows = call.ask(OFFERS, UnitId(unit)).bulletins
    if as_json:
        emit_json({"offers": [bulletins.bulletin_json(row) for row in rows]})
        return
    for row in rows:
        click.echo(bulletins.bulletin_line(row, call.translate))
    if not rows:
        call.say(N_("nothing is on offer"))


@click.command("pick", help=N_("Air an offered bulletin in a commune, in its next session with room."))
@click.argument("bulletin", metavar=N_("BULLETIN"))
@click.option("--unit", required=True, metavar=N_("UNIT"), help=N_("the commune that picks it"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def pick_verb(ctx: click.Context, bulletin: str, unit: str, as_json: bool) -> None:
    call = session(ctx)
    picked = call.ask(PICK, Pick(unit, bulletin))
    if as_json:
        emit_json({"starts": {u: rfc3339(t) for u, t in picked.starts.items()}, "homeless": picked.homeless})
        return
    call.say(N_("picked; first start {first}"), first=shown(min(picked.starts.values())))
    if picked.homeless:
        communes = ", ".join(picked.homeless)
        fail(call.translate(N_("no room within its validity in: {communes}")).format(communes=communes))


@click.command("order", help=N_("Put one priority bulletin before another in a commune. The commune decides it."))
@click.argument("unit", metavar=N_("UNIT"))
@click.argument("bulletin", metavar=N_("BULLETIN"))
@click.option("--before", required=True, metavar=N_("BULLETIN"), help=N_("the one that comes after it"))
@click.option("--json", "as_json", is_flag=True, help=N_("for programs"))
@click.pass_context
def order_verb(ctx: click.Context, unit: str, bulletin: str, before: str, as_json: bool) -> None:
    call = session(ctx)
    items = call.ask(ORDER, Order(unit, bulletin, before)).items
    if as_json:
        emit_json({"order": [{"bulletin": i.bulletin, "title": i.title, "start": rfc3339(i.start)} for i in items]})
        return
    for item in items:
        click.echo(f"{shown(item.start)}  {item.bulletin}  {item.title}")
