"""A stand-in of a RouterOS 7 modem: its console, its export, its scheduler, its binary backup, its restart.

Ours, not MikroTik's: it knows the menus below, takes the commands that Loa gives, and complains in RouterOS' words.
What is set works and is kept at once. Loading a backup restarts the device, which breaks every session.
"""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Callable, Iterator
from typing import Final

import paramiko  # type: ignore[import-untyped]

from tests.sim.cli_routeros_script import Complaint, Entry, Script

FACTORY: Final = (
    Entry("/interface bridge", "", {"comment": "defconf", "name": "bridge"}),
    Entry(
        "/interface lte apn",
        "[ find default=yes ]",
        {"apn": "v-internet", "password": "bí mật", "use-network-apn": "no"},
    ),
    Entry(
        "/interface wireguard", "", {"listen-port": "13231", "mtu": "1420", "name": "loa", "private-key": "SFsx+rM="}
    ),
    Entry("/ip address", "", {"address": "192.168.88.1/24", "comment": "defconf", "interface": "bridge"}),
    Entry("/ip dns static", "", {"address": "192.168.88.1", "name": "router.lan"}),
    Entry("/ip firewall filter", "", {"action": "accept", "chain": "input", "comment": "defconf: accept ICMP"}),
    Entry("/ip firewall filter", "", {"action": "drop", "chain": "forward"}),
    *(Entry("/ip service", name, {"disabled": "no"}) for name in ("api", "api-ssl", "ftp", "ssh", "telnet", "www")),
    Entry("/snmp", "-", {"enabled": "yes", "location": "Buôn Chư Tê"}),
    Entry("/snmp community", "[ find default=yes ]", {"addresses": "::/0"}),
    Entry("/system clock", "-", {"time-zone-name": "Asia/Ho_Chi_Minh"}),
    Entry("/system identity", "-", {"name": "Buôn Chư Tê"}),
    Entry("/system ntp client", "-", {"enabled": "no"}),
)
_ANY: Final = frozenset[str]()
KNOWN: Final = {
    **{entry.path: _ANY for entry in FACTORY},
    "/interface list member": frozenset({"interface", "list", "comment"}),
    "/interface lte apn": frozenset({"apn", "password", "user", "authentication", "use-network-apn", "default"}),
    "/interface wireguard peers": _ANY,
    "/system ntp client servers": _ANY,
    "/system resource": _ANY,
    "/system routerboard": _ANY,
    "/system scheduler": _ANY,
    "/system script": _ANY,
    "/system backup": _ANY,
    "/file": _ANY,
    "/ip route": frozenset({"dst-address", "gateway", "comment"}),
    "/snmp community": frozenset(
        {"name", "addresses", "security", "authentication-protocol", "authentication-password"}
        | {"encryption-protocol", "encryption-password"}
    ),
    "/snmp": frozenset({"enabled", "location", "contact", "trap-version"}),
}
DEFAULTS: Final = {
    "/ip service": {"disabled": "no"},
    "/interface wireguard": {"mtu": "1420"},
    "/snmp": {"enabled": "no"},
    "/snmp community": {"authentication-protocol": "MD5", "encryption-protocol": "DES", "security": "none"},
    "/system ntp client": {"enabled": "no"},
}
BANNER: Final = "\r\n\r\n  MikroTik RouterOS 7.15.3 (stand-in)\r\n\r\n"
_HIDDEN: Final = ("/system resource", "/system routerboard", "/file")
_PAGE: Final = 24
_BOOT_SECONDS: Final = 0.2


