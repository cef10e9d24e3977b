"""UCI over SSH: OpenWrt and what is built on it (Teltonika RutOS).

Options are named as ``uci`` names them: ``network.wwan`` is a section (its text is the type), ``network.wwan.apn`` an
option of it, ``system.@system[0].hostname`` one of a section without a name. A list's text is one line ``- value`` for
each. The format is openwrt.org's "The UCI system" (docs/guide-user/base-system/uci) and docs/techref/uci.

OpenWrt has a commit-confirm of its own (``ubus call uci apply`` with ``rollback``), which is not used: rpcd keeps what
it would go back to below ``/var/run/rpcd`` (``RPC_SNAPSHOT_FILES`` in rpcd's ``uci.h``), which is memory, so that after
a power cut an unconfirmed change stays. The guard below keeps a copy in flash and puts it back when its time is over
or at the next start, before the network comes up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Final

from nms.provision.drivers.language import MASK, Words, missing

GUARD: Final = r"""#!/bin/sh
# Loa: /etc/config goes back to what it was unless the hub confirms a change. before.* is the copy of an unconfirmed
# change; whoever renames it first decides. What changes works a moment after the session that ordered it, and can be
# confirmed when it has had time to cut the link.
dir=/etc/loa
reload() { reload_config; for one in $(cat $dir/restarts 2>/dev/null); do /etc/init.d/$one restart; done; }
back() {
    for copy in $dir/before.* $dir/back.*; do
        [ -d "$copy" ] || continue
        case $copy in *before.*) mv "$copy" $dir/back.now && copy=$dir/back.now || continue ;; esac
        for file in /etc/config/*; do [ -e "$copy/${file##*/}" ] || rm -f "$file"; done
        cp -a "$copy/." /etc/config/ && sync && rm -rf "$copy" /tmp/.uci
    done
}
case $1 in
    arm)
        for copy in $dir/before.* $dir/back.*; do
            [ -d "$copy" ] && { echo "loa: a change waits to be confirmed" >&2; exit 1; }
        done
        rm -rf $dir/copy $dir/active
        cp -a /etc/config $dir/copy && sync && mv $dir/copy $dir/before.$$ && sync || exit 1
        ( trap '' HUP INT; sleep "$2"; [ -d $dir/before.$$ ] && { back; reload; } ) </dev/null >/dev/null 2>&1 & ;;
    work) ( trap '' HUP INT; sleep 1; reload; sleep 2; : > $dir/active ) </dev/null >/dev/null 2>&1 & ;;
    confirm)
        [ -e $dir/active ] || { echo "loa: the change does not work yet" >&2; exit 1; }
        for copy in $dir/before.*; do
            [ -d "$copy" ] && mv "$copy" $dir/done && rm -rf $dir/done && sync && exit 0
        done
        echo "loa: nothing to confirm" >&2; exit 1 ;;
    back) back; ( trap '' HUP INT; sleep 1; reload ) </dev/null >/dev/null 2>&1 & ;;
    boot) back ;;
