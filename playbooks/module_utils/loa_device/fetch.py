"""Artifacts from the hub: believed by their SHA-256, fetched over HTTPS from it alone, resumed where they stopped."""

from __future__ import annotations

import http.client
import os
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from .disk import BLOCK, Refused, full, sha256, sync_folder

ENROLLED = ("etc/loa-receiver/certificate.pem", "etc/loa-receiver/key.pem")
RENEWED = "var/lib/loa-receiver/identity.pem"
TIMEOUT = 30.0
ATTEMPTS = 4
PAUSE = 2.0
"""Seconds before the next attempt; a link that broke needs a moment."""


@dataclass(frozen=True)
class Hub:
    """Where artifacts are: ``url``, whose certificate ``authority`` (PEM) must have given; ``papers``: this device's
    certificate and key, which the hub wants to see, the renewed ones before the enrolled."""

    url: str
    authority: str
    papers: tuple[Path, Path] | None


def hub(root: Path, url: str, authority: str) -> Hub:
    renewed = root / RENEWED
    certificate, key = (renewed, renewed) if renewed.is_file() else (root / ENROLLED[0], root / ENROLLED[1])
    return Hub(url, authority, (certificate, key) if certificate.is_file() and key.is_file() else None)


def fetched(folder: Path, hub: Hub, wanted: str) -> Path:
    """A file in ``folder`` with that SHA-256. Raises Refused."""
    path, part = folder / wanted, folder / f"{wanted}.part"
    if path.exists():
        return path
    if not hub.url.startswith("https://"):
        raise Refused("artifact", f"artifacts come over https from the hub only, not from {hub.url!r}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _download(f"{hub.url.rstrip('/')}/artifact/{wanted}", _context(hub), part)
    if sha256(part) != wanted:
        part.unlink()
        raise Refused("artifact", f"what the hub sent is not {wanted}; add the artifact to the hub again")
    part.replace(path)
    sync_folder(folder)
    return path


def _context(hub: Hub) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=hub.authority)
        if hub.papers is not None:
            context.load_cert_chain(*hub.papers)
    except (ssl.SSLError, ValueError) as error:
        raise Refused("artifact", f"authority or certificate cannot be used: {error}") from error
    return context


def _download(url: str, context: ssl.SSLContext, part: Path) -> None:
    for attempt in range(ATTEMPTS):
        try:
            _resume(url, context, part)
        except urllib.error.HTTPError as error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # it was whole already; its digest will tell
            raise Refused("artifact", f"{url}: the hub says {error.code}") from error
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            if attempt + 1 == ATTEMPTS:
                raise Refused("artifact", f"{url}: {error}") from error
            time.sleep(PAUSE)
        else:
            return


def _resume(url: str, context: ssl.SSLContext, part: Path) -> None:
    """Appends what is missing of ``part``. Raises IncompleteRead where the connection ended before the file did."""
    begin = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={begin}-"} if begin else {})  # noqa: S310
    # an empty ProxyHandler: the hub is reached through the tunnel, whatever the environment says
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(request, timeout=TIMEOUT) as answer:
        mode = "ab" if answer.status == http.HTTPStatus.PARTIAL_CONTENT else "wb"
        with part.open(mode) as file:
            _copy(answer, file.fileno())
        expected = answer.headers.get("Content-Length")
        sent = part.stat().st_size - (begin if mode == "ab" else 0)
        if expected is not None and sent < int(expected):
            raise http.client.IncompleteRead(b"", int(expected) - sent)


def _copy(answer: http.client.HTTPResponse, handle: int) -> None:
    try:
        for block in iter(lambda: answer.read(BLOCK), b""):
            os.write(handle, block)
        os.fsync(handle)
    except OSError as error:
        if full(error):
            raise Refused("disk_full", "no room on the disk for a download") from error
        raise
