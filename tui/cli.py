"""The ``loa`` command: finds the verb, imports only what it needs, and ends with the documented exit code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from gettext import gettext
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nms.i18n import DEFAULT, N_, speak

if TYPE_CHECKING:
    from tui.commands.context import Session

EXIT_CODES = N_(
    "Exit codes: 0 done, 1 failed, 2 usage, 3 changes pending, 4 some devices unreachable, 5 invalid inventory."
)


@dataclass(frozen=True, slots=True)
class Verb:
    """Where a verb's click command lives, and the line that ``--help`` shows without importing it."""

    module: str
    help: str


VERBS: Mapping[str, Verb] = {
    "validate": Verb("inventory", N_("check the inventory: every mistake of every file at once")),
    "show": Verb("inventory", N_("devices of a selection")),
    "units": Verb("inventory", N_("administrative units on a date")),
    "schema": Verb("inventory", N_("JSON Schema of an inventory file, for editors")),
    "profile": Verb("profile", N_("check files that describe device families")),
    "probe": Verb("profile", N_("what a device says over SNMP, raw and normalised")),
    "init": Verb("keys", N_("make a new province folder with its keys")),
    "keys": Verb("keys", N_("make the keys of an existing province folder")),
    "policies": Verb("keys", N_("sign every device's policy with the offline root key")),
    "pki": Verb("pki", N_("certificates of hub and devices: make, give, revoke")),
    "coverage": Verb("coverage", N_("the year's indicators: planned, reached, printed")),
    "plan": Verb("plan", N_("what would be changed on the devices")),
    "apply": Verb("apply", N_("change the devices as a plan says, in waves")),
    "enroll": Verb("enrol", N_("put a new device into service")),
    "pending": Verb("enrol", N_("new devices that announced themselves")),
    "bind": Verb("enrol", N_("put a device that announced itself into service")),
    "replace": Verb("enrol", N_("exchange a device for a spare")),
    "rollouts": Verb("apply", N_("what was changed, by whom, with which result")),
    "serve": Verb("serve", N_("run the hub: monitoring, playout, exporter")),
    "status": Verb("status", N_("what is broken, and what is lost because of it")),
    "events": Verb("status", N_("changes of state since a time")),
    "device": Verb("alarms", N_("everything known of a device")),
    "alarms": Verb("alarms", N_("what is wrong, and whom to call")),
    "ack": Verb("alarms", N_("take an alarm on")),
    "repair": Verb("alarms", N_("open or close a repair order")),
    "silence": Verb("alarms", N_("let nothing be heard from a faulty cluster until it is mended")),
    "unsilence": Verb("alarms", N_("let a silenced cluster be heard again")),
    "maintenance": Verb("alarms", N_("announce work: what is off meanwhile is not lost")),
    "backup": Verb("backup", N_("keep devices' configurations as they are; show what was kept")),
    "restore": Verb("backup", N_("put a modem's configuration back as a backup has it")),
    "grid": Verb("grid", N_("a commune's programme of one day; relays to be signed")),
    "push": Verb("push", N_("send a bulletin for approval")),
    "live": Verb("live", N_("speak in a live bulletin")),
    "approve": Verb("bulletins", N_("approve a bulletin and sign it with the unit's key")),
    "edit": Verb("desk", N_("change a bulletin; what was signed becomes its next version")),
    "return": Verb("bulletins", N_("give a bulletin back to its author")),
    "stop": Verb("bulletins", N_("silence an area now")),
    "resume": Verb("bulletins", N_("end a stop before its time")),
    "scripts": Verb("emergency", N_("pre-approved emergencies and drills")),
    "emergency": Verb("emergency", N_("send an emergency or drill from a script")),
    "correct": Verb("emergency", N_("say that an emergency was wrong")),
    "all-clear": Verb("emergency", N_("end an emergency")),
    "bulletins": Verb("bulletins", N_("bulletins and their states")),
    "bulletin": Verb("desk", N_("everything known of a bulletin: versions, approvals, starts")),
    "offers": Verb("desk", N_("what higher tiers offer a commune")),
    "pick": Verb("desk", N_("air an offered bulletin in a commune")),
    "order": Verb("desk", N_("put one priority bulletin before another in a commune")),
    "report": Verb("bulletins", N_("who heard a bulletin, and who did not")),
    "asrun": Verb("asrun", N_("what was heard on a day, what was not and why")),
    "tone": Verb("tone", N_("have a loudspeaker sound a test tone, or check itself in silence")),
    "accept": Verb("site", N_("record that a device was accepted where it stands")),
    "survey": Verb("site", N_("record what was found of an old station")),
    "records": Verb("site", N_("what was recorded of a device or a commune")),
    "firmware": Verb("firmware", N_("which receiver's program devices get")),
    "label": Verb("site", N_("a label with a QR code for a device")),
    "tui": Verb("tui", N_("the operator's screens")),
}


