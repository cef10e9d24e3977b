"""The ground a lab stands on: namespaces, the centre's bridge, cables and weak links, carriers, local networks."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Final

from inventory import overlay
from tests.lab import cgroups
from tests.lab.host import CABLE, Wiring
from tests.lab.link import Link, WeakLink
from tests.lab.spaces import Space, finished

OCTET: Final = 10
PUBLIC: Final = "198.18.0.1"
"""The centre's address for those who have no overlay yet (RFC 2544's block, which nobody routes)."""
_BRIDGE: Final = "br0"
_LAN: Final = "lan0"
_MOST_HOSTS: Final = 250
_CARRIER: Final = """
table ip carrier {
  chain out {
    type nat hook postrouting priority srcnat
    oifname "wan0" masquerade
  }
  chain through {
    type filter hook forward priority filter; policy drop
    ct state established,related accept
    ip daddr 10.0.0.0/8 drop
    iifname "radio0" accept
  }
  chain to {
    type filter hook input priority filter; policy drop
    iifname != "wan0" accept
  }
}
"""
"""What a carrier does to its customers: many behind one address, no way in, and the overlay only through a tunnel."""

MODEM_RULES: Final = f"""flush ruleset
table ip modem {{
  chain out {{
    type nat hook postrouting priority srcnat
    oifname "{CABLE}" masquerade
  }}
  chain through {{
    type filter hook forward priority filter; policy accept
    ct state established,related accept
    iifname "{CABLE}" drop
  }}
}}
"""
"""A modem's own NAT, in its own /etc/nftables.conf."""


class Network:
    """Plumbing in the namespaces that the ``keeper`` (a process id) lives in; it all goes with the keeper."""

    def __init__(self, lab: str, keeper: int) -> None:
        self._lab = lab
        self._keeper = keeper
        self._names: dict[Path, str] = {}
        self.noc = Space(Path(f"/proc/{keeper}/ns/net"), tuple(cgroups.make(f"{lab}/noc")))
        _quiet(self.noc)
        hub = overlay.hub_address(OCTET)
        self._ip(
            self.noc,
            f"link add {_BRIDGE} type bridge",
            f"addr add {PUBLIC}/16 dev {_BRIDGE}",
            f"addr add {hub}/32 dev {_BRIDGE}",
            f"link set {_BRIDGE} up",
            # the last resort: a tunnel's routes into the overlay come first
            f"route add {OCTET}.0.0.0/8 dev {_BRIDGE} src {hub} metric 1000",
        )

    def space(self, name: str) -> Space:
        """A new, empty network namespace."""
        finished(["nsenter", f"--target={self._keeper}", "--mount", "ip", "netns", "add", name])
        made = Space(Path(f"/proc/{self._keeper}/root/run/netns/{name}"), self.noc.groups)
        self._names[made.net] = name
        _quiet(made)
        return made

    def direct(self, space: Space, number: int, address: str, link: Link | None) -> tuple[Wiring, WeakLink | None]:
        """A cable into the centre's bridge, for a host that has an address there."""
        port = f"p{number}"
        made = self._cable(self.noc, port, space, link)
        self._ip(self.noc, f"link set {port} master {_BRIDGE}", f"link set {port} up")
        if ipaddress.ip_address(address) in ipaddress.ip_network(f"{OCTET}.0.0.0/8"):
            return Wiring(f"{address}/8", overlay.hub_address(OCTET), self.noc, port), made
        self._ip(self.noc, f"route replace {address}/32 dev {_BRIDGE} src {PUBLIC}")
        return Wiring(f"{address}/32", PUBLIC, self.noc, port, onlink=True), made

    def plugged(self, number: int, address: str) -> Wiring:
        """A cable into the centre's bridge, for a machine with an address of the overlay and a kernel of its own."""
        port = f"p{number}"
        self._ip(self.noc, f"tuntap add name {port} mode tap", f"link set {port} master {_BRIDGE}")
        return Wiring(f"{address}/8", overlay.hub_address(OCTET), self.noc, port)

    def carried(self, space: Space, number: int, link: Link | None) -> tuple[Wiring, WeakLink | None]:
        """A radio to a carrier of its own, which NATs; ``link`` is the radio."""
        if not 0 < number <= _MOST_HOSTS:
            raise ValueError(f"no more than {_MOST_HOSTS} hosts")
        carrier, gateway = self.space(f"c{number}"), f"100.64.{number}.1"
        self._cable(self.noc, f"c{number}", carrier, None, right_port="wan0")
        made = self._cable(carrier, "radio0", space, link)
        self._ip(self.noc, f"link set c{number} master {_BRIDGE}", f"link set c{number} up")
        self._ip(
            carrier,
            f"addr add 198.18.1.{number}/16 dev wan0",
            "link set wan0 up",
            f"addr add {gateway}/24 dev radio0",
            "link set radio0 up",
        )
        carrier.run(["sysctl", "--quiet", "--write", "net.ipv4.ip_forward=1"])
        carrier.run(["nft", "--file", "-"], input=_CARRIER)
        return Wiring(f"100.64.{number}.2/24", gateway, carrier, "radio0", exposed=False), made

    def lan(self, modem: Space, number: int) -> str:
        """The local network behind a modem; returns the modem's address there."""
        gateway = f"192.168.{number}.1"
        self._ip(modem, f"link add {_LAN} type bridge", f"addr add {gateway}/24 dev {_LAN}", f"link set {_LAN} up")
        return gateway

    def behind(
        self, modem: Space, space: Space, number: int, gateway: str, link: Link | None
    ) -> tuple[Wiring, WeakLink | None]:
        """A cable into a modem's local network."""
        port = f"p{number}"
        made = self._cable(modem, port, space, link)
        self._ip(modem, f"link set {port} master {_LAN}", f"link set {port} up")
        address = f"{gateway.rpartition('.')[0]}.{1 + number}/24"
        return Wiring(address, gateway, modem, port, exposed=False), made

    def _cable(
        self, left: Space, port: str, right: Space, link: Link | None, right_port: str = CABLE
    ) -> WeakLink | None:
        if link is not None:
            return WeakLink(link, (left, port), (right, right_port))
        self._ip(left, f"link add {port} type veth peer name {right_port} netns {self._names[right.net]}")
        return None

    def _ip(self, space: Space, *lines: str) -> None:
        """Runs lines of ``ip`` there, with the lab's names for namespaces."""
        place = [f"--target={self._keeper}", "--mount", f"--net={space.net}"]
        finished(["nsenter", *place, "ip", "-batch", "-"], input="\n".join(lines) + "\n")


def _quiet(space: Space) -> None:
    """No IPv6: its neighbour discovery would count as a device's traffic."""
    with space.entered():
        for name in ("all", "default"):
            switch = Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6")
            if switch.exists():
                switch.write_text("1")
    space.run(["ip", "link", "set", "lo", "up"])
