"""The hub's side of TLS: who it is towards broker and devices, kept up to date while it runs."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
from collections.abc import Callable
from datetime import date

from aiohttp import web

from audio.admission import add_renewal, guard
from inventory.diagnostics import Diagnostic
from inventory.model import Network
from nms.provision import acl
from nms.provision.authority import HUB_PEM, PKI, ROOT_PEM, Authority
from nms.provision.gate import Gate
from nms.provision.pki_faults import fault
from nms.settings import Clock, Settings, system_clock
from tui.failure import StartError
from tui.polling import overlay, today

log = logging.getLogger("loa.certificates")

LOOK_SECONDS = 2.0


class Certificates:
    """The authority of a running hub. Certificates have the world's dates, even where the hub's clock is shifted."""

    def __init__(self, authority: Authority, settings: Settings, network: Callable[[], Network], clock: Clock) -> None:
        """Raises StartError when the hub's own certificates cannot be made or used."""
        self._authority = authority
        self._settings = settings
        self._network = network
        self._clock = clock
        self._content = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._content.minimum_version = ssl.TLSVersion.TLSv1_3
        self._content.verify_mode = ssl.CERT_REQUIRED
        self._seen = self._inventory()
        problem = self.refresh() or self._load()
        if problem is not None:
            raise StartError((problem,))

    def broker(self) -> ssl.SSLContext:
        """What a connection to the broker needs, from the files as they are now. Raises OSError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(self._authority.folder / ROOT_PEM)
        context.load_cert_chain(self._authority.folder / HUB_PEM)
        return context

    def secure(self, application: web.Application) -> ssl.SSLContext:
        """Guards the content server's application, adds renewal to it, and gives what its site needs."""
        gate = Gate(self._authority.broker / acl.REVOKED)
        guard(application, gate)
        add_renewal(application, gate, self._authority, self._inventory, system_clock)
        return self._content

    def refresh(self) -> Diagnostic | None:
        """Brings the broker's files and the hub's own certificates up to date."""
        network, on = self._seen
        now = system_clock()
        try:
            self._authority.publish(now)
            self._authority.permit(network, on)
            octet = overlay(self._settings, network)
            if not self._authority.hub_due(network, octet, now):
                return None
            return self._authority.certify_hub(network, octet, now)
        except OSError as error:
            file = error.filename or self._authority.broker
            return fault("ENV026", str(file), file=file, reason=error.strerror)

    async def keep(self) -> None:
        """Looks for a new inventory and for a new day, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            seen = self._inventory()
            if seen[0] is self._seen[0] and seen[1] == self._seen[1]:
                continue
            self._seen = seen
            problem = await asyncio.to_thread(self.refresh) or self._load()
            if problem is not None:
                log.error("%s: %s", problem.code, problem.text())

    def _load(self) -> Diagnostic | None:
        """The servers' certificate, for connections from now on; on the event loop's thread, which makes them."""
        file = self._authority.broker / acl.SERVER_PEM
        try:
            self._content.load_verify_locations(self._authority.broker / acl.AUTHORITIES)
            self._content.load_cert_chain(file)
            self.broker()
        except OSError as error:  # of the ssl module as well
            return fault("ENV058", str(file), file=file, reason=error)
        return None

    def _inventory(self) -> tuple[Network, date]:
        network = self._network()
        return network, today(network, self._clock)


def make_certificates(settings: Settings, network: Callable[[], Network], clock: Clock) -> Certificates | None:
    """None without an authority: then the hub speaks on this machine only.

    Raises StartError when it should speak elsewhere, or when the authority cannot be used.
    """
    if not (settings.state_dir / PKI).exists():
        hosts = {"mqtt_host": settings.mqtt_host, "content_host": settings.content_host}
        exposed = tuple(fault("ENV059", key, host=host) for key, host in hosts.items() if not here(host))
        if exposed:
            raise StartError(exposed)
        return None
    authority = Authority.open(settings.state_dir)
    if isinstance(authority, Diagnostic):
        raise StartError((authority,))
    return Certificates(authority, settings, network, clock)


def here(host: str) -> bool:
    """Whether that is this machine's loopback."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
