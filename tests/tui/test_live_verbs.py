"""``loa push --live`` and ``loa live`` as a person at a shell meets them, without a hub."""

from __future__ import annotations

import pytest

from tests.tui.loa_command import Shell, program

PUSH = ("push", "--origin", "23557", "--title", "Nói chuyện")


@pytest.mark.parametrize(
    "content",
    [
        (),
        ("--live", "10m", "--text", "Kính thưa bà con"),
        ("--live", "10m", "--audio", "nói.wav"),
        ("--text", "Kính thưa bà con", "--audio", "nói.wav"),
    ],
)
def test_a_bulletin_has_one_content(shell: Shell, content: tuple[str, ...]) -> None:
    answer = shell.loa(*PUSH, *content)
    assert answer.code == 2
    assert "--text, --audio và --live" in answer.err


@pytest.mark.parametrize("length", ["0m", "10", "1d", "m", "-5m", "10 m", "99999s"])
def test_a_length_is_a_number_with_its_unit(shell: Shell, length: str) -> None:
    answer = shell.loa(*PUSH, f"--live={length}")
    assert answer.code == 2
    assert f"«{length}»" in answer.err


def test_trim_is_for_recordings_only(shell: Shell) -> None:
    answer = shell.loa(*PUSH, "--live", "10m", "--trim")
    assert answer.code == 2
    assert "--trim" in answer.err


@pytest.mark.parametrize("source", [(), ("--input", "plughw:1,0"), ("--input", "-")])
def test_nobody_speaks_over_ssh(shell: Shell, source: tuple[str, ...]) -> None:
    answer = shell.loa("live", "b1", *source, SSH_CONNECTION="203.0.113.5 50000 10.0.0.1 22")
    assert answer.code == 1
    assert "AUD021" in answer.err
    assert "SSH" in answer.err
    assert answer.out == ""


def test_without_a_hub_nobody_waits(shell: Shell) -> None:
    answer = program(shell.home, "live", "b1", "--input", "-", stdin="", SSH_CONNECTION="")
    assert answer.code == 1
    assert "CFG101" in answer.err
    assert "live.sock" in answer.err
