"""The content server's door: only known certificates come in, and a device gets its next certificate here."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from datetime import date, datetime

from aiohttp import web

from inventory.diagnostics import Diagnostic
from inventory.model import Network
from nms.provision.authority import Authority
from nms.provision.gate import Gate
from nms.provision.pki import LARGEST_REQUEST

log = logging.getLogger("loa.admission")

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guard(application: web.Application, gate: Gate) -> None:
    """Lets no request in whose certificate ``gate`` refuses, on connections that are already open neither."""

    @web.middleware
    async def admit(request: web.Request, handler: Answer) -> web.StreamResponse:
        if not _caller(request, gate):
            return _refused()
        return await handler(request)

    application.middlewares.append(admit)


def add_renewal(
    application: web.Application,
    gate: Gate,
    authority: Authority,
    inventory: Callable[[], tuple[Network, date]],
    clock: Callable[[], datetime],
) -> None:
    """POST ``/renew``: a PEM request, answered by a certificate chain for whoever's certificate asks.

    ``inventory``: the network and the date to look it up on; ``clock``: the world's time.
    """

    async def renew(request: web.Request) -> web.Response:
        wanted = await request.read()
        name = _caller(request, gate)  # whoever sends slowly may have been revoked since the door let him in
        if not name:
            return _refused()
        network, on = inventory()
        given = await asyncio.to_thread(authority.issue, network, on, name, wanted[: LARGEST_REQUEST + 1], clock())
        if isinstance(given, Diagnostic):
            log.warning("%s is given no certificate: %s", name, given.text())
            return web.Response(status=403, text=f"{given.code}: {given.text()}\n")
        log.info("%s has a certificate until %s", name, given.entry.ends.date())
        return web.Response(body=given.chain, content_type="application/x-pem-file")

    application.router.add_post("/renew", renew)


def _refused() -> web.Response:
    response = web.Response(status=403, text="this certificate is refused\n")
    response.force_close()
    return response


def _caller(request: web.Request, gate: Gate) -> str:
    """Whom the peer's certificate is for, which TLS has verified; empty when it is refused."""
    transport = request.transport
    tls: ssl.SSLObject | None = None if transport is None else transport.get_extra_info("ssl_object")
    certificate = None if tls is None else tls.getpeercert(binary_form=True)
    return "" if certificate is None else gate.admit(certificate)
