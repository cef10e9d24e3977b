"""The real program in a real terminal, against the real socket."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tui.loa_command import ROOT, environment

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


class Terminal:
    """A tmux server of its own with one window of 80x24."""

    def __init__(self, socket: Path, command: list[str], variables: dict[str, str]) -> None:
        self._socket = socket
        given = [part for name, value in variables.items() for part in ("-e", f"{name}={value}")]
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", *given, *command)

    def _tmux(self, *arguments: str) -> str:
        base = {k: v for k, v in os.environ.items() if k not in ("TMUX", "TMUX_PANE")}
        done = subprocess.run(
            ["tmux", "-S", str(self._socket), "-u", *arguments],
            cwd=ROOT,
            env=base | {"LC_ALL": "C.UTF-8", "TERM": "xterm-256color"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    def keys(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def alive(self) -> bool:
        return bool(self._tmux("list-panes"))

    def until(self, condition: Callable[[str], bool]) -> str:
        """The screen once it is so; the limit only ends a test that fails."""
        limit = time.monotonic() + 60
        while not condition(seen := self.screen()):
            assert time.monotonic() < limit, seen
            time.sleep(0.05)
        return seen

    def close(self) -> None:
        self._tmux("kill-server")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    home = tmp_path / "home"
    hub = subprocess.Popen(
        [sys.executable, "-m", "tests.tui.hub_process", str(home / "state" / "hub.sock")],
        cwd=ROOT,
    )
    made = Terminal(tmp_path / "tmux", [sys.executable, "-m", "tui.cli", "--as", "operator", "tui"], environment(home))
    yield made
    made.close()
    hub.terminate()
    hub.wait(30)


def test_the_program_shows_the_province_opens_the_form_and_leaves(terminal: Terminal) -> None:
    first = ("17:00:00", "Huyện Đăk Đoa", "23560-M01", "Lịch tiêm chủng [đợt 2]")
    terminal.until(lambda text: all(part in text for part in first))
    terminal.keys("p")
    terminal.until(lambda text: "Xã Ia Pa" in text)
    terminal.keys("Escape")
    terminal.until(lambda text: "Huyện Đăk Đoa" in text)
    terminal.keys("a")
    terminal.until(lambda text: "23557-M01" in text and "Siu Nga 0905" in text)
    terminal.keys("Escape")
    terminal.until(lambda text: "Huyện Đăk Đoa" in text)
    terminal.keys("q")
    terminal.until(lambda _: not terminal.alive())


def test_a_horn_is_silenced_and_let_speak_by_somebody_who_types_ahead(terminal: Terminal) -> None:
    terminal.until(lambda text: "Huyện Đăk Đoa" in text)
    terminal.keys("a")
    terminal.until(lambda text: "Siu Nga 0905" in text)
    terminal.keys("k")
    terminal.until(lambda text: "KHÔNG PHÁT GÌ" in text)
    terminal.keys("23557-L01", "Enter", "05/10", "Enter", "rú", "Enter", "Enter", "Enter")
    terminal.until(lambda text: "⊗  17:00 01/10  1         23557-L01 đang khóa đến 23:59 05/10" in text)
    terminal.keys("Down", "Down")
    terminal.until(lambda text: "kể cả bản tin khẩn cấp" in text)
    terminal.keys("m")
    terminal.until(lambda text: "Mở khóa 23557-L01" in text)
    terminal.keys("da sua", "Enter")
    terminal.until(lambda text: "0 cụm loa đang khóa" in text)
