"""The part of RouterOS' script language that Loa speaks, for the stand-in; after help.mikrotik.com's "Scripting".

Independent of the driver, so that the two check each other. A configuration is a list of entries, in export's order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

_TOKEN: Final = re.compile(r'"(?:\\.|[^"\\])*"|[\[\]{}();]|[^\s"\[\]{}();=~]+|[=~]|\s+', re.DOTALL)
_NAMED: Final = {"n": "\n", "r": "\r", "t": "\t", "_": " "}


class Complaint(Exception):
    """What the console answers to a command that it does not take."""


@dataclass(slots=True)
class Entry:
    """One line of the export. ``fixed``: how a built-in item is addressed, empty for one that was added."""

    path: str
    fixed: str
    values: dict[str, str]

    def export(self, defaults: Mapping[str, str]) -> str:
        """Empty where a built-in item is as it came: what has its default value is left out."""
        shown = {key: value for key, value in self.values.items() if defaults.get(key) != value}
        words = " ".join(f"{key}={quoted(value)}" for key, value in shown.items())
        if self.fixed and not shown:
            return ""
        if self.fixed == "-":
            return f"{self.path} set {words}"
        return f"{self.path} set {self.fixed} {words}" if self.fixed else f"{self.path} add {words}"


def quoted(text: str) -> str:
    """As export writes a value: bytes beyond ASCII in hexadecimal."""
    if re.fullmatch(r"[A-Za-z0-9_./:,@*+-]+", text):
        return text
    made = ""
    for byte in text.encode():
        char = chr(byte)
        if char in '"\\$?':
            made += "\\" + char
        elif char in "\r\n\t":
            made += {"\r": "\\r", "\n": "\\n", "\t": "\\t"}[char]
        else:
            made += char if " " <= char <= "~" else f"\\{byte:02X}"
    return f'"{made}"'


def unquoted(piece: str, variables: dict[str, str]) -> str:
    """A string's value: escapes, then ``$name``."""
    if not piece.startswith('"'):
        return variables.get(piece[1:], "") if piece.startswith("$") else piece
    out = bytearray()
    rest = piece[1:-1]
    while rest:
        hexa = re.match(r"\\([0-9A-F]{2})", rest)
        name = re.match(r"\$(\w+)", rest)
        if hexa:
            out.append(int(hexa[1], 16))
            rest = rest[3:]
        elif rest[0] == "\\":
            out += _NAMED.get(rest[1], rest[1]).encode()
            rest = rest[2:]
        elif name:
            out += variables.get(name[1], "").encode()
            rest = rest[len(name[0]) :]
        else:
            out += rest[0].encode()
            rest = rest[1:]
    return out.decode(errors="replace")


Act = Callable[[str, str, dict[str, str]], str]
"""A command that does more than edit entries: path, verb, its values; answers what is printed."""


