"""YAML files as nodes that know file, line and column; whatever lies in the folder, a finding and never an exception.

libyaml composes the nodes. Its composer calls itself for each level of nesting, so a file that could be deep, and a
file that could hold anchors or tags, first passes the event stream, which needs no stack.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from yaml.cyaml import CParser  # type: ignore[attr-defined]
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from inventory.codes import Finding, shown
from inventory.diagnostics import N_, Phrase, Place

MAX_BYTES = 8 * 1024 * 1024
"""A commune has some 20 devices (10 kB); a file 800 times as large is a mistake, and parsing it costs memory."""

MAX_DEPTH = 40

MAX_SOURCE = 160
"""Characters of a source line that a diagnostic shows."""

_SAFE_LEVELS = 3000
"""Lines this long and this many brackets stay below a quarter of the depth at which the C composer overflows."""


class _Composer(CParser):
    """Composes nodes without resolving types: every scalar is text to us, and resolving costs a third of the time."""

    def __init__(self, text: str) -> None:
        CParser.__init__(self, text)

    def descend_resolver(self, parent: Any, index: Any) -> None: ...

    def ascend_resolver(self) -> None: ...

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        return ""


def read_bytes(path: Path, file: str) -> bytes | Finding:
    """The content of an ordinary file of at most ``MAX_BYTES``."""
    try:
        # O_NONBLOCK: opening a pipe without a writer would otherwise wait for ever.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                return Finding("INV012", Place(file), fields={"reason": N_("not an ordinary file")})
            data = stream.read(MAX_BYTES + 1) if status.st_size <= MAX_BYTES else b""
    except FileNotFoundError:
        return Finding("INV011", Place(file), fields={"file": file})
    except OSError as error:
        return Finding("INV012", Place(file), fields={"reason": error.strerror or str(error)})
    size = max(status.st_size, len(data))
    if size > MAX_BYTES:
        return Finding("INV013", Place(file), fields={"size": str(size), "limit": str(MAX_BYTES)})
    return data


def decode(data: bytes, file: str) -> str | Finding:
    """The bytes as text; a byte that is not UTF-8 is placed where it stands."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        return _not_text(file, data[error.start], error.start, before.decode("utf-8"))
    nul = text.find("\0")
    return text if nul < 0 else _not_text(file, 0, len(text[:nul].encode()), text[:nul])


def _not_text(file: str, byte: int, offset: int, before: str) -> Finding:
    place = _after(file, before)
    return Finding("INV014", place, fields={"byte": f"{byte:02x}", "offset": str(offset)})


def _after(file: str, before: str) -> Place:
    return Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))


def compose(text: str, file: str) -> Node | Finding | None:
    """The one document of a text; None if there is nothing in it."""
    try:
        if _suspicious(text) and (found := _scan(text, file)) is not None:
            return found
        parser = _Composer(text)
        try:
            node: Node | None = parser.get_single_node()
        finally:
            parser.dispose()
    except yaml.MarkedYAMLError as error:
        return _syntax(error, text, file)
    except yaml.reader.ReaderError as error:
        problem = error.reason
        if error.position < len(text):
            problem = Phrase(N_("control character {character}"), character=f"#x{ord(text[error.position]):04x}")
        return Finding("INV015", _after(file, text[: error.position]), fields={"problem": problem})
    return node


def _suspicious(text: str) -> bool:
    if "&" in text or "*" in text or "!" in text:
        return True
    return text.count("[") + text.count("{") + max(map(len, text.split("\n"))) > _SAFE_LEVELS


def _scan(text: str, file: str) -> Finding | None:
    """The first thing in the event stream that we refuse: an anchor, an alias, a tag, too many levels."""
    parser = _Composer(text)
    depth = 0
    while not isinstance(event := parser.get_event(), yaml.StreamEndEvent):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            return Finding("INV018", place_of(event, file), fields={"limit": str(MAX_DEPTH)})
        if getattr(event, "anchor", None) is not None:
            return Finding("INV017", place_of(event, file), fields={"what": N_("anchors and aliases")})
        if getattr(event, "tag", None) is not None:
            return Finding("INV017", place_of(event, file), fields={"what": N_("tags")})
    return None


def _syntax(error: yaml.MarkedYAMLError, text: str, file: str) -> Finding:
    mark = error.problem_mark or error.context_mark
    place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
    lines = text.split("\n")
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    if mark and line[mark.column : mark.column + 1] == "\t":
        return Finding("INV016", place)
    return Finding("INV015", place, fields={"problem": _problem(error)})


def _problem(error: yaml.MarkedYAMLError) -> str:
    """libyaml's words: what it was doing, if it says so, and what it found there."""
    parts = [shown(part, 100) for part in (error.context, error.problem) if part]
    return Phrase(N_("{what}, {problem}"), what=parts[0], problem=parts[1]) if len(parts) == 2 else "".join(parts)


def place_of(node: Any, file: str) -> Place:
    """Where a node or event begins."""
    mark = node.start_mark
    return Place(file, mark.line + 1, mark.column + 1)


def read(folder: Path, file: str) -> tuple[Node | None, tuple[Finding, ...]]:
    """The document of one file of the inventory and what is wrong with it as a file."""
    data = read_bytes(folder / file, file)
    if isinstance(data, Finding):
        return None, (data,)
    text = decode(data, file)
    if isinstance(text, Finding):
        return None, (text,)
    notes: tuple[Finding, ...] = ()
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
        notes = (Finding("INV020", Place(file)),)
    node = compose(text, file)
    if isinstance(node, Finding):
        return None, (*notes, node)
    return node, notes


class Locator:
    """Finds lines and values of the inventory again, for its diagnostics: each file is read once more, only if asked.

    Keeping all nodes of a large province instead would cost a gigabyte.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = ""
        self._lines: list[str] = []
        self._records: dict[Place, MappingNode] = {}

    def _open(self, file: str) -> None:
        if file == self._file:
            return
        self._file, self._lines, self._records = file, [], {}
        data = read_bytes(self._folder / file, file)
        text = decode(data, file) if isinstance(data, bytes) else data
        if isinstance(text, Finding):
            return
        text = unicodedata.normalize("NFC", text)
        self._lines = text.removeprefix("\ufeff").split("\n")
        node = compose(text, file)
        if isinstance(node, Node):
            self._records = {place_of(record, file): record for record in mappings(node)}

    def line(self, place: Place) -> str:
        """The source line, cut to ``MAX_SOURCE`` characters; empty where the column lies beyond them."""
        self._open(place.file)
        if not 0 < place.line <= len(self._lines) or place.column > MAX_SOURCE:
            return ""
        text = self._lines[place.line - 1].rstrip("\r").replace("\t", " ")
        return shown(text, MAX_SOURCE)

    def seek(self, place: Place, path: tuple[str | int, ...]) -> Place:
        """Where the value at ``path`` of the record at ``place`` stands; the record itself if it is not found."""
        self._open(place.file)
        node: Node | None = self._records.get(place)
        for step in path:
            node = _child(node, step)
        return place_of(node, place.file) if node is not None else place


def mappings(root: Node) -> Iterator[MappingNode]:
    """Every mapping below a node, the node itself too."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, MappingNode):
            yield node
            waiting.extend(value for _, value in node.value)
        elif isinstance(node, SequenceNode):
            waiting.extend(node.value)


def _child(node: Node | None, step: str | int) -> Node | None:
    if isinstance(node, MappingNode):
        return next((v for k, v in node.value if isinstance(k, ScalarNode) and k.value == step), None)
    if isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
        child: Node = node.value[step]
        return child
    return None
