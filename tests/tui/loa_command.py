"""The ``loa`` command as a person at a shell meets it: in this process for speed, or as a program of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tui.cli import main

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The one document on stdout, which names its format."""
        document = json.loads(self.out)
        assert document["format_version"] == 1
        return document


@dataclass
class Shell:
    """A user without configuration, whose state is in a folder of its own."""

    home: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def loa(self, *arguments: str | Path, **variables: str) -> Answer:
        with self.monkeypatch.context() as patch:
            for name in [n for n in os.environ if n.startswith(("LOA_", "XDG_"))]:
                patch.delenv(name)
            # the command writes its language there (nms.i18n.speak); the test's own stays as it was
            for name, value in (environment(self.home) | {"LANGUAGE": "vi"} | variables).items():
                patch.setenv(name, value)
            self.capsys.readouterr()
            with pytest.raises(SystemExit) as stop:
                main([str(a) for a in arguments])
        out, err = self.capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return Answer(stop.value.code, out, err)


def environment(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "LOA_STATE_DIR": str(home / "state")}


def program(home: Path, *arguments: str | Path, stdin: str = "", **variables: str) -> Answer:
    """The same as a process: what a script or cron gets."""
    base: Mapping[str, str] = {k: v for k, v in os.environ.items() if not k.startswith(("LOA_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-m", "tui.cli", *map(str, arguments)],
        cwd=ROOT,
        env={**base, **environment(home), **variables},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)
