"""``make lab`` and ``make lab-down``: a small network to play with, which a process of its own holds."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.lab import keeper
from tests.lab.host import Host
from tests.lab.lab import OCTET, PUBLIC, ROUTER, Lab, Unavailable, unavailable
from tests.lab.link import WEAK_4G

_STATE: Final = keeper.LABS / "play.json"
_ROOT: Final = Path(__file__).resolve().parents[2]
_SECONDS: Final = 120


def up() -> int:
    """Starts the network unless it runs; says what there is and how to log in."""
    if _running() is None:
        print("lab: starting (the first time makes an image of Debian, about a minute)", file=sys.stderr)
        command = [sys.executable, "-m", "tests.lab.play", "hold"]
        with tempfile.TemporaryFile("w+") as said:  # no terminal: whoever waits for our output must not wait for it
            holder = subprocess.Popen(
                command,
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                start_new_session=True,
            )
            assert holder.stdout is not None
            if holder.stdout.readline().strip() != "ready":
                failed = holder.wait()
                said.seek(0)
                print(said.read(), end="", file=sys.stderr)
                return failed
    print(json.loads(_STATE.read_text())["text"])
    return 0


def down() -> int:
    """Ends what ``up`` started, and what killed labs left."""
    running = _running()
    if running is not None:
        lab, holder = running
        os.kill(holder, signal.SIGTERM)
        deadline = time.monotonic() + _SECONDS
        while keeper.alive(lab):
            if time.monotonic() > deadline:
                print(f"lab: {lab} does not end", file=sys.stderr)
                return 1
            time.sleep(0.1)
    with keeper.starting():
        keeper.sweep()
        _STATE.unlink(missing_ok=True)
    print("lab: nothing runs")
    return 0


def _running() -> tuple[str, int] | None:
    """The lab and the process that holds it."""
    try:
        state = json.loads(_STATE.read_text())
    except FileNotFoundError:
        return None
    return (state["lab"], state["holder"]) if keeper.alive(state["lab"]) else None


def _hold() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with Lab() as lab:
            modem = lab.modem("23557-M01", link=WEAK_4G)
            for number in (1, 2, 3):
                lab.host(f"23557-L{number:02d}")
            lab.host("23557-L04", behind=modem)
            lab.router("23557-M02")
            lab.ready()
            state = {"lab": lab.id, "holder": os.getpid(), "text": _described(lab)}
            _STATE.write_text(json.dumps(state))
            print("ready", flush=True)
            while True:
                signal.pause()
    except Unavailable as reason:
        print(f"lab: {reason}", file=sys.stderr)
        return 1


def _described(lab: Lab) -> str:
    hosts = [f"  {host.name}  {host.address:<15}  {_login(lab, host)}" for host in lab.hosts]
    router = lab.hosts[-1]
    return "\n".join(
        (
            f"lab: the centre is {PUBLIC} and the hub's address in {OCTET}/8; a shell there:",
            f"  nsenter --net={lab.noc.net}",
            "Log in (behind a NAT: from inside, as nobody else can):",
            *hosts,
            f"The router's command line: {_login(lab, router, ROUTER)}",
            "make lab-down takes everything away.",
        )
    )


def _login(lab: Lab, host: Host, user: str = "") -> str:
    space, address = (lab.noc, "") if host.exposed else (host.space, "127.0.0.1")
    return shlex.join(["nsenter", f"--net={space.net}", *lab.ssh(host, user=user, address=address)])


if __name__ == "__main__":
    if os.geteuid():
        sys.exit(f"lab: {unavailable()}")
    sys.exit({"up": up, "down": down, "hold": _hold}[sys.argv[1]]())
