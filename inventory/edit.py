"""Changes to a YAML file that leave every other character as it was: comments, order, line ends, quotes. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping

from yaml.error import Mark
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from inventory.diagnostics import Place
from inventory.source import compose, mappings, place_of

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./+ -]*|[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def put(text: str, record: Place, values: Mapping[str, str], remove: Collection[str] = ()) -> str:
    """The file's text with these keys of one record set: a value is replaced where it stands, a new key follows the
    record's last one. Keys to ``remove`` go with their values; a comment behind one stays on a line of its own.

    ``record`` is where the record begins, as its value in the network says. Raises ValueError when no record begins
    there or a key's present value is not a scalar: the file is not the one that was read. A record's first key, which
    is its name, cannot be removed.
    """
    root = compose(text, record.file)
    if not isinstance(root, Node):
        raise ValueError(f"{record.file} cannot be read")
    node = next((one for one in mappings(root) if place_of(one, record.file) == record), None)
    if node is None:
        raise ValueError(f"no record begins at {record}")
    starts = _line_starts(text)
    edits: list[tuple[int, int, str]] = []
    present = {key.value: value for key, value in node.value}
    for key, value in values.items():
        if key in present:
            edits.append((*_span(present[key], record, starts), _scalar(value)))
    edits += [_removed(text, node, key, record, starts) for key in remove if key in present]
    fresh = {key: value for key, value in values.items() if key not in present}
    if fresh:
        edits.append(_added(text, node, fresh, starts))
    for start, end, replacement in sorted(edits, reverse=True):
        text = text[:start] + replacement + text[end:]
    return text


def _span(value: Node, record: Place, starts: list[int]) -> tuple[int, int]:
    if not isinstance(value, ScalarNode):
        raise ValueError(f"a value at {place_of(value, record.file)} is not a scalar")
    return _offset(value.start_mark, starts), _offset(value.end_mark, starts)


def _removed(text: str, node: MappingNode, name: str, record: Place, starts: list[int]) -> tuple[int, int, str]:
    at = next(n for n, (key, _) in enumerate(node.value) if key.value == name)
    if at == 0:
        raise ValueError(f"{name} is the first key of the record at {record}")
    key, value = node.value[at]
    begin, (_, end) = _offset(key.start_mark, starts), _span(value, record, starts)
    if node.flow_style:
        return text.rindex(",", 0, begin), end, ""
    over = _end_of_line(text, end)
    if text[end:over].strip():  # a comment
        return begin, text.index("#", end), ""
    newline = 2 if text[begin - key.start_mark.column - 2 : begin - key.start_mark.column] == "\r\n" else 1
    return starts[key.start_mark.line] - newline, over, ""  # so that a new key can still follow it


def _added(text: str, node: MappingNode, values: Mapping[str, str], starts: list[int]) -> tuple[int, int, str]:
    last = node.value[-1][1]
    if node.flow_style:
        at = _offset(last.end_mark, starts)
        return at, at, "".join(f", {key}: {_scalar(value)}" for key, value in values.items())
    at = _end_of_line(text, _last_character(last, starts))
    newline = "\r\n" if text[at : at + 2] == "\r\n" else "\n"
    indent = " " * node.start_mark.column
    return at, at, "".join(f"{newline}{indent}{key}: {_scalar(value)}" for key, value in values.items())


def _last_character(node: Node, starts: list[int]) -> int:
    """Where the node really ends: a block collection's own end mark is where the next thing begins."""
    while isinstance(node, CollectionNode) and not node.flow_style and node.value:
        node = node.value[-1][1] if isinstance(node, MappingNode) else node.value[-1]
    return _offset(node.end_mark, starts)


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    if end < 0:
        return len(text)
    return end - 1 if text[end - 1] == "\r" else end


def _line_starts(text: str) -> list[int]:
    return [0, *(match.end() for match in re.finditer(r"\r\n|\n|\r", text))]


def _offset(mark: Mark, starts: list[int]) -> int:
    return starts[mark.line] + mark.column


def _scalar(value: str) -> str:
    """The value as YAML text for itself; JSON's strings are YAML's."""
    plain = _PLAIN(value) and value.lower() not in _WORDS and value == value.strip()
    return value if plain else json.dumps(value, ensure_ascii=False)
