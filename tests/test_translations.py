"""What makes `make check` refuse the Vietnamese catalogue."""

from __future__ import annotations

import ast
import errno
import os
from pathlib import Path
from textwrap import dedent

import click
import yaml
from babel.messages.catalog import Catalog

from scripts.translations import BORROWED, message_ids, problems


def ids(source: str) -> set[str]:
    return {text for text, _ in message_ids(ast.parse(dedent(source)))}


def catalogue(**translations: str) -> Catalog:
    made = Catalog(locale="vi")
    for text, translation in translations.items():
        made.add(text, translation, locations=[("tui/a.py", 1)])
    return made


def test_marked_texts_are_message_ids() -> None:
    assert ids("a = N_('lost'); b = f(_('since {at}'), 'not marked')") == {"lost", "since {at}"}


def test_the_sentences_of_a_code_are_message_ids_wherever_they_stand() -> None:
    source = """
        CODES = {"INV001": ("unknown key '{key}'", "known keys: {known}"), "other": "not one"}
        def place():
            fix = "name the folder" if here else "make the folder"
            first = Diagnostic("MON001", place, "no answer from {device}", fix, {"device": "no sentence"})
            fix = "another fix in the same name"
            return Diagnostic("MON002", place, "no answer from {device}", fix)
        def other():
            fix = "a fix of nothing"
            return Problem("CFG101", message="the hub is not running", key="id")
    """
    assert ids(source) == {
        "unknown key '{key}'",
        "known keys: {known}",
        "name the folder",
        "make the folder",
        "another fix in the same name",
        "no answer from {device}",
        "the hub is not running",
    }


def test_what_is_borrowed_is_what_the_libraries_say() -> None:
    """A new version of a library may word it anew; then operators would read English again."""
    sources = {
        "click": "".join(path.read_text(encoding="utf-8") for path in Path(click.__file__).parent.glob("*.py")),
        "libyaml": Path(yaml._yaml.__file__).read_bytes().decode("latin-1"),
        "libc": "\n".join(map(os.strerror, errno.errorcode)),
    }
    for library, sentences in BORROWED.items():
        for form in [form for s in sentences for form in ((s,) if isinstance(s, str) else s)]:
            said = form.replace("\n", "\\n").replace("\t", "\\t")
            assert said in sources[library] or said.lower() in sources[library], f"{library} does not say {form!r}"


def test_both_forms_of_a_count_are_one_message() -> None:
    wanted, have = Catalog(), Catalog(locale="vi")
    wanted.add(("{n} device", "{n} devices"), locations=[("click", 0)])
    assert problems(wanted, have, have)[0] == "click:0: not translated: {n} device"
    have.add(("{n} device", "{n} devices"), ("{n} thiết bị",))
    assert problems(wanted, have, have) == []
    have = Catalog(locale="vi")
    have.add(("{n} device", "{n} devices"), ("{k} thiết bị",))
    assert "has fields ['k']" in problems(wanted, have, have)[0]


def test_a_complete_catalogue_has_no_problems() -> None:
    full = catalogue(lost="mất kết nối")
    assert problems(catalogue(lost=""), full, full) == []


def test_untranslated_fuzzy_stale_and_broken_messages_are_named_with_their_place() -> None:
    wanted = Catalog()
    for line, text in enumerate(("a", "b", "since {at}", "ok"), start=1):
        wanted.add(text, locations=[("tui/a.py", line)])
    have = catalogue(a="", b="bê", ok="được", gone="hết")
    have.add("since {at}", "từ {luc}")
    have.add("b", "bê", flags=["fuzzy"])
    assert problems(wanted, have, have) == [
        "tui/a.py:1: not translated: a",
        "tui/a.py:2: fuzzy: b",
        "tui/a.py:3: has fields ['luc'] instead of ['at']: since {at}",
        "not in the code any more: gone",
    ]


def test_a_compiled_catalogue_that_lags_behind_is_a_problem() -> None:
    have = catalogue(lost="mất kết nối")
    stale = ["the compiled catalogue is not current"]
    assert problems(catalogue(lost=""), have, catalogue(lost="mất")) == stale
    assert problems(catalogue(lost=""), have, None) == stale