@dataclass(slots=True)
class Script:
    """Runs commands on entries. ``known``: the menus there are, with their properties (empty: any)."""

    entries: list[Entry]
    known: dict[str, frozenset[str]]
    act: Act
    printed: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, text: str) -> str:
        """What it prints. Raises Complaint; what came before has happened."""
        self._block(_tokens(text))
        return "\n".join(self.printed)

    def _block(self, pieces: list[str]) -> None:
        for command in _commands(pieces):
            words = [piece for piece in command if not piece.isspace()]
            if words and words[0] == "{":
                self._block(_inner(command, "{"))
            elif words and words[0].startswith(":"):
                self._builtin(words[0], command[command.index(words[0]) + 1 :])
            elif words:
                self._menu(command)

    # -- commands of the language

    def _builtin(self, name: str, rest: list[str]) -> None:
        words = [piece for piece in rest if not piece.isspace()]
        if name == ":put":
            self.printed.append(self._value(rest))
        elif name == ":error":
            raise Complaint(self._value(rest))
        elif name in (":local", ":set"):
            self.variables[words[0]] = self._value(rest[rest.index(words[0]) + 1 :])
        elif name == ":if":
            condition, body = _split_at(rest, "do")
            if self._holds(_inner(condition, "(")):
                self._block(_inner(body, "{"))
        elif name == ":do":
            body, other = _split_at(rest, "on-error")
            try:
                self._block(_inner(body, "{"))
            except Complaint:
                self._block(_inner(other, "{"))
        else:
            raise Complaint(f"bad command name {name[1:]} (line 1 column 2)")

    def _holds(self, pieces: list[str]) -> bool:
        words = [piece for piece in pieces if not piece.isspace()]
        left, operator, right = self._value(pieces[: _last(pieces, words[-2])]), words[-2], int(words[-1])
        return int(left) > right if operator == ">" else int(left) == right

    def _value(self, pieces: list[str]) -> str:
        """Strings, ``[...]`` and parentheses, joined by dots."""
        made, rest = "", list(pieces)
        while rest:
            piece = rest.pop(0)
            if piece in "([":
                inside = _inner([piece, *rest], piece)
                rest = rest[len(inside) + 1 :]
                made += self._value(inside) if piece == "(" else self._answer(inside)
            elif not piece.isspace() and piece != ".":
                made += unquoted(piece, self.variables)
        return made

    def _answer(self, pieces: list[str]) -> str:
        """Of a command in brackets."""
        words = [piece for piece in pieces if not piece.isspace()]
        if words[0] == ":len":
            return str(len(self._found(_inner(pieces[pieces.index(":len") + 1 :], "["))))
        path, verb, rest = self._verb(pieces)
        if verb == "find":
            return "*"
        values = [piece for piece in rest if not piece.isspace()]
        which = self._which(path, rest, "get")
        return which.values.get(values[-1], "") if which else ""

    # -- menus

    def _menu(self, pieces: list[str]) -> None:
        path, verb, rest = self._verb(pieces)
        if verb in ("export", "save", "load"):
            printed = self.act(path, verb, self._pairs(rest)[1])
            if printed:
                self.printed.append(printed)
            return
        selector, values = self._pairs(rest)
        self._check(path, values)
        if verb == "add":
            self.entries.append(Entry(path, "", {k: v for k, v in values.items() if not k.startswith("!")}))
            self.act(path, verb, values)
        elif verb == "remove":
            gone = [id(one) for one in self._found([path, " ", *_inner(rest, "[")])]
            self.entries[:] = [one for one in self.entries if id(one) not in gone]
            self.act(path, verb, values)
        elif verb == "set":
            entry = self._which(path, rest, selector)
            if entry is None:
                raise Complaint("no such item")
            entry.values.update({k: v for k, v in values.items() if not k.startswith("!")})
            for key in [k[1:] for k in values if k.startswith("!")]:
                entry.values.pop(key, None)
            self.act(path, verb, entry.values)
        else:
            raise Complaint(f"bad command name {verb} (line 1 column {len(path) + 2})")

    def _verb(self, pieces: list[str]) -> tuple[str, str, list[str]]:
        """The menu (a leading path), the verb, and what follows."""
        verbs = ("add", "set", "remove", "get", "find", "export", "save", "load")
        for index, piece in enumerate(pieces):
            if piece in verbs or piece == "/export":
                path = " ".join("".join(pieces[:index]).split())
                if path and path not in self.known and piece not in ("export", "/export"):
                    raise Complaint(f"bad command name {path.split()[-1]} (line 1 column {len(path)})")
                return path, piece.lstrip("/"), pieces[index + 1 :]
        raise Complaint(f"bad command name {''.join(pieces).strip().split(' ')[0]} (line 1 column 1)")

    def _check(self, path: str, values: dict[str, str]) -> None:
        allowed = self.known[path]
        odd = next((key for key in values if allowed and key.lstrip("!") not in allowed), None)
        if odd is not None:
            raise Complaint(f"expected end of command (line 1 column {len(path) + 6})")

    def _pairs(self, pieces: list[str]) -> tuple[str, dict[str, str]]:
        """The bare word that addresses an item, and ``key=value`` or ``!key``."""
        selector, values, rest = "", dict[str, str](), list(pieces)
        while rest:
            piece = rest.pop(0)
            if piece == "[":
                rest = rest[len(_inner([piece, *rest], piece)) + 1 :]
            elif piece.startswith("!"):
                values[piece] = ""
            elif rest and rest[0] == "=":
                rest.pop(0)
                first = rest[0] if rest else ""
                size = len(_inner(rest, first)) + 2 if first in ("(", "[") and first else 1
                values[piece] = self._value(rest[:size])
                rest = rest[size:]
            elif not piece.isspace():
                selector = piece
        return selector, values

    def _which(self, path: str, rest: list[str], selector: str) -> Entry | None:
        if "[" in rest and rest[: rest.index("[")].count("=") == 0:
            found = self._found([path, " ", *_inner(rest[rest.index("[") :], "[")])
            return found[0] if found else None
        wanted = selector if selector and selector != "get" else "-"
        return next((one for one in self.entries if one.path == path and one.fixed in (wanted, "-")), None)

    def _found(self, pieces: list[str]) -> list[Entry]:
        """Of ``/path find key=value``, ``key~"pattern"``; in the menu of the command where no path stands."""
        path, _, rest = self._verb(pieces)
        words = [piece for piece in rest if not piece.isspace() and piece != "where"]
        key, operator, value = words[0], words[1], unquoted(words[2], self.variables)
        same = [one for one in self.entries if one.path == path]
        if operator == "~":
            return [one for one in same if re.search(value, one.values.get(key, ""))]
        fixed = f"[ find {key}={value} ]"
        return [one for one in same if one.values.get(key) == value or one.fixed == fixed]


def _tokens(text: str) -> list[str]:
    pieces = _TOKEN.findall(text)
    if "".join(pieces) != text:
        raise Complaint("syntax error (line 1 column 1)")
    return [part for piece in pieces for part in ([" "] if piece.isspace() else [piece])]


def _commands(pieces: list[str]) -> list[list[str]]:
    """Split at semicolons that stand in no bracket."""
    made: list[list[str]] = [[]]
    depth = 0
    for piece in pieces:
        depth += (piece in "[{(") - (piece in "]})") if len(piece) == 1 else 0
        if piece == ";" and depth == 0:
            made.append([])
        else:
            made[-1].append(piece)
    return made


def _inner(pieces: list[str], opening: str) -> list[str]:
    """What stands between the first ``opening`` and its end."""
    closing = {"[": "]", "{": "}", "(": ")"}[opening]
    start = pieces.index(opening)
    depth = 0
    for index in range(start, len(pieces)):
        depth += (pieces[index] == opening) - (pieces[index] == closing)
        if depth == 0:
            return pieces[start + 1 : index]
    raise Complaint("syntax error (line 1 column 1)")


def _split_at(pieces: list[str], word: str) -> tuple[list[str], list[str]]:
    index = next(i for i in range(len(pieces) - 1) if pieces[i] == word and pieces[i + 1] == "=")
    return pieces[:index], pieces[index + 2 :]


def _last(pieces: list[str], word: str) -> int:
    return len(pieces) - 1 - pieces[::-1].index(word)
