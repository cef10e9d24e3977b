"""Keep the Vietnamese catalogue complete: ``python -m scripts.translations check`` or ``update``.

Message ids are what the code marks with ``N_`` or ``_``, and the sentences that belong to a diagnostic code, wherever a
code stands beside them: ``Diagnostic("MON001", place, "…", "…")`` or a table ``{"INV001": ("…", "…")}``, what a planner
is told: ``Note("no_targets", "…")``, and what libraries say through us (``BORROWED``). ``update`` keeps what is
translated, drops what is no longer used, compiles, and lists what is still missing.
"""

from __future__ import annotations

import ast
import re
import string
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("inventory", "nms", "audio", "exporters", "tui")
CATALOGUE = ROOT / "tui/locale/vi/LC_MESSAGES/loa.po"
Named = dict[str, list[ast.expr]]
MARKERS = {"N_", "_"}
CODE = re.compile(r"[A-Z]{3}\d{3}")

BORROWED: Mapping[str, tuple[str | tuple[str, str], ...]] = {
    "click": (
        "Usage:",
        "Options",
        "[OPTIONS]",
        "COMMAND [ARGS]...",
        "TEXT",
        "INTEGER RANGE",
        "required",
        "default: {default}",
        "Show this message and exit.",
        "Show the version and exit.",
        "Try '{command} {option}' for help.",
        "Error: {message}",
        "Error: The two entered values do not match.",
        "Repeat for confirmation",
        "Aborted!",
        "Missing argument",
        "Missing option",
        "Missing command.",
        "Choose from:\n\t{choices}",
        "No such option {name!r}.",
        "Option {name!r} does not take a value.",
        "Invalid value: {message}",
        "Invalid value for {param_hint}: {message}",
        "{value!r} is not a valid {number_type}.",
        "{value} is not in the range {range}.",
        ("{value!r} is not {choice}.", "{value!r} is not one of {choices}."),
        ("Did you mean {possibility}?", "(Did you mean one of: {possibilities}?)"),
        ("Got unexpected extra argument ({args})", "Got unexpected extra arguments ({args})"),
        ("Option {name!r} requires an argument.", "Option {name!r} requires {nargs} arguments."),
    ),
    "libc": (
        "Permission denied",
        "No such file or directory",
        "Not a directory",
        "Is a directory",
        "Read-only file system",
        "No space left on device",
        "Input/output error",
        "Too many levels of symbolic links",
    ),
    "libyaml": (
        "while parsing a block mapping",
        "while parsing a block collection",
        "while parsing a flow mapping",
        "while parsing a flow sequence",
        "while parsing a node",
        "while scanning a simple key",
        "while scanning a quoted scalar",
        "while parsing a quoted scalar",
        "while scanning for the next token",
        "did not find expected key",
        "did not find expected '-' indicator",
        "did not find expected ',' or ']'",
        "did not find expected ',' or '}'",
        "did not find expected node content",
        "could not find expected ':'",
        "found unexpected end of stream",
        "found unknown escape character",
        "found character that cannot start any token",
        "mapping values are not allowed in this context",
        "block sequence entries are not allowed in this context",
        "expected a single document in the stream",
        "but found another document",
    ),
}
"""Sentences of libraries that reach operators: click's through gettext's own functions, the others as a field."""


