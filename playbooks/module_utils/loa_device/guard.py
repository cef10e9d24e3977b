"""What makes a device go back by itself: a timer of systemd's, and after a power cut a unit early in the boot.

``python3 STATE/loa_state.pyz boot`` finishes what a power cut left, before network and receiver start;
``... expire`` goes back from a change that nobody confirmed in time.
"""

from __future__ import annotations

import io
import pkgutil
import sys
import time
import zipfile
from pathlib import Path

from . import services
from .disk import Refused, put, seen
from .journal import State

PROGRAM = "loa_state.pyz"
EXPIRE = "loa-state-expire"
BOOT = "/etc/systemd/system/loa-state-recover.service"
MODULES = ("__init__", "disk", "services", "journal", "guard", "transaction", "boot")
FIXED = (2024, 1, 1, 0, 0, 0)
"""One date for every file, so that the same program has the same bytes."""
AGAIN = 300.0
"""Seconds of probation where it is not known how many were given."""
UNIT = """\
[Unit]
Description=Finish or undo what a power cut left of the last change by Loa
DefaultDependencies=no
RequiresMountsFor=/etc /var/lib/loa
After=local-fs.target systemd-remount-fs.service
Before=sysinit.target network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
TimeoutStartSec=120
ExecStart=/usr/bin/python3 /var/lib/loa/state/loa_state.pyz boot

[Install]
WantedBy=sysinit.target
"""


def program() -> bytes:
    """This package as one file that Python runs."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in MODULES:
            archive.writestr(zipfile.ZipInfo(f"loa_device/{name}.py", FIXED), _source(name))
        archive.writestr(zipfile.ZipInfo("__main__.py", FIXED), "from loa_device.boot import main\nmain()\n")
    return packed.getvalue()


def _source(name: str) -> bytes:
    data = pkgutil.get_data(__package__ or "loa_device", f"{name}.py")
    if data is None:
        raise Refused("io", f"{name}.py of this module cannot be read")
    return data


def install(state: State) -> None:
    """The program and its boot unit are on the device, and current. Raises Refused or OSError."""
    current = program()
    path = state.folder / PROGRAM
    if not path.exists() or path.read_bytes() != current:
        put(path, current)
    unit = state.at(BOOT)
    found = seen(unit)
    if found is None or found.text != UNIT:
        unit.parent.mkdir(parents=True, exist_ok=True)
        put(unit, UNIT.encode(), 0o644)
        services.reload()
    name = unit.name
    if services.state(name) != "enabled stopped":
        services.bring(name, "enabled stopped", restart=False, block=True)


def arm(state: State, within: float) -> None:
    """From now on the device goes back after ``within`` seconds. Raises Refused where systemd will not, and OSError.

    An earlier timer stays: when it runs out, it finds a later time, or does what the new one was to do.
    """
    at = time.monotonic() + within
    command = ["/usr/bin/python3", str(state.folder / PROGRAM), "expire"]
    # without default dependencies the timer starts before sysinit.target, which waits for the unit that this runs in
    properties = [f"--timer-property={one}" for one in ("AccuracySec=1s", "DefaultDependencies=no")]
    unit = f"--unit={EXPIRE}-{time.monotonic_ns()}"
    again = ["--property=Restart=on-failure", "--property=RestartSec=30s"]  # until it has gone back
    timer = [unit, f"--on-active={within * 1000:.0f}ms", *properties, *again]
    status, text = services.run(["systemd-run", "--quiet", "--collect", "--no-block", *timer, *command])
    if status:
        raise Refused("service", f"no timer to go back with: {text[-200:]}")
    state.write("deadline.json", {"boot": boot_id(), "at": at, "within": within})


def rearm(state: State) -> None:
    """As armed last, from the beginning."""
    arm(state, float((state.read("deadline.json") or {"within": AGAIN})["within"]))


def disarm(state: State) -> None:
    services.run(["systemctl", "--quiet", "stop", f"{EXPIRE}-*.timer"])
    (state.folder / "deadline.json").unlink(missing_ok=True)


def left(state: State) -> float:
    """Seconds until the device goes back; 0 when the time is over, or was counted before a reboot."""
    found = state.read("deadline.json")
    if found is None or found["boot"] != boot_id():
        return 0.0
    return max(0.0, float(found["at"]) - time.monotonic())


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def fail(error: Exception) -> None:
    print(f"loa-state: {error}", file=sys.stderr)
