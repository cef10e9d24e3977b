"""A ``ProxyCommand`` of ssh that counts: ``python -I -S link.py HOST PORT SECONDS FOLDER``.

Carries one connection, and keeps in ``FOLDER/<pid>`` how many bytes were sent and received: what ssh puts on the wire,
compressed and encrypted, without TCP's and the tunnel's own headers. ``FOLDER/<pid>.not`` says why there is no
connection: then nothing reached the device. (ssh hides what its proxy says.) Needs the standard library only.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import sys

NOT = ".not"
COUNT = struct.Struct("<QQ")
CHUNK = 65536


def carry(link: socket.socket, counts: int) -> None:
    """Until either side has ended."""
    sent = received = 0
    while True:
        for ready in select.select([0, link.fileno()], [], [])[0]:
            data = link.recv(CHUNK) if ready else os.read(0, CHUNK)
            if not data:
                return
            if ready:
                received += len(data)
                _write(1, data)
            else:
                sent += len(data)
                link.sendall(data)
            os.pwrite(counts, COUNT.pack(sent, received), 0)


def _write(out: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]


def main(host: str, port: str, seconds: str, folder: str) -> int:
    file = f"{folder}/{os.getpid()}"
    counts = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        link = socket.create_connection((host, int(port)), timeout=float(seconds))
    except OSError as error:
        with open(f"{file}{NOT}", "w", encoding="utf-8") as told:  # noqa: PTH123 (starts in 15 ms without)
            told.write(os.strerror(error.errno) if error.errno else str(error))
        return 1
    link.settimeout(None)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        carry(link, counts)
    except OSError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:5]))
