"""What the roles say a device should have: ``manifest.yml`` and templates, read once and compiled.

``playbooks/roles/<role>/manifest.yml`` lists resources; every one may have ``when`` (an expression), ``secret: true``
and ``restarts`` (services to restart when it changes)::

    resources:
      - {file: /etc/x.conf, template: x.conf.j2, owner: "root:root", mode: "0644", restarts: [x.service]}
      - {service: x.service, state: "enabled running"}
      - {package: snmpd}                              # any version; or version: "5.9"
      - {artifact: /opt/loa/x.whl, name: receiver}    # owner and mode if they matter
      - {option: network.wwan.apn, value: "{{ loa_sim.apn }}"}

Templates are Jinja2's, sandboxed and without any file but their own: no include, no import, no undefined variable.
Blocks take their line with them (``trim_blocks``, ``lstrip_blocks``). ``to_json`` writes a value as JSON, which is also
how TOML and YAML write a text. Only resources marked secret see ``secret.<name>``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from jinja2 import StrictUndefined, TemplateSyntaxError, meta, nodes
from jinja2.environment import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from inventory.diagnostics import N_, Diagnostic, Place
from nms.provision.plan_faults import fault
from nms.provision.values import Kind

SECRET: Final = "secret"  # noqa: S105 (the variable's name)
_SHIPPED: Final = Path(__file__).parent / "playbooks"
_CHECKOUT: Final = Path(__file__).resolve().parents[2] / "playbooks"

_COMMON: Final = frozenset({"when", SECRET, "restarts"})
_KEYS: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.FILE: frozenset({"template", "owner", "mode"}) | _COMMON,
    Kind.SERVICE: frozenset({"state", "when"}),
    Kind.PACKAGE: frozenset({"version", "when"}),
    Kind.ARTIFACT: frozenset({"name", "owner", "mode", "when", "restarts"}),
    Kind.OPTION: frozenset({"value"}) | _COMMON,
}
_NEEDED: Final[Mapping[Kind, str]] = {
    Kind.FILE: "template",
    Kind.SERVICE: "state",
    Kind.ARTIFACT: "name",
    Kind.OPTION: "value",
}
_STATES: Final = frozenset({"enabled", "disabled", "masked", "running", "stopped"})


def playbooks() -> Path:
    """The folder of playbooks and roles: inside the installed package, or beside the packages of a checkout."""
    return _SHIPPED if _SHIPPED.is_dir() else _CHECKOUT


@dataclass(frozen=True, slots=True)
class Text:
    """A compiled template and the variables it ``uses``; it begins after line ``above`` of ``file``."""

    template: Template
    file: str
    above: int
    uses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled ``when``; raises whatever Jinja2 raises."""

    source: str
    holds: Callable[..., Any]
    place: Place
    uses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spec:
    """One resource as a role declares it: ``text`` as it is, rendered from a template, or an artifact's name."""

    kind: Kind
    name: str
    text: str | Text
    attributes: str
    secret: bool
    restarts: tuple[str, ...]
    when: Condition | None
    place: Place


@dataclass(frozen=True, slots=True)
class Roles:
    """Every role by name, and the digest of all the files that they are made of."""

    folder: Path
    specs: Mapping[str, tuple[Spec, ...]]
    digest: str


