"""The layers hold and would be seen to break; a light command stays light."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("inventory", "nms", "audio", "exporters", "tui")
HEAVY = {"textual", "sqlalchemy", "alembic", "ansible", "aiohttp", "aiomqtt", "av", "numpy", "cryptography"}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The rooms and their contracts, apart from the checkout."""
    for room in ROOMS:
        ignore = shutil.ignore_patterns("__pycache__", "gia-lai", "locale")
        shutil.copytree(ROOT / room, tmp_path / room, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def contracts(folder: Path) -> subprocess.CompletedProcess[str]:
    """lint-imports over the rooms in ``folder``; the checkout itself must not be found."""
    code = f"""
import sys
sys.path[:] = [{str(folder)!r}] + [p for p in sys.path if p and p != {str(ROOT)!r}]
from importlinter.cli import lint_imports_command
lint_imports_command(["--no-cache", "--no-logo"])
"""
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("inventory/model.py", "nms"),
        ("nms/i18n.py", "audio.envelope"),
        ("audio/envelope.py", "tui"),
        ("exporters/__init__.py", "tui.methods"),
        ("tui/methods.py", "exporters"),
        ("audio/receiver/__init__.py", "inventory.model"),
        ("audio/receiver/__init__.py", "audio.broker"),
        ("audio/timetable.py", "audio.receiver"),
        ("audio/timetable.py", "cryptography"),
        ("audio/documents.py", "audio.envelope"),
    ],
)
def test_an_import_against_the_layers_is_refused(copy: Path, module: str, imported: str) -> None:
    with (copy / module).open("a") as file:
        file.write(f"\nimport {imported}\n")
    done = contracts(copy)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout
    assert f"{module.removesuffix('.py').removesuffix('/__init__').replace('/', '.')} -> {imported}" in done.stdout


def loaded_by(*arguments: str) -> set[str]:
    """The top-level packages that ``loa`` with these arguments has loaded when it ends."""
    code = f"""
import atexit, sys
atexit.register(lambda: print("LOADED", *{{m.split(".")[0] for m in sys.modules}}, file=sys.stderr))
from tui.cli import main
main({list(arguments)!r})
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return set(done.stderr.rpartition("LOADED")[2].split())


def test_help_loads_click_and_little_else() -> None:
    assert not loaded_by("--help") & (HEAVY | {"yaml", "asyncio"})


def test_validate_loads_no_screens_no_store_and_no_ansible() -> None:
    loaded = loaded_by("--inventory", str(ROOT / "inventory/gia-lai"), "validate")
    assert "yaml" in loaded
    assert not loaded & HEAVY
