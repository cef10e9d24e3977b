"""A new province by ``loa init``, and the policies that its root key signs."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.tui.loa_command import Shell, program

PASSPHRASE = "sông Ba chảy về Phú Yên"  # noqa: S105 (of keys that live as long as a test)
INIT = ("init", "--code", "52", "--name", "Gia Lai")


def test_init_makes_a_folder_that_validates_and_keys_outside_it(shell: Shell, tmp_path: Path) -> None:
    folder, keys = tmp_path / "tinh", tmp_path / "tinh.keys"
    made = shell.loa("--lang", "en", *INIT, folder, LOA_ROOT_PASSPHRASE=PASSPHRASE)
    assert (made.code, made.err) == (0, "")
    assert str(folder) in made.out
    assert str(keys) in made.out
    assert PASSPHRASE not in made.out
    checked = shell.loa("--inventory", folder, "validate")
    assert (checked.code, checked.err) == (0, "")
    private = [p for p in keys.rglob("*") if p.is_file()]
    assert private
    assert all(stat.S_IMODE(p.stat().st_mode) & 0o077 == 0 for p in private)
    assert not [p for p in folder.rglob("*") if p.suffix == ".pem"]


def test_init_refuses_a_second_time_and_changes_nothing(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "tinh"
    assert shell.loa(*INIT, folder, LOA_ROOT_PASSPHRASE=PASSPHRASE).code == 0
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    again = shell.loa(*INIT, folder, LOA_ROOT_PASSPHRASE=PASSPHRASE)
    assert (again.code, again.out) == (1, "")
    assert again.err.count("lỗi[ENV020]") == 2, "the folder and its keys are there"
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("verb", ["init", "policies"])
def test_without_a_terminal_and_a_passphrase_it_is_a_usage_error(shell: Shell, tmp_path: Path, verb: str) -> None:
    arguments = (*INIT, tmp_path / "tinh") if verb == "init" else (verb,)
    answer = shell.loa(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert "LOA_ROOT_PASSPHRASE" in answer.err
    assert not (tmp_path / "tinh").exists()


def test_what_is_wrong_with_a_new_province_is_told_at_once(shell: Shell, tmp_path: Path) -> None:
    answer = shell.loa("init", "--code", "5", "--name", " ", tmp_path / "tinh", LOA_ROOT_PASSPHRASE=PASSPHRASE[:5])
    assert answer.code == 1
    for code in ("ENV030", "ENV031", "ENV024"):
        assert f"lỗi[{code}]" in answer.err
    assert not (tmp_path / "tinh").exists()


def test_policies_are_signed_with_the_right_passphrase_only(shell: Shell, tmp_path: Path) -> None:
    folder, keys = tmp_path / "tinh", tmp_path / "tinh.keys"
    assert shell.loa(*INIT, folder, LOA_ROOT_PASSPHRASE=PASSPHRASE).code == 0
    wrong = shell.loa("--inventory", folder, "policies", LOA_KEYS=str(keys), LOA_ROOT_PASSPHRASE=PASSPHRASE[::-1])
    assert wrong.code == 1
    assert "lỗi[ENV" in wrong.err
    right = shell.loa("--inventory", folder, "policies", LOA_KEYS=str(keys), LOA_ROOT_PASSPHRASE=PASSPHRASE)
    assert (right.code, right.err) == (0, "")


def test_keys_for_a_folder_that_has_none(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "tinh"
    assert shell.loa(*INIT, folder, LOA_ROOT_PASSPHRASE=PASSPHRASE).code == 0
    (folder / "trust.yaml").unlink()
    keys = tmp_path / "more"
    made = shell.loa("--inventory", folder, "keys", LOA_KEYS=str(keys), LOA_ROOT_PASSPHRASE=PASSPHRASE)
    assert (made.code, made.err) == (0, "")
    assert (folder / "trust.yaml").is_file()
    assert shell.loa("--inventory", folder, "validate").code == 0


def test_keys_again_are_those_of_new_units(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "tinh"
    assert shell.loa(*INIT, folder, LOA_ROOT_PASSPHRASE=PASSPHRASE).code == 0
    keys = {"LOA_KEYS": str(tmp_path / "tinh.keys")}
    none = shell.loa("--inventory", folder, "keys", **keys)
    assert (none.code, none.err) == (0, "")
    units = folder / "units.yaml"
    commune = "  - {id: '23557', code: '23557', name: Xã Yên Đỗ, type: commune, parent: '52'}\n"
    units.write_text(units.read_text(encoding="utf-8") + commune, encoding="utf-8")
    made = shell.loa("--inventory", folder, "keys", **keys)
    assert (made.code, made.err) == (0, "")
    assert "23557" in made.out
    assert (tmp_path / "tinh.keys" / "issuer-23557.pem").is_file()
    assert shell.loa("--inventory", folder, "policies", LOA_ROOT_PASSPHRASE=PASSPHRASE, **keys).code == 0


def test_init_as_a_program_takes_the_passphrase_from_its_environment(tmp_path: Path) -> None:
    answer = program(tmp_path, *INIT, tmp_path / "tinh", LOA_ROOT_PASSPHRASE=PASSPHRASE)
    assert (answer.code, answer.err) == (0, "")
    assert (tmp_path / "tinh" / "network.yaml").is_file()
