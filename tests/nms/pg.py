"""A PostgreSQL server of the tests' own: an unprivileged child on a Unix socket in a folder that nobody else can enter.

It listens on no port, and ends with the process that started it, however that ends.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_OPTIONS = ("listen_addresses=", "fsync=off", "max_connections=100", "shared_buffers=32MB", "log_line_prefix=%m %p %a ")


def programs() -> Path | None:
    """The folder of initdb and postgres; Debian keeps them out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    in_path = shutil.which("initdb")
    return found[-1].parent if found else Path(in_path).parent if in_path else None


def why_not() -> str | None:
    """Why there can be no server here; None if there can be one."""
    if programs() is None:
        return "PostgreSQL is not installed (apt-get install postgresql)"
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        return "PostgreSQL does not run as root, and setpriv (util-linux) is not there to run it as somebody else"
    return None


class Server:
    """One cluster; ``stop`` and ``start`` take it away and bring it back with its data."""

    def __init__(self) -> None:
        bin_folder = programs()
        assert bin_folder is not None
        self._programs = bin_folder
        self.folder = Path(tempfile.mkdtemp(prefix="loa-pg-"))
        self._child: subprocess.Popen[bytes] | None = None
        self._names = count(1)
        self._as: list[str] = []
        if os.getuid() == 0:
            user = next(u for u in pwd.getpwall() if u.pw_name in ("postgres", "nobody"))
            user = next((u for u in pwd.getpwall() if u.pw_name == "postgres"), user)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        self._run("initdb", "-D", str(self.data), "-U", "loa", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        self.start()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        options = ["-k", str(self.folder), *(part for option in _OPTIONS for part in ("-c", option))]
        death = ["--pdeathsig=QUIT"] if self._as else []  # a change of user would clear what was set before it
        with (self.folder / "log").open("ab") as log:
            self._child = subprocess.Popen(
                [*self._as, *death, str(self._programs / "postgres"), "-D", str(self.data), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                preexec_fn=_die_with_parent,
            )
        deadline = time.monotonic() + 120
        while not self._ready():
            assert self._child.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """SIGQUIT: as a crash would, every session is cut off; SIGINT: the same, but in order."""
        if self._child is not None:
            self._child.send_signal(how)
            self._child.wait()
            self._child = None

    def database(self) -> str:
        """The URL of a new empty database."""
        name = f"loa{next(self._names)}"
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, name: str) -> str:
        return f"postgresql://loa@/{name}?host={self.folder}"

    def sql(self, statement: str, database: str = "postgres") -> Sequence[tuple[Any, ...]]:
        """The rows of one statement in a session of its own."""
        with psycopg.connect(host=str(self.folder), user="loa", dbname=database, autocommit=True) as session:
            cursor = session.execute(statement)
            return cursor.fetchall() if cursor.description else ()

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    def _ready(self) -> bool:
        try:
            self.sql("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as, str(self._programs / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
