"""The image is made once, by one process at a time; why it cannot be made is said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.image import Unavailable, image

ROOT = Path(__file__).resolve().parents[2]
BUILDER = """#!/bin/sh
echo built >>"$LAB_BUILDS"
for argument; do
  case "$argument" in *.partial) mkdir "$argument" || exit 1; sleep 0.3; touch "$argument/done" ;; esac
done
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, a machine whose apt knows Debian, and a slow builder in place of mmdebstrap."""
    (tmp_path / "mmdebstrap").write_text(BUILDER)
    (tmp_path / "mmdebstrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LAB_BUILDS", str(tmp_path / "builds"))
    (tmp_path / "apt").mkdir()
    (tmp_path / "apt/sources.list").write_text("deb http://archive.invalid/debian bookworm main\n")
    monkeypatch.setattr("tests.lab.image._APT", tmp_path / "apt")
    return tmp_path


def test_two_builders_at_once_build_one_image(cache: Path) -> None:
    program = (
        "from pathlib import Path; from tests.lab import image; "
        f"image._APT = Path({str(cache / 'apt')!r}); print(image.image() / 'done')"
    )
    command = [sys.executable, "-c", program]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    places = {process.communicate()[0].strip() for process in both}
    assert len(places) == 1
    assert Path(places.pop()).exists()
    assert (cache / "builds").read_text() == "built\n"


def test_what_a_killed_builder_left_is_built_anew(cache: Path) -> None:
    place = image()
    place.rename(place.with_suffix(".partial"))
    (place.with_suffix(".partial") / "half").touch()
    assert sorted(path.name for path in image().iterdir()) == ["done"]


def test_a_failed_build_says_why_and_leaves_no_image(cache: Path) -> None:
    (cache / "mmdebstrap").write_text("#!/bin/sh\necho 'E: no way to the archive' >&2\nexit 1\n")
    with pytest.raises(Unavailable, match="no way to the archive"):
        image()
    assert not list((cache / "cache/loa").glob("lab-*[0-9a-f]"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "deb http://archive.invalid/debian trixie main\n",
        "# deb http://archive.invalid/debian bookworm main\n",
        "deb http://vendor.invalid/apt vendor-bookworm main\n",
    ],
)
def test_a_machine_whose_apt_does_not_know_the_suite_is_told(cache: Path, text: str) -> None:
    (cache / "apt/sources.list").write_text(text)
    with pytest.raises(Unavailable, match="bookworm"):
        image()
