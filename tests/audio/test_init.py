"""A new province's folder: valid from the first moment, its examples too, and its keys outside it."""

from __future__ import annotations

import re
import shutil
import unicodedata
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audio import trust
from audio.envelope import b64
from audio.init import add_keys, further_keys, init
from inventory.diagnostics import Diagnostic, render
from inventory.load import load
from inventory.model import Network, Tier, UnitId

PASSPHRASE = "một mật khẩu dài"  # noqa: S105 (of keys made here)
TODAY = date(2026, 11, 21)
SAMPLE = Path(__file__).parents[2] / "inventory" / "gia-lai"


def loaded(folder: Path) -> Network:
    network, diagnostics = load(folder)
    assert not diagnostics, "\n".join(render(d) for d in diagnostics)
    assert network is not None
    return network


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_new_province_is_valid_and_may_speak(tmp_path: Path) -> None:
    folder, keys = tmp_path / "provinces" / "gia-lai", tmp_path / "gia-lai.keys"
    assert init(folder, keys, "52", "Gia Lai", PASSPHRASE, TODAY) == ()
    network = loaded(folder)
    assert (network.province, network.name, network.units[network.province].name) == ("52", "Gia Lai", "Tỉnh Gia Lai")
    assert [(q.unit, q.start.hour, q.end.hour) for q in network.quiet_hours] == [("52", 21, 5)]
    assert network.sessions
    assert network.trust is not None
    issuer = trust.issuer(network.trust, network.province)
    assert issuer is not None
    key = trust.load_issuer(keys, network.province)
    assert isinstance(key, Ed25519PrivateKey)
    assert b64(key.public_key().public_bytes_raw()) == issuer.public
    assert isinstance(trust.load_key(keys, "root", PASSPHRASE), Ed25519PrivateKey)


def test_no_private_key_and_no_plain_secret_is_in_the_folder(tmp_path: Path) -> None:
    assert init(tmp_path / "p", tmp_path / "p.keys", "52", "Gia Lai", PASSPHRASE, TODAY) == ()
    files = tree(tmp_path / "p")
    assert "secrets.yaml" not in files
    assert "*.pem" in files[".gitignore"].decode().splitlines()
    assert not any(b"PRIVATE KEY" in data or PASSPHRASE.encode() in data for data in files.values())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p", "p.keys"]
    for path in (tmp_path / "p").rglob("*"):
        assert path.stat().st_mode & 0o044, f"{path}: others of the office read the inventory"


def test_the_examples_it_teaches_with_are_valid(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    assert init(folder, tmp_path / "p.keys", "52", "Gia Lai", PASSPHRASE, TODAY) == ()
    for path in folder.glob("*.yaml"):
        text = re.sub(r"(?m)^( +)# (- \{)", r"\1\2", path.read_text())
        path.write_text(re.sub(r"(?m)^(people|groups|indicators): \[\]$", r"\1:", text))
    (folder / "stations" / "vi-du.yaml.txt").rename(folder / "stations" / "23557-yen-do.yaml")
    network = loaded(folder)
    assert [u.name for u in network.units_on(TODAY, Tier.COMMUNE)] == ["Phường Yên Đỗ"]
    assert set(network.devices) == {"23557-L01"}
    assert len(network.people) == 2
    assert network.groups
    assert network.targets


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("Thành phố Đà Nẵng", "Thành phố Đà Nẵng"),
        ("tỉnh Gia Lai", "tỉnh Gia Lai"),
        ("  Đắk Lắk ", "Tỉnh Đắk Lắk"),
        (unicodedata.normalize("NFD", "Quảng Ngãi"), "Tỉnh Quảng Ngãi"),
        ('Gia "Lai": {x} $code #', 'Tỉnh Gia "Lai": {x} $code #'),
    ],
)
def test_any_name_is_written_as_it_is(tmp_path: Path, name: str, full: str) -> None:
    assert init(tmp_path / "p", tmp_path / "p.keys", "48", name, PASSPHRASE, TODAY) == ()
    network = loaded(tmp_path / "p")
    assert network.units[network.province].name == full


@pytest.mark.parametrize(
    ("code", "name", "passphrase", "codes"),
    [
        ("5", "Gia Lai", PASSPHRASE, ["ENV030"]),
        ("٥٢", "Gia Lai", PASSPHRASE, ["ENV030"]),
        ("52", " ", PASSPHRASE, ["ENV031"]),
        ("52", "Gia\nLai", PASSPHRASE, ["ENV031"]),
        ("52", "Gia Lai", "ngắn", ["ENV024"]),
        ("../x", "", "", ["ENV030", "ENV031", "ENV024"]),
    ],
)
def test_mistakes_are_told_together_and_nothing_is_made(
    tmp_path: Path, code: str, name: str, passphrase: str, codes: list[str]
) -> None:
    found = init(tmp_path / "p", tmp_path / "p.keys", code, name, passphrase, TODAY)
    assert [d.code for d in found] == codes
    assert all(d.text() and d.fix_text() for d in found)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("existing", ["p", "p.keys"])
