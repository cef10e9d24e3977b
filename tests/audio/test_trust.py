"""Keys, policies and signed bulletins: what a device will obey, and what it will not."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from audio import envelope, trust
from audio.documents import Audience, Bulletin, BulletinClass, Ceilings, ContentKind, Policy, Quiet, decode, encode
from inventory.diagnostics import Diagnostic
from inventory.model import (
    TIMEZONE,
    Device,
    DeviceId,
    DeviceKind,
    Group,
    GroupId,
    Hamlet,
    HamletId,
    Membership,
    Network,
    QuietHours,
    Tier,
    Trust,
    Unit,
    UnitId,
    UnitType,
    Volume,
)
from nms.moments import to_milliseconds

PASSPHRASE = "một mật khẩu dài"  # noqa: S105 (of keys made here)
ON = date(2024, 10, 1)
NOW = 1_727_776_770_000
PROVINCE, DISTRICT, WARD, OTHER = UnitId("64"), UnitId("622"), UnitId("23557"), UnitId("23627")
ENDED, LATER = UnitId("23593"), UnitId("23563-2025")


def unit(uid: UnitId, tier: Tier, kind: UnitType, parent: UnitId | None, *dates: date | None) -> Unit:
    begin, end = dates or (None, None)
    return Unit(uid, uid[:5], f"Đơn vị {uid}", tier, kind, parent, valid_from=begin, valid_to=end)


def device(name: str, place: UnitId, kind: DeviceKind = DeviceKind.LOUDSPEAKER, **more: object) -> Device:
    values = {"hamlet": None, "profile": "loa-receiver", "in_service": date(2024, 1, 1)} | more
    return Device(id=DeviceId(name), kind=kind, unit=place, **values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def network() -> Network:
    units = [
        unit(PROVINCE, Tier.PROVINCE, UnitType.PROVINCE, None),
        unit(DISTRICT, Tier.DISTRICT, UnitType.CITY, PROVINCE),
        unit(WARD, Tier.COMMUNE, UnitType.WARD, DISTRICT),
        unit(OTHER, Tier.COMMUNE, UnitType.COMMUNE, PROVINCE),
        unit(ENDED, Tier.COMMUNE, UnitType.COMMUNE, PROVINCE, None, date(2024, 1, 1)),
        unit(LATER, Tier.COMMUNE, UnitType.WARD, PROVINCE, date(2025, 7, 1), None),
    ]
    hamlet = Hamlet(HamletId("23557-H01"), "Tổ dân phố 1", "tổ dân phố", (Membership(WARD),), ("jra", "vi"))
    devices = [
        device("23557-L01", WARD, hamlet=hamlet.id, volume=Volume(70, 50, 90)),
        device("23627-L01", OTHER),
        device("622-B01", DISTRICT, DeviceKind.BOARD),
        device("23557-M01", WARD, DeviceKind.MODEM),
        device("23557-L02", WARD, in_service=date(2025, 1, 1)),
        device("23593-L01", ENDED),
    ]
    return Network(
        province=PROVINCE,
        name="Gia Lai",
        as_of=ON,
        overlay="10",
        units={u.id: u for u in units},
        hamlets={hamlet.id: hamlet},
        stations={},
        devices={d.id: d for d in devices},
        groups={GroupId("riverside"): Group(GroupId("riverside"), "Ven sông", hamlets=(hamlet.id,))},
        quiet_hours=(
            QuietHours(PROVINCE, time(21), time(5)),
            QuietHours(OTHER, time(20, 30), time(5, 15)),
            QuietHours(OTHER, time(12), time(13)),
        ),
    )


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "gia-lai.keys"


@pytest.fixture(scope="module")
def made(network: Network, keys: Path) -> Trust:
    found = trust.make_keys(keys, network, PASSPHRASE, ON)
    assert isinstance(found, Trust), found
    return found


def private(folder: Path, name: str, passphrase: str | None = None) -> Ed25519PrivateKey:
    key = trust.load_key(folder, name, passphrase)
    assert isinstance(key, Ed25519PrivateKey), key
    return key


def code(found: object) -> str:
    assert isinstance(found, Diagnostic), found
    assert found.text()
    assert found.fix_text()
    return found.code


@pytest.fixture
def frames(network: Network, keys: Path, made: Trust) -> Mapping[str, bytes]:
    return trust.in_force(trust.policies(network, ON, made, private(keys, "root", PASSPHRASE), NOW), ON)


def opened(frame: bytes, device: str, made: Trust, now: int = NOW) -> envelope.Opened | envelope.Refused:
    root = trust.root_key(made)
    return envelope.open_frame(frame, f"loa/1/policy/{device}", {root.kid: root}, ("root",), now)


# keys


def test_every_unit_that_is_or_will_be_has_a_key(made: Trust, keys: Path) -> None:
    units = {PROVINCE, DISTRICT, WARD, OTHER, LATER}
    assert {k.unit for k in made.keys if not k.hub} == units
    assert [(k.unit, k.classes) for k in made.keys if k.hub] == [(PROVINCE, ())]
    assert {k.classes for k in made.keys if not k.hub} == {("normal", "priority", "emergency")}
    assert {p.name for p in keys.iterdir()} == {"root.pem", "hub.pem", *(f"issuer-{u}.pem" for u in units)}
    assert len({k.public for k in made.keys} | {made.root}) == len(made.keys) + 1


def test_public_and_private_halves_belong_together(made: Trust, keys: Path) -> None:
    assert envelope.b64(private(keys, "root", PASSPHRASE).public_key().public_bytes_raw()) == made.root
    for key in made.keys:
        loaded = private(keys, "hub") if key.hub else trust.load_issuer(keys, key.unit)
        assert isinstance(loaded, Ed25519PrivateKey)
        public = loaded.public_key().public_bytes_raw()
        assert (envelope.b64(public), envelope.key_id(public)) == (key.public, key.kid)
    ward = trust.issuer(made, WARD)
    assert ward is not None
    assert (ward.unit, ward.hub) == (WARD, False)
    province = trust.issuer(made, PROVINCE)
    assert province is not None
    assert not province.hub
    assert trust.issuer(made, ENDED) is None


def test_only_the_owner_can_read_keys_and_the_root_is_encrypted(keys: Path, made: Trust) -> None:
    assert made.keys
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in keys.iterdir()} == {0o600}
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in (keys / "root.pem").read_bytes()
    assert code(trust.load_key(keys, "root")) == "ENV023"
    assert code(trust.load_key(keys, "root", "một mật khẩu khác")) == "ENV023"


def test_classes_can_be_narrowed(network: Network, tmp_path: Path) -> None:
    narrow = trust.make_keys(tmp_path / "keys", network, PASSPHRASE, ON, ["normal"])
    assert isinstance(narrow, Trust)
    assert {k.classes for k in narrow.keys if not k.hub} == {("normal",)}


def test_nothing_is_overwritten(network: Network, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("file", "empty", "dangling"):
        assert code(trust.make_keys(tmp_path / name, network, PASSPHRASE, ON)) == "ENV020"
    assert code(trust.make_keys(tmp_path / "file" / "keys", network, PASSPHRASE, ON)) == "ENV026"
    assert code(trust.make_keys(tmp_path / "keys", network, "ngắn", ON)) == "ENV024"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dangling", "empty", "file"]


def test_keys_that_others_may_read_are_refused(network: Network, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    assert isinstance(trust.make_keys(folder, network, PASSPHRASE, ON), Trust)
    (folder / "hub.pem").chmod(0o640)
    found = trust.load_key(folder, "hub")
    assert code(found) == "ENV022"
    assert isinstance(found, Diagnostic)
    assert found.fix_text() == f"chmod 600 {folder / 'hub.pem'}"
    (folder / "hub.pem").chmod(0o600)
    folder.chmod(0o755)
    assert code(trust.load_key(folder, "hub")) == "ENV022"


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for name, data in {
        "text": b"no key",
        "half": Ed25519PrivateKey.generate().private_bytes(*pem)[:60],
        "other": X25519PrivateKey.generate().private_bytes(*pem),
    }.items():
        (tmp_path / f"{name}.pem").write_bytes(data)
        (tmp_path / f"{name}.pem").chmod(0o600)
        assert code(trust.load_key(tmp_path, name)) == "ENV023"
    for name in ("missing", "../keys/hub", "", "hub.pem"):
        assert code(trust.load_key(tmp_path, name)) == "ENV021"
    assert code(trust.load_key(tmp_path / "nowhere", "hub")) == "ENV021"


# policies


def test_policies_go_to_what_listens_and_is_in_use(frames: Mapping[str, bytes]) -> None:
    assert set(frames) == {"23557-L01", "23627-L01", "622-B01"}


def test_a_policy_holds_what_its_device_may_obey(frames: Mapping[str, bytes], made: Trust) -> None:
    policy = decode(Policy, body(frames["23557-L01"], "23557-L01", made))
    assert policy.device == "23557-L01"
    assert policy.units == (WARD, DISTRICT, PROVINCE)
    assert policy.groups == ("riverside",)
    assert policy.quiet == (Quiet(21 * 60, 5 * 60),)
    assert policy.ceilings == Ceilings(day=70, early=50, emergency=90)
    assert policy.languages == ("jra", "vi")
    assert decode(Policy, body(frames["23627-L01"], "23627-L01", made)).languages == ("vi",)
    assert {(k.role, k.iss, k.areas) for k in policy.keys} == {
        ("hub", "hub", (PROVINCE,)),
        ("issuer", PROVINCE, (PROVINCE,)),
        ("issuer", DISTRICT, (DISTRICT,)),
        ("issuer", WARD, (WARD,)),
    }
    for key in policy.keys:
        assert key.nbf <= NOW < key.exp
        assert trust.keyring(made)[key.kid].public == envelope.unb64(key.public)


def test_the_nearest_units_quiet_hours_hold(frames: Mapping[str, bytes], made: Trust) -> None:
    policy = decode(Policy, body(frames["23627-L01"], "23627-L01", made))
    assert policy.quiet == (Quiet(20 * 60 + 30, 5 * 60 + 15), Quiet(12 * 60, 13 * 60))


def body(frame: bytes, device: str, made: Trust, now: int = NOW) -> bytes:
    found = opened(frame, device, made, now)
    assert isinstance(found, envelope.Opened), found
    return found.body


def test_a_policy_opens_only_for_its_device_while_it_is_valid(frames: Mapping[str, bytes], made: Trust) -> None:
    frame = frames["23557-L01"]
    year = 365 * 24 * 60 * 60 * 1000
    for now in (0, NOW, NOW + year - 1):
        assert isinstance(opened(frame, "23557-L01", made, now), envelope.Opened)
    reasons = [
        opened(frame, "23557-L01", made, NOW + year),
        opened(frame, "23627-L01", made),
        opened(frame[:100] + bytes([frame[100] ^ 1]) + frame[101:], "23557-L01", made),
    ]
    assert [r.reason for r in reasons if isinstance(r, envelope.Refused)] == [
        envelope.Reason.EXPIRED,
        envelope.Reason.WRONG_TOPIC,
        envelope.Reason.BAD_SIGNATURE,
    ]


def test_a_newer_policy_replaces_an_older_one_and_not_the_other_way(network: Network, keys: Path, made: Trust) -> None:
    root = private(keys, "root", PASSPHRASE)
    old, new = (trust.in_force(trust.policies(network, ON, made, root, at), ON)["622-B01"] for at in (NOW, NOW + 1))
    sequences = envelope.Sequences({}, lambda *_: None)
    results = []
    for frame in (new, old, new):
        found = opened(frame, "622-B01", made)
        assert isinstance(found, envelope.Opened)
        results.append(sequences.admit(found))
    assert results[0] is True
    assert isinstance(results[1], envelope.Refused)
    assert results[2] is False


def test_a_merge_is_signed_for_before_it_comes(network: Network, keys: Path, made: Trust) -> None:
    """From that midnight on the new unit warns, and the old one does not any more."""
    merge = date(2025, 7, 1)
    merged = merging(network, merge)
    root, last = private(keys, "root", PASSPHRASE), merge - timedelta(days=1)
    given = tuple(trust.policies(merged, ON, made, root, NOW))
    assert [(s.device, s.since) for s in given if s.device == "23627-L01"] == [("23627-L01", ON), ("23627-L01", merge)]
    day_before, then = (trust.in_force(given, day) for day in (last, merge))
    assert day_before == trust.in_force(given, ON)
    midnight = to_milliseconds(datetime.combine(merge, time(), TIMEZONE))
    policy = decode(Policy, body(then["23627-L01"], "23627-L01", made, midnight))
    assert policy.units == (LATER, PROVINCE)
    assert {key.iss for key in policy.keys} == {"hub", LATER, PROVINCE}
    assert policy.quiet == (Quiet(21 * 60, 5 * 60),)
    early = opened(then["23627-L01"], "23627-L01", made, midnight - trust.EARLY - 1)
    assert isinstance(early, envelope.Refused)
    assert early.reason is envelope.Reason.NOT_YET
    old, new = (opened(day["23627-L01"], "23627-L01", made, midnight) for day in (day_before, then))
    sequences = envelope.Sequences({}, lambda *_: None)
    assert isinstance(old, envelope.Opened)
    assert isinstance(new, envelope.Opened)
    assert [sequences.admit(old), sequences.admit(new)] == [True, True]
    assert isinstance(sequences.admit(old), envelope.Refused)
    # who is nowhere affected has one policy
    assert [s.since for s in given if s.device == "23557-L01"] == [ON]


def merging(network: Network, on: date) -> Network:
    """``OTHER`` becomes ``LATER`` on that day."""
    other, later = network.units[OTHER], network.units[LATER]
    units = {OTHER: replace(other, valid_to=on), LATER: replace(later, valid_from=on, predecessors=(OTHER,))}
    return replace(network, units={**network.units, **units}, as_of=None)


# bundles


def bundled(frames: Mapping[str, bytes]) -> tuple[trust.Signed, ...]:
    return tuple(trust.Signed(DeviceId(device), ON, frame) for device, frame in frames.items())


def test_a_bundle_gives_back_what_was_written(frames: Mapping[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "policies.bundle"
    path.write_text("an older one")
    bundle = bundled(frames)
    trust.write_bundle(path, bundle)
    assert trust.read_bundle(path) == bundle
    assert [p.name for p in tmp_path.iterdir()] == ["policies.bundle"]


def test_a_bundle_that_cannot_be_finished_changes_nothing(frames: Mapping[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "policies.bundle"
    path.write_text("")

    def failing() -> object:
        yield from bundled(frames)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        trust.write_bundle(path, failing())  # type: ignore[arg-type]
    assert path.read_text() == ""
    assert [p.name for p in tmp_path.iterdir()] == ["policies.bundle"]


def test_a_tampered_bundle_is_found_out_by_the_signature(
    frames: Mapping[str, bytes], made: Trust, tmp_path: Path
) -> None:
    path = tmp_path / "policies.bundle"
    louder = frames["23557-L01"].replace(b'"emergency":90', b'"emergency":99')
    swapped = {"23557-L01": louder, "23627-L01": frames["622-B01"]}
    trust.write_bundle(path, bundled(swapped))
    read = trust.in_force(trust.read_bundle(path), ON)
    first, second = (opened(read[d], d, made) for d in ("23557-L01", "23627-L01"))
    assert isinstance(first, envelope.Refused)
    assert first.reason is envelope.Reason.BAD_SIGNATURE
    assert isinstance(second, envelope.Refused)
    assert second.reason is envelope.Reason.WRONG_TOPIC


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"device": "a"}',
        '{"device": "a", "since": "2024-10-01", "frame": "%%"}',
        '{"device": "a", "since": "2024-10-01", "frame": 1}',
        '{"device": "a", "since": "soon", "frame": "AA=="}',
        '{"device": "a", "frame": "AA=="}',
    ],
)
def test_a_torn_bundle_is_not_read_in_part(frames: Mapping[str, bytes], tmp_path: Path, line: str) -> None:
    path = tmp_path / "policies.bundle"
    trust.write_bundle(path, bundled(frames)[:1])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ValueError, match=r"policies\.bundle:2"):
        trust.read_bundle(path)


# bulletins


def bulletin(origin: str) -> Bulletin:
    return Bulletin(
        id="0192-b",
        version=2,
        cls=BulletinClass.NORMAL,
        kind=ContentKind.SPEECH,
        tier="commune",
        origin=origin,
        title="Thông báo",
        content="0" * 64,
        duration=7_000,
        audience=Audience(units=(origin,)),
        valid_from=NOW,
        valid_until=NOW + 1_000,
    )


def signed(keys: Path, unit: UnitId, claimed: str) -> bytes:
    key = trust.load_issuer(keys, unit)
    assert isinstance(key, Ed25519PrivateKey)
    kid = envelope.key_id(key.public_key().public_bytes_raw())
    what = bulletin(claimed)
    times = (NOW - 5_000, what.valid_from, what.valid_until)
    return trust.sign_bulletin(encode(what), what.id, key, kid, claimed, what.version, *times)


def test_a_bulletin_opens_with_its_issuers_key_while_it_is_valid(keys: Path, made: Trust) -> None:
    frame = signed(keys, WARD, WARD)
    ring = trust.keyring(made)
    found = envelope.open_frame(frame, "bulletin/0192-b", ring, ("issuer",), NOW)
    assert isinstance(found, envelope.Opened)
    assert decode(Bulletin, found.body) == bulletin(WARD)
    assert (found.header.iss, found.header.seq, found.header.issued) == (WARD, 2, NOW - 5_000)
    early = envelope.open_frame(frame, "bulletin/0192-b", ring, ("issuer",), NOW - 1)
    late = envelope.open_frame(frame, "bulletin/0192-b", ring, ("issuer",), NOW + 1_000)
    assert isinstance(early, envelope.Refused)
    assert isinstance(late, envelope.Refused)
    assert (early.reason, late.reason) == (envelope.Reason.NOT_YET, envelope.Reason.EXPIRED)


def test_no_unit_speaks_in_anothers_name_and_the_hub_in_nobodys(keys: Path, made: Trust) -> None:
    ring = trust.keyring(made)
    posing = envelope.open_frame(signed(keys, WARD, OTHER), "bulletin/0192-b", ring, ("issuer",), NOW)
    assert isinstance(posing, envelope.Refused)
    assert posing.reason is envelope.Reason.NOT_ALLOWED
    what, hub = bulletin(PROVINCE), private(keys, "hub")
    kid = envelope.key_id(hub.public_key().public_bytes_raw())
    frame = trust.sign_bulletin(encode(what), what.id, hub, kid, "hub", 2, NOW, NOW, NOW + 1_000)
    by_hub = envelope.open_frame(frame, "bulletin/0192-b", ring, ("issuer",), NOW)
    assert isinstance(by_hub, envelope.Refused)
    assert by_hub.reason is envelope.Reason.NOT_ALLOWED