class RouterOSBox:
    """The device. ``flash``: whether it has a folder of that name, beside which files are in memory;
    ``haste``: how much faster than real time it waits."""

    def __init__(self, flash: bool = False, haste: int = 1) -> None:
        self._haste = haste
        self._lock = threading.RLock()
        self._timers: list[threading.Timer] = []
        self._consoles: set[paramiko.Channel] = set()
        self._backups: dict[str, list[Entry]] = {}
        self.entries = [copy.deepcopy(entry) for entry in FACTORY]
        self.entries += [
            Entry("/system resource", "-", {"board-name": "wAP R", "version": "7.15.3 (stable)"}),
            Entry("/system routerboard", "-", {"serial-number": "HG309A1B2C3"}),
        ]
        self._files = [Entry("/file", "", {"name": "flash"})] if flash else []
        self.restarts = 0

    # -- the device

    def apn(self) -> str:
        with self._lock:
            return next(e.values.get("apn", "") for e in self.entries if e.path == "/interface lte apn")

    def exported(self) -> str:
        with self._lock:
            lines = [e.export(DEFAULTS.get(e.path, {})) for e in self.entries if e.path not in _HIDDEN]
        return "\n".join(
            ["# 2025-11-10 16:00:00 by RouterOS 7.15.3", "# software id = STAND-IN", *sorted(filter(None, lines))]
        )

    def power_off(self) -> None:
        """Timers are memory, and so are files beside a folder flash; the configuration is not."""
        with self._lock:
            for timer in self._timers:
                timer.cancel()
            self._timers.clear()
            if self._files and self._files[0].values["name"] == "flash":
                self._files[:] = [f for f in self._files if f.values["name"].startswith("flash")]

    def power_on(self) -> None:
        with self._lock:
            for entry in self.entries:
                if entry.path == "/system scheduler":
                    self._schedule(entry, booting=True)

    def _restart(self) -> None:
        self.restarts += 1
        self.power_off()
        for channel in list(self._consoles):
            channel.get_transport().close()
        self.power_on()

    def _schedule(self, entry: Entry, booting: bool) -> None:
        """An item that starts at startup runs shortly after it, if it has no interval; others every interval."""
        interval = float(entry.values.get("interval", "0s").removesuffix("s"))
        if interval or booting:
            self._after(interval / self._haste or _BOOT_SECONDS, lambda: self._event(entry))

    def _after(self, seconds: float, work: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, work)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def _event(self, entry: Entry) -> None:
        with self._lock:
            if entry in self.entries:
                self.run(entry.values["on-event"])

    # -- the console

    def run(self, command: str) -> str:
        with self._lock:
            everything = self.entries + self._files
            script = Script(everything, KNOWN, lambda path, verb, values: self._act(path, verb, values, everything))
            try:
                return script.run(command)
            except Complaint as complaint:
                return "\n".join([*script.printed, str(complaint)])
            finally:
                if not self._loaded:
                    self._files = [e for e in everything if e.path == "/file"]
                    self.entries = [e for e in everything if e.path != "/file"]
                self._loaded = False

    _loaded = False

    def _act(self, path: str, verb: str, values: dict[str, str], everything: list[Entry]) -> str:
        if verb == "export":
            return self.exported()
        if path == "/system scheduler" and verb in ("add", "set"):
            self._schedule(next(e for e in reversed(everything) if e.values.get("name") == values["name"]), False)
        if path != "/system backup":
            return ""
        name = f"{values['name']}.backup"
        if verb == "save":
            self._backups[name] = [copy.deepcopy(e) for e in everything if e.path != "/file"]
            everything[:] = [e for e in everything if e.path != "/file" or e.values["name"] != name]
            everything.append(Entry("/file", "", {"name": name}))
            return "Saving system configuration\nConfiguration backup saved"
        if not any(e.path == "/file" and e.values["name"] == name for e in everything):
            raise Complaint("failure: file not found")
        self.entries = [copy.deepcopy(e) for e in self._backups[name]]
        self._loaded = True
        self._after(0.0, self._restart)
        return ""

    def talk(self, user: str, channel: paramiko.Channel) -> None:
        plain = re.search(r"\+.*\d+h", user) is None
        self._consoles.add(channel)
        try:
            channel.sendall((BANNER + self._prompt()).encode())
            for line in _lines(channel):
                if line.strip() == "/quit":
                    return
                answer = self.run(line) if line.strip() else ""
                self._print(channel, answer.split("\n") if answer else [], plain)
                channel.sendall(("\r\n" if not answer else "").encode() + self._prompt().encode())
        finally:
            self._consoles.discard(channel)

    def _print(self, channel: paramiko.Channel, lines: list[str], paged: bool) -> None:
        """Who has not asked for a high screen gets pages and must press a key."""
        channel.sendall(b"\r\n" if lines else b"")
        for number, line in enumerate(lines, 1):
            channel.sendall(f"{line}\r\n".encode())
            if paged and number % _PAGE == 0:
                channel.sendall(b"-- [Q quit|D dump|down]")
                channel.recv(1)

    def _prompt(self) -> str:
        with self._lock:
            name = next(e.values["name"] for e in self.entries if e.path == "/system identity")
        return f"\r[loa@{name}] > "


def _lines(channel: paramiko.Channel) -> Iterator[str]:
    """What is typed, line by line, echoed; a carriage return ends a line and a line feed after it is part of it."""
    typed = b""
    while data := channel.recv(65536):
        channel.sendall(data.replace(b"\r", b"").replace(b"\n", b""))
        typed += data.replace(b"\r\n", b"\r").replace(b"\n", b"\r")
        while b"\r" in typed:
            line, _, typed = typed.partition(b"\r")
            yield line.decode(errors="replace")