def test_nothing_that_exists_is_touched(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).mkdir()
    (tmp_path / existing / "mine").write_text("of value")
    found = init(tmp_path / "p", tmp_path / "p.keys", "52", "Gia Lai", PASSPHRASE, TODAY)
    assert [d.code for d in found] == ["ENV020"]
    assert tree(tmp_path) == {f"{existing}/mine": b"of value"}


def test_keys_never_go_where_git_would_publish_them(tmp_path: Path) -> None:
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    for keys in (tmp_path / "p" / "keys", tmp_path / "repo" / "deep" / "keys"):
        found = init(tmp_path / "p", keys, "52", "Gia Lai", PASSPHRASE, TODAY)
        assert [d.code for d in found] == ["ENV025"]
    assert [p.name for p in tmp_path.iterdir()] == ["repo"]


def test_a_place_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder, keys in (("file/p", "p.keys"), ("p", "file/p.keys")):
        found = init(tmp_path / folder, tmp_path / keys, "52", "Gia Lai", PASSPHRASE, TODAY)
        assert [d.code for d in found] == ["ENV026"]
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_keys_are_added_to_the_sample(tmp_path: Path) -> None:
    folder, keys = tmp_path / "gia-lai", tmp_path / "keys"
    shutil.copytree(SAMPLE, folder, ignore=shutil.ignore_patterns("trust.yaml"))
    before = tree(folder)
    assert add_keys(folder, keys, PASSPHRASE, TODAY) == ()
    network, _ = load(folder)
    assert network is not None
    assert network.trust is not None
    on = network.on(TODAY)
    units = {u.id for u in network.units.values() if u.valid_to is None or u.valid_to > on}
    assert {k.unit for k in network.trust.keys if not k.hub} == units
    assert {u.id for u in network.units_on(on)} < units, "a merge is ahead"
    assert "trust.yaml" in tree(folder)
    assert {name: data for name, data in tree(folder).items() if name != "trust.yaml"} == before
    after = tree(tmp_path)
    assert [d.code for d in add_keys(folder, tmp_path / "more", PASSPHRASE, TODAY)] == ["ENV020"]
    assert tree(tmp_path) == after


COMMUNE = "  - {id: '23557', code: '23557', name: Xã Yên Đỗ, type: commune, parent: '52'}\n"


def grown(folder: Path, keys: Path) -> Network:
    """A new province that has got its first commune since."""
    assert init(folder, keys, "52", "Gia Lai", PASSPHRASE, TODAY) == ()
    units = folder / "units.yaml"
    units.write_text(units.read_text(encoding="utf-8").rstrip("\n") + "\n" + COMMUNE, encoding="utf-8")
    return loaded(folder)


def test_a_unit_that_came_later_gets_a_key(tmp_path: Path) -> None:
    folder, keys = tmp_path / "p", tmp_path / "p.keys"
    before = grown(folder, keys)
    assert before.trust is not None
    kept = tree(keys)
    assert further_keys(folder, keys, before, before.trust, TODAY) == ("23557",)
    after = loaded(folder)
    assert after.trust is not None
    assert after.trust.root == before.trust.root
    assert [k.public for k in after.trust.keys[:2]] == [k.public for k in before.trust.keys]
    key = trust.load_issuer(keys, UnitId("23557"))
    assert isinstance(key, Ed25519PrivateKey)
    issuer = trust.issuer(after.trust, UnitId("23557"))
    assert issuer is not None
    assert issuer.public == b64(key.public_key().public_bytes_raw())
    assert {name: data for name, data in tree(keys).items() if name in kept} == kept
    assert (keys / "issuer-23557.pem").stat().st_mode & 0o777 == 0o600
    assert further_keys(folder, keys, after, after.trust, TODAY) == ()


def test_a_key_that_lies_there_already_is_not_overwritten(tmp_path: Path) -> None:
    folder, keys = tmp_path / "p", tmp_path / "p.keys"
    network = grown(folder, keys)
    (keys / "issuer-23557.pem").write_text("whose?")
    before = tree(tmp_path)
    assert network.trust is not None
    [found] = further_keys(folder, keys, network, network.trust, TODAY)
    assert isinstance(found, Diagnostic)
    assert found.code == "ENV020"
    assert "issuer-23557.pem" in found.text()
    assert tree(tmp_path) == before


def test_keys_of_another_folder_are_not_added_to(tmp_path: Path) -> None:
    network = grown(tmp_path / "p", tmp_path / "p.keys")
    before = tree(tmp_path)
    assert network.trust is not None
    [found] = further_keys(tmp_path / "p", tmp_path / "nowhere", network, network.trust, TODAY)
    assert isinstance(found, Diagnostic)
    assert found.code == "ENV021"
    assert tree(tmp_path) == before


def test_an_invalid_folder_gets_no_keys(tmp_path: Path) -> None:
    found = add_keys(tmp_path / "nowhere", tmp_path / "keys", PASSPHRASE, TODAY)
    assert [d.code for d in found] == ["INV010"]
    assert not (tmp_path / "keys").exists()
