"""Verbs of trust: init, keys, policies. They need no hub, and the root key's passphrase."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from inventory.diagnostics import Diagnostic
from nms.i18n import N_, number
from nms.settings import PASSPHRASE
from tui.commands.context import FAILED, Session, report, session
from tui.views.times import milliseconds

BUNDLE = "policies.bundle"
"""The signed policies, in the keys folder, from where the hub hands them out."""


@click.command("init", help=N_("Make a new province folder with its keys beside it."))
@click.argument("folder", metavar=N_("FOLDER"))
@click.option("--code", required=True, help=N_("the province's official code"))
@click.option("--name", required=True, help=N_("the province's name"))
@click.option("--keys", "keys", metavar=N_("FOLDER"), help=N_("where the private keys go; default FOLDER.keys"))
@click.pass_context
def init_verb(ctx: click.Context, folder: str, code: str, name: str, keys: str | None) -> None:
    from audio.init import init

    call = session(ctx)
    target = Path(folder)
    place = Path(keys) if keys else target.with_name(target.name + ".keys")
    _end(call, init(target, place, code, name, passphrase(call, new=True), call.today()))
    call.say(
        N_("made {folder}; private keys in {keys}: put root.pem away from this machine"), folder=target, keys=place
    )


@click.command("keys", help=N_("Make root, hub and issuer keys for an existing province folder, or those it lacks."))
@click.pass_context
def keys_verb(ctx: click.Context) -> None:
    from audio.init import add_keys, further_keys

    call = session(ctx)
    settings, network = call.settings, call.network()
    if network.trust is None:
        _end(call, add_keys(settings.inventory, settings.keys, passphrase(call, new=True), call.today()))
        call.say(N_("private keys in {keys}: put root.pem away from this machine"), keys=settings.keys)
        return
    made = further_keys(settings.inventory, settings.keys, network, network.trust, call.today())
    _end(call, tuple(one for one in made if isinstance(one, Diagnostic)))
    if not made:
        call.say(N_("every unit has its key: nothing was made"))
        return
    call.say(N_("made keys for {units}: sign new policies with loa policies"), units=", ".join(map(str, made)))


@click.command("policies", help=N_("Sign every device's policy with the root key; the hub hands them out."))
@click.pass_context
def policies_verb(ctx: click.Context) -> None:
    from audio.trust import load_key, policies, write_bundle

    call = session(ctx)
    network = call.network()
    root = load_key(call.settings.keys, "root", passphrase(call, new=False))
    if isinstance(root, Diagnostic):
        report((root,), call.translate)
        raise click.exceptions.Exit(FAILED)
    if network.trust is None:
        raise click.UsageError(call.translate(N_("the inventory has no trust.yaml: make keys first")))
    signed = list(policies(network, network.on(call.today()), network.trust, root, milliseconds(call.now())))
    write_bundle(call.settings.keys / BUNDLE, signed)
    call.say(N_("signed {count} policies"), count=number(len(signed)))


def passphrase(call: Session, *, new: bool) -> str:
    """The root's, from the environment, else asked without echo; never an argument, which all processes can read."""
    given = os.environ.get(PASSPHRASE)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        message = N_("nobody to ask for the root key's passphrase: set {variable}")
        raise click.UsageError(call.translate(message).format(variable=PASSPHRASE))
    prompt = call.translate(N_("Passphrase of the root key"))
    asked: str = click.prompt(prompt, hide_input=True, confirmation_prompt=new, err=True)
    return asked


def _end(call: Session, diagnostics: tuple[Diagnostic, ...]) -> None:
    report(diagnostics, call.translate)
    if diagnostics:
        raise click.exceptions.Exit(FAILED)