esac
"""

SERVICE: Final = """#!/bin/sh /etc/rc.common
START=11
boot() { sh /etc/loa/guard boot; }
start() { :; }
"""
"""Number 11: after the file systems, before the network (20)."""

_EXPORT: Final = (
    'echo "loa-host model=$(cat /tmp/sysinfo/model 2>/dev/null)"',
    'echo "loa-host os=$(. /etc/openwrt_release 2>/dev/null; echo "$DISTRIB_DESCRIPTION")"',
    'echo "loa-host serial=$(mnf_info --sn 2>/dev/null)"',
    'echo "loa-host wireguard=$(wg show loa public-key 2>/dev/null)"',
    "[ -e /etc/loa/active ] && word=yes || word=early",
    'for one in /etc/loa/before.*; do [ ! -d "$one" ] || echo "loa-host probation=$word"; done',
    "uci export",
)
_LINE: Final = re.compile(
    r"^[ \t]*(package|config|option|list)[ \t]+'?([^\s']+)'?(?:[ \t]+((?:'[^']*'|\\')+))?[ \t]*$", re.MULTILINE
)
_NUMBERED: Final = re.compile(r".*\[(\d{1,9})\]", re.DOTALL).fullmatch
_PIECE: Final = re.compile(r"'([^']*)'|\\(')")
_VALUE: Final = re.compile(r"^([ \t]*(?:option|list)[ \t]+'?([^\s']+)'?[ \t]+)(?:'[^']*'|\\')+", re.MULTILINE)
_SECRET: Final = re.compile(r"pass|secret|psk|key|pin|community|token", re.IGNORECASE)
_PUBLIC: Final = re.compile(r"public", re.IGNORECASE)


class Uci:
    """The driver."""

    words = Words(
        device_type="linux",
        export=_EXPORT,
        confirm=("sh /etc/loa/guard confirm",),
        back=("sh /etc/loa/guard back",),
        takes_scripts=True,
        memory="loa.applied.option",
    )

    def parse(self, text: str) -> dict[str, str]:
        found: dict[str, str] = {}
        counts: dict[str, int] = {}
        package = section = ""
        for word, name, quoted in _LINE.findall(text):
            value = "".join(a or b for a, b in _PIECE.findall(quoted))
            if word == "package":
                package = name
            elif word == "config":
                number = counts.get(f"{package}.{name}", 0)
                counts[f"{package}.{name}"] = number + 1
                section = f"{package}.{value or f'@{name}[{number}]'}"
                found[section] = name
            elif word == "option":
                found[f"{section}.{name}"] = value
            else:
                before = found.get(f"{section}.{name}")
                found[f"{section}.{name}"] = f"- {value}" if before is None else f"{before}\n- {value}"
        return found

    def change(
        self, current: Mapping[str, str], wanted: Mapping[str, str | None], restarts: Sequence[str]
    ) -> tuple[str, ...]:
        wanted = dict(wanted)
        if wanted.get(self.words.memory) is not None:
            wanted = {"loa.applied": "state", **wanted}
        differing = missing(current, wanted)
        packages = sorted({name.partition(".")[0] for name in differing})
        return (
            *(f"[ -e /etc/config/{package} ] || : > /etc/config/{package}" for package in packages),
            *_batch([*_edits(current, differing), *(f"commit {package}" for package in packages)]),
            "sync",
            f"echo {_quoted(' '.join(restarts))} > /etc/loa/restarts",
            "sh /etc/loa/guard work",
        )

    def arm(self, within: float) -> tuple[str, ...]:
        return (
            "mkdir -p /etc/loa",
            *_written("/etc/loa/guard", GUARD),
            *_written("/etc/init.d/loa-guard", SERVICE),
            "chmod 755 /etc/init.d/loa-guard",
            "ln -sf ../init.d/loa-guard /etc/rc.d/S11loa-guard",
            f"sh /etc/loa/guard arm {ceil(within)}",
        )

    def kept(self, text: str) -> str:
        return _VALUE.sub(_hidden, text)


def _hidden(found: re.Match[str]) -> str:
    """A line without its value where its option's name sounds like a secret."""
    name = found[2]
    return f"{found[1]}'{MASK}'" if _SECRET.search(name) and not _PUBLIC.search(name) else found[0]


def _edits(current: Mapping[str, str], differing: Mapping[str, str | None]) -> Iterator[str]:
    """``uci batch`` lines: sections first, then options, then removals, the last of a numbered kind first."""
    set_ = {name: text for name, text in differing.items() if text}
    for name, text in sorted(set_.items(), key=lambda item: item[0].count(".") > 1):
        values = [line[2:] for line in text.split("\n")] if text.startswith("- ") else None
        if name.count(".") == 1:
            add = "@" in name and name not in current
            yield f"add {name.partition('.')[0]} {text}" if add else f"set {name}={_quoted(text)}"
            continue
        if values is None:
            yield f"set {name}={_quoted(text)}"
            continue
        if name in current:
            yield f"delete {name}"
        yield from (f"add_list {name}={_quoted(value)}" for value in values)
    gone = [name for name, text in differing.items() if not text]
    sections = [name for name in gone if name.count(".") == 1]
    inside = tuple(f"{section}." for section in sections)
    yield from (f"delete {name}" for name in gone if name not in sections and not name.startswith(inside))
    yield from (f"delete {section}" for section in sorted(sections, key=_number, reverse=True))


def _number(section: str) -> int:
    found = _NUMBERED(section)
    return int(found[1]) if found is not None else -1


def _batch(lines: Sequence[str]) -> tuple[str, ...]:
    """One call that reads its commands: secrets are in no argument that others could see. ``uci batch`` goes on after
    a mistake and says so on its error output only."""
    return (
        "refused=$(uci batch 2>&1 >/dev/null <<'LOA-BATCH'\n" + "\n".join(lines) + "\nLOA-BATCH\n)",
        '[ -z "$refused" ] || { echo "$refused" >&2; exit 1; }',
    )


def _written(path: str, text: str) -> tuple[str, ...]:
    return (f"cat > {path}.new <<'LOA-FILE'\n{text}LOA-FILE", f"mv {path}.new {path}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", r"'\''") + "'"