def environment() -> ImmutableSandboxedEnvironment:
    """Jinja2 as roles know it."""
    made = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False
    )
    made.filters["to_json"] = _to_json
    return made


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def files_digest(folder: Path, paths: Iterable[Path]) -> str:
    """SHA-256 (hex) over names below ``folder`` and bytes of ordinary files. Raises OSError."""
    total = hashlib.sha256()
    for path in sorted(paths):
        relative = path.relative_to(folder)
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in relative.parts):
            total.update(f"{relative.as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def templates_digest(folder: Path) -> str:
    """Of all that roles with a manifest are made of. Raises OSError."""
    roles = [manifest.parent for manifest in (folder / "roles").glob("*/manifest.yml")]
    return files_digest(folder, (path for role in roles for path in (role / "manifest.yml", *_templates(role))))


def _templates(role: Path) -> Iterator[Path]:
    return (role / "templates").rglob("*")


def read_roles(folder: Path) -> Roles | tuple[Diagnostic, ...]:
    """Every role below ``folder``/roles that has a manifest, or all that is wrong with them."""
    jinja, found = environment(), list[Diagnostic]()
    specs = {}
    for path in sorted((folder / "roles").glob("*/manifest.yml")):
        role = _Role(folder, path.parent, jinja, found)
        specs[path.parent.name] = tuple(role.specs())
    return tuple(found) if found else Roles(folder, specs, templates_digest(folder))


class _Misplaced(Exception):
    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__()
        self.diagnostic = diagnostic


@dataclass(frozen=True, slots=True)
class _Role:
    """One role being read; what is wrong with it goes to ``found``."""

    top: Path
    folder: Path
    jinja: ImmutableSandboxedEnvironment
    found: list[Diagnostic]

    def specs(self) -> Iterator[Spec]:
        path = self.folder / "manifest.yml"
        file = path.relative_to(self.top).as_posix()
        try:
            root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        except (OSError, ValueError, yaml.YAMLError) as error:
            mark = getattr(error, "problem_mark", None)
            place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
            reason = getattr(error, "problem", None) or getattr(error, "strerror", None) or type(error).__name__
            self.found.append(fault("PLN201", place, reason=reason))
            return
        for node in self._items(root, file):
            try:
                yield self._spec(node, file)
            except _Misplaced as misplaced:
                self.found.append(misplaced.diagnostic)

    def _items(self, root: yaml.Node | None, file: str) -> list[yaml.Node]:
        if isinstance(root, yaml.MappingNode) and len(root.value) == 1:
            key, value = root.value[0]
            if key.value == "resources" and isinstance(value, yaml.SequenceNode):
                return list(value.value)
        reason = N_("it is no list of resources")
        self.found.append(fault("PLN201", _place(root, file) if root else Place(file), reason=reason))
        return []

    def _spec(self, node: yaml.Node, file: str) -> Spec:
        words = _words(node, file)
        kind = next((k for k in Kind if k.value in words), None)
        if kind is None:
            raise _wrong(node, file, next(iter(words), "{}"), " | ".join(Kind))
        allowed = {kind.value, *_KEYS[kind]}
        unknown = next((key for key in words if key not in allowed), None)
        if unknown is not None:
            raise _wrong(words[unknown], file, unknown, ", ".join(sorted(allowed)))
        needed = _NEEDED.get(kind)
        if needed is not None and needed not in words:
            raise _wrong(node, file, kind.value, f"{kind}: …, {needed}: …")
        secret = _flag(words.get(SECRET), file)
        return Spec(
            kind=kind,
            name=_scalar(words[kind.value], file),
            text=self._text(kind, words, file, secret),
            attributes=_attributes(kind, words, file),
            secret=secret,
            restarts=_list(words.get("restarts"), file),
            when=self._condition(words.get("when"), file),
            place=_place(node, file),
        )

    def _text(self, kind: Kind, words: Mapping[str, yaml.Node], file: str, secret: bool) -> str | Text:
        if kind is Kind.FILE:
            return self._template(words["template"], file, secret)
        if kind is Kind.OPTION:
            node = words["value"]
            above = node.start_mark.line + (getattr(node, "style", None) in ("|", ">"))
            return self._compiled(_scalar(node, file), file, above, secret)
        if kind is Kind.SERVICE:
            return _state(words["state"], file)
        word = words.get("version" if kind is Kind.PACKAGE else "name")
        return _scalar(word, file) if word is not None else ""

    def _template(self, node: yaml.Node, file: str, secret: bool) -> Text:
        path = self.folder / "templates" / _scalar(node, file)
        name = path.relative_to(self.top).as_posix()
        try:
            source = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise _Misplaced(fault("PLN203", Place(name), reason=reason)) from None
        return self._compiled(source, name, 0, secret)

    def _compiled(self, source: str, file: str, above: int, secret: bool) -> Text:
        uses = self._uses(source, file, above, secret)
        known = self.jinja.globals
        code = self.jinja.compile(source, file, file)
        # only the globals it uses: they are copied at every rendering
        made = Template.from_code(self.jinja, code, {name: known[name] for name in uses if name in known})
        return Text(made, file, above, tuple(name for name in uses if name not in known))

    def _uses(self, source: str, file: str, above: int, secret: bool) -> tuple[str, ...]:
        """The names that a template does not define itself. Raises _Misplaced."""
        try:
            tree = self.jinja.parse(source, file, file)
        except TemplateSyntaxError as error:
            raise _Misplaced(
                fault("PLN203", Place(file, above + error.lineno, 1), reason=error.message or "")
            ) from None
        for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
            reason = N_("a template is one file")
            raise _Misplaced(fault("PLN203", Place(file, above + node.lineno, 1), reason=reason))
        uses = tuple(sorted(meta.find_undeclared_variables(tree)))
        if SECRET in uses and not secret:
            line = next((n.lineno for n in tree.find_all(nodes.Name) if n.name == SECRET), 0)
            raise _Misplaced(fault("PLN205", Place(file, above + line, 1)))
        return uses

    def _condition(self, node: yaml.Node | None, file: str) -> Condition | None:
        if node is None:
            return None
        place, source = _place(node, file), _scalar(node, file)
        uses = self._uses("{{ " + source + " }}", file, place.line - 1, secret=False)
        try:
            holds = self.jinja.compile_expression(source, undefined_to_none=False)
        except TemplateSyntaxError as error:
            raise _Misplaced(fault("PLN203", place, reason=error.message or "")) from None
        return Condition(source, holds, place, uses)


def _place(node: yaml.Node, file: str) -> Place:
    return Place(file, node.start_mark.line + 1, node.start_mark.column + 1)


def _wrong(node: yaml.Node, file: str, text: str, hint: str) -> _Misplaced:
    return _Misplaced(fault("PLN202", _place(node, file), text=text, hint=hint))


def _words(node: yaml.Node, file: str) -> Mapping[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        raise _wrong(node, file, str(node.value), "{" + " | ".join(Kind) + ": …}")
    words: dict[str, yaml.Node] = {}
    for key, value in node.value:
        name = _scalar(key, file)
        if name in words:
            raise _wrong(key, file, name, name)
        words[name] = value
    return words


def _scalar(node: yaml.Node, file: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _wrong(node, file, "[…]", "…")
    return str(node.value)


def _list(node: yaml.Node | None, file: str) -> tuple[str, ...]:
    if node is None:
        return ()
    if not isinstance(node, yaml.SequenceNode):
        raise _wrong(node, file, _scalar(node, file), "[…]")
    return tuple(_scalar(item, file) for item in node.value)


def _flag(node: yaml.Node | None, file: str) -> bool:
    text = _scalar(node, file) if node is not None else "false"
    if text not in ("true", "false"):
        assert node is not None
        raise _wrong(node, file, text, "true, false")
    return text == "true"


def _state(node: yaml.Node, file: str) -> str:
    words = _scalar(node, file).split()
    if not words or not set(words) <= _STATES:
        raise _wrong(node, file, " ".join(words), "enabled running")
    return " ".join(words)


def _attributes(kind: Kind, words: Mapping[str, yaml.Node], file: str) -> str:
    """``owner:group mode``; of a file always, of an artifact where it is given."""
    if kind is not Kind.FILE and not {"owner", "mode"} & words.keys():
        return ""
    owner = _scalar(words["owner"], file) if "owner" in words else "root:root"
    mode = _scalar(words["mode"], file) if "mode" in words else "0644"
    return f"{owner} {mode}"
