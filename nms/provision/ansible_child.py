"""One run of ansible-runner in a process of its own: ``python -m nms.provision.ansible_child PARENT FOLDER PLAYBOOK``.

Tells on stdout what became of every host, one JSON object a line as it happens, and ends with ``{"event": "end"}``.
The process ends with the one that started it, and Ansible with this one: a hub that was killed changes nothing more.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import Any, TextIO

import ansible_runner  # type: ignore[import-untyped]

_TOLD = frozenset({"runner_on_ok", "runner_on_failed", "runner_on_unreachable"})
_PR_SET_PDEATHSIG = 1


def main(folder: str, playbook: str, out: TextIO) -> None:
    def tell(what: dict[str, Any]) -> None:
        out.write(json.dumps(what, ensure_ascii=False) + "\n")
        out.flush()

    def heard(event: dict[str, Any]) -> bool:
        data = event.get("event_data", {})
        if event["event"] in _TOLD:
            keys = ("host", "task_action", "res", "ignore_errors")
            tell({"event": event["event"], **{key: data.get(key) for key in keys}})
        return False  # nothing is kept on the disk

    run = ansible_runner.run(private_data_dir=folder, playbook=playbook, quiet=True, event_handler=heard)
    tell({"event": "end", "status": run.status, "rc": run.rc, "said": _complaint(run.stdout.read())})


def _complaint(text: str) -> str:
    """Ansible's own error, if there was one beside the hosts'."""
    marks = ("ERROR", "[ERROR]")
    return next((line for line in text.splitlines() if line.startswith(marks)), "")


def _end_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    _end_with(int(sys.argv[1]))
    main(sys.argv[2], sys.argv[3], sys.stdout)
