"""The hub's artifacts: bytes that are what their name says, and the receiver as one file that Python runs."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from nms.provision.artifacts import ArtifactStore, receiver

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT / "packaging/receiver", check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made.read_bytes()


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def test_an_artifact_is_found_by_name_and_by_content(store: ArtifactStore) -> None:
    assert store.all() == {}
    made = store.add("receiver", b"program", "0.1.0", "receiver.whl")
    sha = hashlib.sha256(b"program").hexdigest()
    assert (made.sha256, made.size, made.version) == (sha, 7, "0.1.0")
    assert store.digests() == {"receiver": sha}
    path = store.path(sha)
    assert path is not None
    assert path.read_bytes() == b"program"


def test_a_newer_one_takes_the_name_and_the_older_one_can_still_be_fetched(store: ArtifactStore) -> None:
    old = store.add("receiver", b"1", "1", "r")
    new = store.add("receiver", b"2", "2", "r")
    assert store.digests() == {"receiver": new.sha256}
    assert store.path(old.sha256) is not None
    assert store.sweep(keep=[old.sha256]) == 0
    assert store.sweep(keep=[]) == 1
    assert store.path(old.sha256) is None
    assert store.path(new.sha256) is not None


def test_adding_the_same_again_changes_nothing(store: ArtifactStore, tmp_path: Path) -> None:
    store.add("a", b"1", "1", "f")
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    store.add("a", b"1", "1", "f")
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("name", ["", "../index.json", "index.json", "0" * 64, "A" * 64])
def test_nothing_else_is_served(store: ArtifactStore, name: str) -> None:
    store.add("a", b"1", "1", "f")
    assert store.path(name) is None


def test_a_damaged_index_says_so(store: ArtifactStore, tmp_path: Path) -> None:
    store.add("a", b"1", "1", "f")
    (tmp_path / "artifacts/index.json").write_text('{"a": 1}')
    with pytest.raises(ValueError, match="damaged"):
        store.all()


def test_the_receiver_runs_from_one_file(wheel: bytes, tmp_path: Path) -> None:
    file = tmp_path / "receiver.whl"
    file.write_bytes(wheel)
    code = "import audio.receiver.snmp as ours; print(ours.__file__)"
    command = [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(file)!r}); {code}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(file))
    assert receiver(wheel) == "0.1.0"
    assert len(wheel) < 200_000


@pytest.mark.parametrize("wrong", [b"", b"PK", b"not a wheel"])
def test_what_is_no_wheel(wrong: bytes) -> None:
    with pytest.raises(ValueError, match="not a wheel"):
        receiver(wrong)


def test_another_wheel() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("x-1.dist-info/METADATA", "Version: 1\n")
    with pytest.raises(ValueError, match="not a wheel of loa-receiver"):
        receiver(packed.getvalue())
