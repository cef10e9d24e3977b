from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from audio.receiver.__main__ import main
from audio.receiver.config import Config, clock_shift, load
from audio.receiver.identity import Files
from tests.audio.receiver_kit import EVENING, Kit, write_config


@pytest.fixture
def kit() -> Kit:
    return Kit(lambda: EVENING)


def test_settings_are_read_whole(tmp_path: Path, kit: Kit) -> None:
    config = load(write_config(tmp_path, kit, broker="127.0.0.1:8883", clock="2024-10-01T16:59:30+07:00@1795000000.0"))
    assert isinstance(config, Config)
    assert (config.host, config.port) == ("127.0.0.1", 8883)
    assert config.state == tmp_path / "state"
    assert config.output == tmp_path / "out.pcm"
    assert config.root == kit.root.public
    assert config.shift == EVENING - 1_795_000_000_000


def test_a_sound_card_by_its_alsa_name(tmp_path: Path, kit: Kit) -> None:
    config = load(write_config(tmp_path, kit, output="alsa:plughw:0,0"))
    assert isinstance(config, Config)
    assert (config.output, config.card) == (None, "plughw:0,0")


def test_null_output(tmp_path: Path, kit: Kit) -> None:
    config = load(write_config(tmp_path, kit, output="null"))
    assert isinstance(config, Config)
    assert config.output is None


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"device": ""}, "device"),
        ({"device": "a/b"}, "device"),
        ({"broker": "hub"}, "broker"),
        ({"broker": "hub:99999"}, "broker"),
        ({"content": "ftp://x"}, "content"),
        ({"root": "c2hvcnQ="}, "root"),
        ({"root": "?"}, "root"),
        ({"policy": "absent.frame"}, "policy"),
        ({"output": "alsa:"}, "output"),
        ({"output": "pulse:default"}, "output"),
        ({"cache_mb": "512"}, "cache_mb"),
        ({"volume": "80"}, "volume"),
        ({"clock": "17:00"}, "clock"),
        ({"clock": "2024-10-01T16:59:30@1"}, "clock"),
        ({"clock": "2024-10-01T16:59:30+07:00@1", "output": "null"}, "clock"),
    ],
)
def test_a_wrong_setting_names_file_key_and_fix(
    tmp_path: Path, kit: Kit, capsys: pytest.CaptureFixture[str], changes: dict[str, str], key: str
) -> None:
    path = write_config(tmp_path, kit, **changes)
    assert main(["--config", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}: {key}: ")


def test_all_mistakes_are_named_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "receiver.toml"
    path.write_text("")
    assert main(["--config", str(path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 7


@pytest.mark.parametrize("text", ["device = ", "\x00"])
def test_a_file_that_is_not_toml(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    path = tmp_path / "receiver.toml"
    path.write_text(text)
    assert main(["--config", str(path)]) == 2
    assert "is not TOML" in capsys.readouterr().err


def test_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path / "none.toml")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_a_policy_of_another_root_is_refused(tmp_path: Path, kit: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_config(tmp_path, kit)
    (tmp_path / "policy.frame").write_bytes(Kit(lambda: EVENING).policy_frame())
    assert main(["--config", str(path)]) == 2
    assert ": policy: is refused (ENV003" in capsys.readouterr().err


def test_the_shift_makes_that_wall_time_that_instant() -> None:
    assert clock_shift("2024-10-01T16:59:30+07:00@1727776770.5") == -500


def test_the_program_ends_cleanly_without_a_broker(tmp_path: Path, kit: Kit) -> None:
    path = write_config(tmp_path, kit, output="null")
    command = [sys.executable, "-m", "audio.receiver", "--config", str(path), "--die-with-parent"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while b"broker 127.0.0.1:1" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGTERM)
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode == 0


def test_starting_needs_neither_decoder_nor_anything_above(tmp_path: Path) -> None:
    code = (
        "import sys, audio.receiver.__main__\n"
        "bad = {'av', 'numpy', 'asyncio', 'inventory', 'nms', 'tui', 'exporters'} & set(sys.modules)\n"
        "sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def refused(config: object) -> list[str]:
    assert isinstance(config, tuple)
    return [problem.key for problem in config]


def test_without_certificates_nothing_leaves_the_machine(tmp_path: Path, kit: Kit) -> None:
    for here in ("127.0.0.1", "127.3.2.1", "[::1]", "localhost"):
        config = load(write_config(tmp_path, kit, broker=f"{here}:1883", content=f"http://{here}:8080"))
        assert isinstance(config, Config), config
        assert config.papers is None
    for there in ("192.0.2.7", "hub.example", "localhost.example", "[2001:db8::1]"):
        assert refused(load(write_config(tmp_path, kit, broker=f"{there}:8883"))) == ["broker"]
        assert refused(load(write_config(tmp_path, kit, content=f"http://{there}:8080"))) == ["content"]
    assert refused(load(write_config(tmp_path, kit, content="https://127.0.0.1:8443"))) == ["content"]


def test_with_certificates_everything_is_encrypted(tmp_path: Path, kit: Kit) -> None:
    for name in ("ca.pem", "device.pem", "device.key"):
        (tmp_path / name).touch()
    papers = {"ca": "ca.pem", "certificate": "device.pem", "key": "device.key"}
    secure = papers | {"broker": "hub.example:8883", "content": "https://hub.example:8443"}
    config = load(write_config(tmp_path, kit, **secure))
    assert isinstance(config, Config)
    assert config.papers == Files(tmp_path / "ca.pem", tmp_path / "device.pem", tmp_path / "device.key")
    assert refused(load(write_config(tmp_path, kit, **secure | {"content": "http://127.0.0.1:1"}))) == ["content"]
    assert refused(load(write_config(tmp_path, kit, **secure | {"key": "none.key"}))) == ["key"]
    for missing in papers:
        assert refused(load(write_config(tmp_path, kit, **secure | {missing: ""})))[0] == missing


def test_a_certificate_that_cannot_be_used_is_told_at_the_start(
    tmp_path: Path, kit: Kit, capsys: pytest.CaptureFixture[str]
) -> None:
    papers = {"ca": "ca.pem", "certificate": "device.pem", "key": "device.key"}
    for name in papers.values():
        (tmp_path / name).write_text("nonsense")
    path = write_config(tmp_path, kit, content="https://127.0.0.1:1", **papers)
    assert main(["--config", str(path)]) == 2
    assert ": certificate: is refused" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "read"), [("", 512), ("cache_mb = 64\n", 64), ("cache_mb = 15\n", None)])
def test_the_storage_for_sounds(tmp_path: Path, kit: Kit, given: str, read: int | None) -> None:
    path = write_config(tmp_path, kit)
    path.write_text(path.read_text() + given)
    config = load(path)
    assert (config.cache_mb if isinstance(config, Config) else None) == read
