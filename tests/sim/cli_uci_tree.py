"""A ``uci`` of our own for the stand-in: files of ``/etc/config``, and the commands that Loa uses.

Run as a program: ``cli_uci_tree.py FOLDER export|batch``; standard library only, because it runs for every command.
Written from openwrt.org's "The UCI system" independently of the driver, so that the two check each other.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


class Refused(Exception):
    """What uci prints on its error output."""


class UciTree:
    """Sections in their order; a section is its type, its name (empty: none) and its options."""

    def __init__(self) -> None:
        self.sections: list[tuple[str, str, dict[str, str | list[str]]]] = []

    @classmethod
    def load(cls, path: Path) -> UciTree:
        """Of a file as uci writes it."""
        made = cls()
        for line in path.read_text(encoding="utf-8").splitlines():
            made._statement(shlex.split(line, comments=True))
        return made

    def _statement(self, words: list[str]) -> None:
        if not words:
            return
        if words[0] == "config":
            self.sections.append((words[1], words[2] if len(words) > 2 else "", {}))
            return
        options = self.sections[-1][2]
        if words[0] == "option":
            options[words[1]] = words[2]
        else:
            kept = options.setdefault(words[1], [])
            assert isinstance(kept, list)
            kept.append(words[2])

    @classmethod
    def of(cls, options: dict[str, str]) -> UciTree:
        """From options as the driver names them."""
        made = cls()
        for name, text in options.items():
            section = name.split(".", 2)[1]
            if name.count(".") == 1:
                made.sections.append((text, "" if section.startswith("@") else section, {}))
            else:
                values = [line[2:] for line in text.split("\n")] if text.startswith("- ") else text
                made.sections[-1][2][name.split(".", 2)[2]] = values
        return made

    def named(self, package: str) -> dict[str, str]:
        """As the driver names them."""
        counts: dict[str, int] = {}
        found = {}
        for kind, name, options in self.sections:
            number = counts.get(kind, 0)
            counts[kind] = number + 1
            section = f"{package}.{name or f'@{kind}[{number}]'}"
            found[section] = kind
            for key, value in options.items():
                found[f"{section}.{key}"] = "\n".join(f"- {v}" for v in value) if isinstance(value, list) else value
        return found

    def export(self, package: str) -> str:
        lines = [f"package {package}", ""]
        for kind, name, options in self.sections:
            lines.append(f"config {kind} {_quoted(name)}" if name else f"config {kind}")
            for key, value in options.items():
                values = value if isinstance(value, list) else [value]
                word = "list" if isinstance(value, list) else "option"
                lines += [f"\t{word} {key} {_quoted(v)}" for v in values]
            lines.append("")
        return "\n".join(lines) + "\n"

    def save(self, path: Path) -> None:
        text = self.export("").partition("\n")[2]
        new = path.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.replace(path)

    # -- commands

    def find(self, section: str) -> int | None:
        """The place of a section that is named or numbered."""
        if section.startswith("@"):
            kind, _, number = section[1:].rstrip("]").partition("[")
            places = [i for i, one in enumerate(self.sections) if one[0] == kind]
            index = int(number)
            return places[index] if -len(places) <= index < len(places) else None
        return next((i for i, one in enumerate(self.sections) if one[1] == section), None)

    def set(self, section: str, option: str, value: str) -> None:
        place = self.find(section)
        if option:
            options = self._options(place)
            options[option] = value
            if not value:
                del options[option]
        elif place is not None:
            self.sections[place] = (value, *self.sections[place][1:])
        elif section.startswith("@"):
            raise Refused("uci: Entry not found")
        else:
            self.sections.append((value, section, {}))

    def add_list(self, section: str, option: str, value: str) -> None:
        options = self._options(self.find(section))
        kept = options.get(option, [])
        options[option] = [*(kept if isinstance(kept, list) else [kept]), value]

    def delete(self, section: str, option: str) -> None:
        place = self.find(section)
        options = self._options(place)
        if not option:
            assert place is not None
            del self.sections[place]
        elif option in options:
            del options[option]
        else:
            raise Refused("uci: Entry not found")

    def _options(self, place: int | None) -> dict[str, str | list[str]]:
        if place is None:
            raise Refused("uci: Entry not found")
        return self.sections[place][2]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


class Uci:
    """One call of the program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trees: dict[str, UciTree] = {}

    def tree(self, package: str) -> UciTree:
        path = self.folder / package
        if package not in self.trees:
            if not path.exists():
                raise Refused("uci: Entry not found")
            self.trees[package] = UciTree.load(path)
        return self.trees[package]

    def batch(self, text: str) -> int:
        """Every line; like the original it goes on after a mistake and still ends with 0."""
        for line in text.splitlines():
            try:
                self.command(shlex.split(line))
            except Refused as refused:
                print(refused, file=sys.stderr)
            except (ValueError, IndexError):
                print("uci: Parse error", file=sys.stderr)
        return 0

    def command(self, words: list[str]) -> None:
        if not words:
            return
        verb = words[0]
        if verb == "commit":
            self.tree(words[1]).save(self.folder / words[1])
            return
        if verb == "add":
            self.tree(words[1]).sections.append((words[2], "", {}))
            print("cfg000000")
            return
        name, _, value = words[1].partition("=")
        package, _, rest = name.partition(".")
        section, _, option = rest.partition(".")
        tree = self.tree(package)
        if verb == "set":
            tree.set(section, option, value)
        elif verb == "add_list":
            tree.add_list(section, option, value)
        elif verb == "delete":
            tree.delete(section, option)
        else:
            raise Refused("uci: Parse error")

    def export(self) -> None:
        for package in sorted(path.name for path in self.folder.iterdir()):
            sys.stdout.write(self.tree(package).export(package))

    def get(self, name: str) -> int:
        """A value; like the original it ends with 1 where there is none."""
        package, _, _ = name.partition(".")
        try:
            value = self.tree(package).named(package).get(name)
        except Refused:
            value = None
        if value is not None:
            print(value)
        return int(value is None)


def main(folder: Path, verb: str, *more: str) -> int:
    if verb == "-q":
        verb, more = more[0], more[1:]
    if verb == "get":
        return Uci(folder).get(*more)
    if verb == "batch":
        return Uci(folder).batch(sys.stdin.read())
    Uci(folder).export()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
