"""What a user installs: our names are ours, the wheels are whole, and a device's wheel stands alone."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from nms.provision.roles import playbooks

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("inventory", "nms", "audio", "exporters", "tui")


def project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text())


def built(folder: Path, into: Path) -> ZipFile:
    """The wheel of the project in ``folder``, made without any network."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (wheel,) = into.glob("*.whl")
    return ZipFile(wheel)


@pytest.fixture(scope="module")
def hub_wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    return built(ROOT, tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def receiver_wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    return built(ROOT / "packaging/receiver", tmp_path_factory.mktemp("receiver"))


@pytest.mark.parametrize("room", ROOMS)
def test_the_name_is_ours_alone_and_resolves_to_this_checkout(room: str) -> None:
    found = importlib.util.find_spec(room)
    assert found is not None
    assert Path(str(found.origin)) == ROOT / room / "__init__.py"
    assert set(packages_distributions().get(room, ())) <= {"loa-nms"}


def test_the_wheel_holds_the_rooms_and_their_data_and_nothing_else(hub_wheel: ZipFile) -> None:
    names = hub_wheel.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == set(ROOMS)
    for room in ROOMS:
        tracked = {p.relative_to(ROOT).as_posix() for p in (ROOT / room).rglob("*.py") if "__pycache__" not in p.parts}
        assert tracked <= set(names)
    assert "inventory/gia-lai/network.yaml" in names
    assert any(name.startswith("inventory/gia-lai/stations/") for name in names)
    assert any(name.startswith("nms/monitor/profiles/") and name.endswith(".yaml") for name in names)
    assert any(name.startswith("nms/migrations/versions/") for name in names)
    assert "tui/locale/vi/LC_MESSAGES/loa.mo" in names
    assert "exporters/rules/loa.rules.yml" in names


def test_the_wheel_holds_the_playbooks_where_the_hub_looks_for_them(hub_wheel: ZipFile) -> None:
    found = (p.relative_to(ROOT) for p in (ROOT / "playbooks").rglob("*") if p.is_file())
    names = {f"nms/provision/{p.as_posix()}" for p in found if not any(x.startswith((".", "__")) for x in p.parts[:-1])}
    assert "nms/provision/playbooks/library/loa_state.py" in names
    assert names <= set(hub_wheel.namelist())
    assert playbooks() == ROOT / "playbooks"


@pytest.mark.parametrize("place", ["checkout", "wheel"])
def test_the_hubs_playbook_finds_the_rules_wherever_it_lies(hub_wheel: ZipFile, tmp_path: Path, place: str) -> None:
    hub_wheel.extractall(tmp_path)
    folder = ROOT / "playbooks" if place == "checkout" else tmp_path / "nms/provision/playbooks"
    tasks = (folder / "roles/hub_watch/tasks/main.yml").read_text()
    assert "lookup('ansible.builtin.first_found', hub_watch_rules)" in tasks
    places = re.findall(r"{{ playbook_dir }}/([^\s\"]+)", (folder / "roles/hub_watch/defaults/main.yml").read_text())
    assert len([name for name in places if (folder / name).is_file()]) == 1


@pytest.mark.parametrize("wheel", ["hub_wheel", "receiver_wheel"])
def test_a_wheel_carries_the_licence_and_no_leftovers(wheel: str, request: pytest.FixtureRequest) -> None:
    names = request.getfixturevalue(wheel).namelist()
    assert any(name.endswith("/LICENSE") for name in names)
    assert not [n for n in names if n.endswith((".pyc", ".key", ".pem")) or "__pycache__" in n]


def test_the_receiver_wheel_holds_the_device_side_only(receiver_wheel: ZipFile) -> None:
    modules = {name for name in receiver_wheel.namelist() if name.endswith(".py")}
    shared = {f"audio/{name}.py" for name in ("__init__", "envelope", "documents", "timetable")}
    own = {p.relative_to(ROOT).as_posix() for p in (ROOT / "audio/receiver").rglob("*.py")}
    assert modules == shared | own


def test_both_distributions_have_one_version_and_the_same_command() -> None:
    hub, receiver = project(ROOT)["project"], project(ROOT / "packaging/receiver")["project"]
    assert receiver["scripts"] == {"loa-receiver": hub["scripts"]["loa-receiver"]}
    assert "version" in receiver["dynamic"]
    # on a device they may be Debian's, which are older
    needed, ours = ({d.partition(">=")[0] for d in project["dependencies"]} for project in (receiver, hub))
    assert needed <= ours


def test_a_device_runs_every_module_of_its_wheel_without_the_other_rooms(
    receiver_wheel: ZipFile, tmp_path: Path
) -> None:
    receiver_wheel.extractall(tmp_path)
    (metadata,) = tmp_path.glob("loa_receiver-*.dist-info/METADATA")
    assert f"Version: {project(ROOT)['project']['version']}" in metadata.read_text()
    modules = [n.removesuffix(".py").replace("/", ".") for n in receiver_wheel.namelist() if n.endswith(".py")]
    code = f"""
import importlib, sys
sys.path[:] = [{str(tmp_path)!r}] + [p for p in sys.path if p and p != {str(ROOT)!r}]
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
for name in {modules!r}:
    importlib.import_module(name.removesuffix(".__init__"))
assert callable(sys.modules["audio.receiver.__main__"].main)
ours = [m for m in sys.modules if m.split(".")[0] in {ROOMS!r}]
assert all(sys.modules[m].__file__.startswith({str(tmp_path)!r}) for m in ours), ours
assert {{m.split(".")[0] for m in ours}} == {{"audio"}}, ours
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_demo_needs_only_what_make_demo_installs() -> None:
    """``make demo`` installs the runtime dependencies and the group ``demo``, not what developing needs."""
    developing = {"ansiblelint", "hatchling", "hypothesis", "jsonschema", "mypy", "pysnmp", "pytest", "ruff", "xdist"}
    imported = set()
    for file in (ROOT / "tests/sim").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    assert not imported & developing