def message_ids(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every message id of a module with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
            yield from _in_scope(node)


def _in_scope(scope: ast.AST) -> Iterator[tuple[str, int]]:
    nodes = list(_own_nodes(scope))
    named = _assigned(nodes)
    for node in nodes:
        if isinstance(node, ast.Call) and _name(node.func) in MARKERS:
            yield from _texts(node.args[0], named)
        elif isinstance(node, ast.Call) and _name(node.func) == "Note":
            yield from _texts(node.args[1], named)
        elif isinstance(node, ast.Call):
            codes = [n for n, argument in enumerate(node.args) if _is_code(argument)]
            sentences = node.args[codes[0] + 1 :] if codes else []
            keywords = [k.value for k in node.keywords if codes and k.arg in ("message", "fix")]
            for part in [*sentences, *keywords]:
                yield from ((text, line) for text, line in _texts(part, named) if " " in text)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if _is_code(key):
                    yield from _texts(value, named)


def _assigned(nodes: Iterable[ast.AST]) -> Named:
    """Everything that each name may stand for: a function may give it several values."""
    named: Named = {}
    for node in nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    named.setdefault(target.id, []).append(node.value)
    return named


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope without those of the functions inside it."""
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting.extend(ast.iter_child_nodes(node))


def _texts(node: ast.AST, named: Named) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value, node.lineno
    elif isinstance(node, ast.Tuple):
        for element in node.elts:
            yield from _texts(element, named)
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body, named)
        yield from _texts(node.orelse, named)
    elif isinstance(node, ast.Name) and node.id in named:
        for assigned in named[node.id]:
            yield from _texts(assigned, {})


def _is_code(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value) is not None


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def template() -> Catalog:
    """All message ids of the code, with their places."""
    catalogue = Catalog(domain="loa", charset="utf-8")
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*.py")):
            for text, line in message_ids(ast.parse(file.read_bytes())):
                catalogue.add(text, locations=[(file.relative_to(ROOT).as_posix(), line)])
    for library, sentences in BORROWED.items():
        for sentence in sentences:
            catalogue.add(sentence, locations=[(library, 0)])
    return catalogue


def _fields(text: str | Iterable[str]) -> set[str]:
    """The fields of a sentence, or of all forms of one; a single brace stands for itself where there are no fields."""
    if not isinstance(text, str):
        return set().union(*map(_fields, text))
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError:
        return {"unbalanced brace"}


def _complaint(message: Message, translated: Message | None) -> str:
    if translated is None or not any(_forms(translated.string)):
        return "not translated"
    if translated.fuzzy:
        return "fuzzy"
    given, wanted = _fields(_forms(translated.string)), _fields(_forms(message.id))
    if given != wanted if isinstance(message.id, str) else not given <= wanted:
        return f"has fields {sorted(given)} instead of {sorted(wanted)}"
    return ""


def problems(wanted: Catalog, catalogue: Catalog, compiled: Catalog | None) -> list[str]:
    """What keeps the catalogue from being complete and current, one line each."""
    found = []
    for message in wanted:
        if message.id and (complaint := _complaint(message, catalogue.get(message.id))):
            file, line = message.locations[0]
            found.append(f"{file}:{line}: {complaint}: {_forms(message.id)[0]}")
    found += [f"not in the code any more: {_forms(m.id)[0]}" for m in catalogue if m.id and wanted.get(m.id) is None]
    if compiled is None or _strings(compiled) != _strings(catalogue):
        found.append("the compiled catalogue is not current")
    return found


def _forms(text: object) -> tuple[str, ...]:
    """The one form of a message, or those of one with a count."""
    return tuple(map(str, text)) if isinstance(text, tuple | list) else (str(text),)


def _strings(catalogue: Catalog) -> dict[str, tuple[str, ...]]:
    return {_forms(m.id)[0]: _forms(m.string) for m in catalogue if m.id and any(_forms(m.string)) and not m.fuzzy}


def _read() -> Catalog:
    if not CATALOGUE.exists():
        return Catalog(locale="vi", domain="loa", project="loa", header_comment="# Vietnamese of Loa.", fuzzy=False)
    with CATALOGUE.open("rb") as file:
        return read_po(file, locale="vi", domain="loa")


def update() -> None:
    """Bring the catalogue to the code's message ids, keep what is translated, compile it."""
    catalogue = _read()
    created = catalogue.creation_date
    catalogue.update(template(), no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    catalogue.creation_date = created
    CATALOGUE.parent.mkdir(parents=True, exist_ok=True)
    with CATALOGUE.open("wb") as file:
        write_po(file, catalogue, width=110, sort_by_file=True, include_lineno=False)
    with CATALOGUE.with_suffix(".mo").open("wb") as file:
        write_mo(file, catalogue)


def main(arguments: list[str]) -> int:
    if arguments == ["update"]:
        update()
    elif arguments != ["check"]:
        print("usage: python -m scripts.translations check|update", file=sys.stderr)
        return 2
    compiled = CATALOGUE.with_suffix(".mo")
    if not compiled.exists():
        found = ["no catalogue: run python -m scripts.translations update"]
    else:
        with compiled.open("rb") as file:
            found = problems(template(), _read(), read_mo(file))
    for problem in found:
        print(f"translations: {problem}", file=sys.stderr)
    print(f"translations: {len(found)} problems" if found else f"translations: {len(_strings(_read()))} current")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