class Loa(click.Group):
    """Verbs by name; nothing is imported to list them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        verb = VERBS.get(name)
        if verb is None:
            return None
        module = importlib.import_module(f"tui.commands.{verb.module}")
        command: click.Command = getattr(module, name.replace("-", "_") + "_verb")
        return translated(command, command.params, _session(ctx).translate)

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """click's, in English like every other option here: the language is known only when it is shown."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.help = "Show this message and exit."
        return option

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [gettext(piece) for piece in super().collect_usage_pieces(ctx)]

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click does it, of a copy in the reader's language."""
        shown = translated(self, self.get_params(ctx), _session(ctx).translate)
        shown.add_help_option = False  # it is among the parameters by now
        super(Loa, shown).format_help(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        translate = _session(ctx).translate
        with formatter.section(translate(N_("Verbs"))):
            formatter.write_dl([(name, translate(verb.help)) for name, verb in VERBS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        formatter.write_text(_session(ctx).translate(EXIT_CODES))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], VERBS, 1)
            hint = f" ({near[0]}?)" if near else ""
            ctx.fail(_session(ctx).translate(N_("no such verb: {verb}")).format(verb=args[0]) + hint)
        return super().resolve_command(ctx, args)


Command = TypeVar("Command", bound=click.Command)


def translated(command: Command, params: Iterable[click.Parameter], translate: Callable[[str], str]) -> Command:
    """A copy of the command whose help, that of its parameters, and their metavars are in the reader's language."""
    made = copy(command)
    made.help = translate(command.help or "")
    made.options_metavar = translate(command.options_metavar or "")
    made.params = [_translated(one, translate) for one in params]
    return made


def _translated(one: click.Parameter, translate: Callable[[str], str]) -> click.Parameter:
    made = copy(one)
    if isinstance(made, click.Option):
        made.help = translate(made.help or "")
        takes_value = not (made.is_flag or made.count)
        if takes_value and not made.metavar and not isinstance(made.type, click.Choice):
            made.metavar = made.type.name.upper()
    made.metavar = translate(made.metavar) if made.metavar else None
    return made


def _session(ctx: click.Context) -> Session:
    """The session of this call; made on first use, from the options given so far."""
    from tui.commands.context import session

    return session(ctx)


@click.group(
    cls=Loa,
    help=N_("Loa: the province's loudspeaker network as code."),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--inventory", metavar=N_("FOLDER"), help=N_("the inventory folder"))
@click.option("--state", metavar=N_("FOLDER"), help=N_("where the hub keeps its state"))
@click.option("--lang", metavar="vi|en", is_eager=True, help=N_("language of the output"))  # eager: --help obeys it
@click.option("--as", "claim", metavar=N_("USER"), help=N_("act as this account (root and the hub's own user only)"))
@click.version_option(package_name="loa-nms", message="loa %(version)s")
@click.pass_context
def loa(ctx: click.Context, /, **options: Any) -> None:
    del options  # read by ``session`` from the context


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb; interrupted by the keyboard means 130."""
    speak(os.environ.get("LOA_LANG", DEFAULT))  # for mistakes in the options that would tell the language
    try:
        code = loa.main(arguments, prog_name="loa", standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except SystemExit:  # click's answer to a reader that has seen enough, as in: loa show | head
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
