"""Who may speak: the root's, the hub's and the issuers' keys, the policies they give each device, signed bulletins.

Private keys lie in a folder of their own, never in the inventory: ``root.pem`` (encrypted; it belongs on a stick in a
safe), ``hub.pem`` and one ``issuer-<unit>.pem`` for each unit that issues bulletins.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audio import envelope, grid
from audio.documents import LANGUAGES, BulletinClass, Ceilings, Policy, PolicyKey, Quiet, Span, encode
from audio.faults import fault
from inventory.diagnostics import Diagnostic
from inventory.model import TIMEZONE, Device, DeviceId, DeviceKind, Network, Trust, TrustKey, UnitId
from nms.moments import to_milliseconds

ROOT = "root"
HUB = "hub"
CLASSES = tuple(str(c) for c in BulletinClass)
SHORTEST = 8
"""Characters of a passphrase."""
DAY = 24 * 60 * 60 * 1000
EARLY = 60 * 60 * 1000
"""A policy may be taken in this many ms before its day: the hub hands it out on the day, and clocks differ."""
LISTENERS = (DeviceKind.LOUDSPEAKER, DeviceKind.BOARD)
"""Kinds of device that obey documents, and so need a policy."""


def make_keys(
    folder: Path, network: Network, passphrase: str, on: date, classes: Sequence[str] = CLASSES
) -> Trust | Diagnostic:
    """Makes the root's and the hub's key and one for each unit that is not over by then; all of them or none.

    A unit that is still to come (a merge is known months ahead) must be able to warn from its first minute on. Every
    unit's key may sign ``classes`` for its own area. An existing ``folder`` is refused.
    """
    if len(passphrase) < SHORTEST:
        return fault("ENV024", str(folder), count=len(passphrase), least=SHORTEST)
    if os.path.lexists(folder):
        return fault("ENV020", str(folder), file=folder)
    root = Ed25519PrivateKey.generate()
    hub = Ed25519PrivateKey.generate()
    issuers = {unit: Ed25519PrivateKey.generate() for unit in _lasting(network, on)}
    files = {ROOT: _pem(root, passphrase), HUB: _pem(hub)}
    files |= {f"issuer-{unit}": _pem(key) for unit, key in issuers.items()}
    try:
        _write_folder(folder, files)
    except OSError as error:
        return fault("ENV026", str(folder), file=folder, reason=error.strerror or error)
    keys = [_trust_key(hub, network.province, (), hub=True)]
    keys += [_trust_key(key, unit, tuple(classes)) for unit, key in issuers.items()]
    return Trust(envelope.b64(_public(root)), tuple(keys))


def more_keys(folder: Path, network: Network, trust: Trust, on: date) -> Trust | Diagnostic:
    """Makes a key for each unit that is not over by then and has none; ``trust`` with them. All of them or none.

    They may sign all classes for their own areas. Devices believe them once the root has signed new policies.
    """
    known = {key.unit for key in trust.keys if not key.hub}
    issuers = {unit: Ed25519PrivateKey.generate() for unit in _lasting(network, on) if unit not in known}
    hub = load_key(folder, HUB)
    if isinstance(hub, Diagnostic):
        return hub
    try:
        _add_files(folder, {f"issuer-{unit}": _pem(key) for unit, key in issuers.items()})
    except FileExistsError as error:
        return fault("ENV020", str(error.filename), file=error.filename)
    except OSError as error:
        return fault("ENV026", str(folder), file=folder, reason=error.strerror or error)
    return replace(trust, keys=(*trust.keys, *(_trust_key(key, unit, CLASSES) for unit, key in issuers.items())))


def _lasting(network: Network, on: date) -> list[UnitId]:
    return [unit.id for unit in network.units.values() if unit.valid_to is None or unit.valid_to > on]


def load_key(folder: Path, name: str, passphrase: str | None = None) -> Ed25519PrivateKey | Diagnostic:
    """The private key ``root``, ``hub`` or ``issuer-<unit>``; refused when others may read it or its folder."""
    path = folder / f"{name}.pem"
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        return fault("ENV021", str(path), file=path)
    try:
        for guarded, wanted in ((folder, "700"), (path, "600")):
            mode = stat.S_IMODE(guarded.stat().st_mode)
            if mode & 0o077:
                return fault("ENV022", str(guarded), file=guarded, mode=f"{mode:o}", wanted=wanted)
        data = path.read_bytes()
    except OSError:
        return fault("ENV021", str(path), file=path)
    try:
        key = serialization.load_pem_private_key(data, passphrase.encode() if passphrase else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return fault("ENV023", str(path), file=path)
    return key if isinstance(key, Ed25519PrivateKey) else fault("ENV023", str(path), file=path)


def load_issuer(folder: Path, unit: UnitId) -> Ed25519PrivateKey | Diagnostic:
    """The private key with which that unit signs its bulletins."""
    return load_key(folder, f"issuer-{unit}")


def issuer(trust: Trust, unit: UnitId) -> TrustKey | None:
    """The key that signs that unit's bulletins."""
    return next((key for key in trust.keys if key.unit == unit and not key.hub), None)


def trust_yaml(trust: Trust) -> str:
    """``trust.yaml``: public keys only. JSON strings are YAML strings."""
    lines = [
        "# Khóa công khai: ai được ký bản tin cho địa bàn nào. Public keys: who may sign bulletins for which area.",
        "# Khóa bí mật không bao giờ nằm trong thư mục này. The private keys never lie in this folder.",
        f"root: {json.dumps(trust.root)}",
        "keys:",
    ]
    for key in trust.keys:
        hub = ", hub: true" if key.hub else ""
        named = f"kid: {json.dumps(key.kid)}, unit: {json.dumps(key.unit)}, public: {json.dumps(key.public)}"
        lines.append(f"  - {{{named}, classes: [{', '.join(key.classes)}]{hub}}}")
    return "\n".join(lines) + "\n"


def root_key(trust: Trust) -> envelope.Key:
    """The key that a device pins at enrolment: it opens policies, and nothing else."""
    public = envelope.unb64(trust.root)
    return envelope.Key(envelope.key_id(public), ROOT, public, ROOT)


def keyring(trust: Trust) -> dict[str, envelope.Key]:
    """The hub's and the issuers' keys by key id, to check signed bulletins with."""
    return {key.kid: _envelope_key(key) for key in trust.keys}


def policy(network: Network, device: Device, on: date, trust: Trust) -> Policy:
    """What that device may obey on that date: its units and groups, trusted keys, quiet hours and volume ceilings.

    Its windows that are over by then are left out.
    """
    units = network.device_chain(device, on)
    volume, today = device.volume, to_milliseconds(datetime.combine(on, time(), TIMEZONE))
    return Policy(
        device=device.id,
        units=units,
        groups=network.groups_of(device),
        keys=tuple(_policy_key(_envelope_key(key)) for key in trust.keys_for(units)),
        quiet=_quiet(network, units),
        exceptions=tuple(e for e in grid.exceptions(network, units) if e.until > today),
        ceilings=Ceilings(day=volume.day, early=volume.early, emergency=volume.emergency),
        silent=tuple(w for w in _silent(network, device, units) if w.until > today),
        airtime=grid.airtime(network, units),
        languages=languages(network, device),
    )


def listeners(network: Network, on: date) -> Iterator[Device]:
    """Every loudspeaker and board in use on that date; nobody may speak for one that stands in no unit."""
    return (d for d in network.devices_on(on) if d.kind in LISTENERS and network.unit_of(d, on) is not None)


@dataclass(frozen=True, slots=True)
class Signed:
    """A device's policy in its frame. It is in force from the day ``since`` on, until the device's next one is."""

    device: DeviceId
    since: date
    frame: bytes


def course(network: Network, device: Device, days: Sequence[date], trust: Trust) -> Iterator[tuple[date, Policy]]:
    """The policy that a device has on the first of these days, and each other one that follows it, with its first day.

    Where communes merge, its units, their keys and their quiet hours change at midnight.
    """
    last = None
    for day in days:
        if not device.in_use(day) or network.unit_of(device, day) is None:
            return
        found = policy(network, device, day, trust)
        lasting = replace(found, exceptions=(), silent=())
        if lasting != last:
            yield day, found
        last = lasting


def policies(
    network: Network, on: date, trust: Trust, root: Ed25519PrivateKey, now_ms: int, days: int = 365
) -> Iterator[Signed]:
    """Every device's signed policies (see ``course``), valid until ``days`` from ``now_ms``.

    Those to come are signed with today's: the root key lies in a safe, and a merge comes at midnight.
    """
    kid, exp, ahead = envelope.key_id(_public(root)), now_ms + days * DAY, network.turns(on, days)
    for device in listeners(network, on):
        topic = f"loa/1/policy/{device.id}"
        for number, (since, found) in enumerate(course(network, device, ahead, trust)):
            # today's has no nbf: a device that has lost its clock still needs it; seq keeps old ones out
            nbf = to_milliseconds(datetime.combine(since, time(), TIMEZONE)) - EARLY if since > on else 0
            header = envelope.Header(envelope.VERSION, kid, ROOT, topic, now_ms + number, now_ms, nbf, exp)
            yield Signed(device.id, since, envelope.seal(header, encode(found), root))


def in_force(signed: Iterable[Signed], on: date) -> dict[str, bytes]:
    """Each device's frame on that date; ``signed`` as ``policies`` gives it: a device's policies by their days."""
    return {one.device: one.frame for one in signed if one.since <= on}


def write_bundle(path: Path, signed: Iterable[Signed]) -> None:
    """Writes signed policies for the hub to hand out, one JSON line each; whole or not at all."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        new = Path(file.name)
        try:
            for one in signed:
                line = {"device": one.device, "since": one.since.isoformat(), "frame": envelope.b64(one.frame)}
                file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
            new.chmod(0o644)
            new.replace(path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


def read_bundle(path: Path) -> tuple[Signed, ...]:
    """The policies of a bundle. Raises OSError, and ValueError when a line is none of ``write_bundle``'s.

    Whether a frame is genuine only its signature says, when it is opened.
    """
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            entry = json.loads(line)
            since = date.fromisoformat(entry["since"])
            found.append(Signed(DeviceId(entry["device"]), since, envelope.unb64(entry["frame"])))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}:{number}: no policy") from error
    return tuple(found)


class Bundle:
    """The file of signed policies; read again when it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: tuple[tuple[int, int], tuple[Signed, ...]] | None = None

    def read(self) -> tuple[Signed, ...]:
        """The very same while the file is the same. Raises OSError and ValueError."""
        status = self._path.stat()
        seen = (status.st_ino, status.st_mtime_ns)
        if self._known is None or self._known[0] != seen:
            self._known = seen, read_bundle(self._path)
        return self._known[1]


def sign_bulletin(
    body: bytes,
    bulletin_id: str,
    key: Ed25519PrivateKey,
    kid: str,
    unit: str,
    version: int,
    now_ms: int,
    valid_from: int,
    valid_until: int,
) -> bytes:
    """The bulletin's frame, signed with its issuer's key: the body's bytes as shown to the approver."""
    topic = f"bulletin/{bulletin_id}"
    header = envelope.Header(envelope.VERSION, kid, unit, topic, version, now_ms, valid_from, valid_until)
    return envelope.seal(header, body, key)


def sync_folder(folder: Path) -> None:
    """Makes renames in that folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))  # mode 0700
    try:
        _add_files(new, files)
        new.rename(folder)
    except BaseException:
        shutil.rmtree(new)
        raise
    sync_folder(folder.parent)


def _add_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """New files beside those that are there; all of them or none. Raises OSError, FileExistsError among them."""
    made: list[Path] = []
    try:
        for name, data in files.items():
            path = folder / f"{name}.pem"
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            made.append(path)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(handle)
    except BaseException:
        for path in made:
            path.unlink()
        raise
    sync_folder(folder)


def _pem(key: Ed25519PrivateKey, passphrase: str = "") -> bytes:
    guard: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        guard = serialization.BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, guard)


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def _trust_key(key: Ed25519PrivateKey, unit: UnitId, classes: tuple[str, ...], *, hub: bool = False) -> TrustKey:
    public = _public(key)
    return TrustKey(envelope.key_id(public), unit, envelope.b64(public), classes, hub)


def _envelope_key(key: TrustKey) -> envelope.Key:
    public = envelope.unb64(key.public)
    iss, role = (HUB, "hub") if key.hub else (key.unit, "issuer")
    return envelope.Key(key.kid, iss, public, role, areas=(key.unit,), classes=key.classes)


def _policy_key(key: envelope.Key) -> PolicyKey:
    public = envelope.b64(key.public)
    return PolicyKey(key.kid, key.iss, public, key.role, key.areas, key.classes, key.nbf, key.exp)


def _quiet(network: Network, units: Sequence[UnitId]) -> tuple[Quiet, ...]:
    """The quiet hours of the nearest unit that has any."""
    for unit in units:
        found = tuple(
            Quiet(_minute(hours.start), _minute(hours.end)) for hours in network.quiet_hours if hours.unit == unit
        )
        if found:
            return found
    return ()


def _silent(network: Network, device: Device, units: Sequence[UnitId]) -> Iterator[Span]:
    """The silent windows of its units, its hamlet and its groups."""
    groups = network.groups_of(device)
    for window in network.grid.silent:
        hamlet = window.hamlet is not None and window.hamlet == device.hamlet
        if window.unit in units or hamlet or window.group in groups:
            yield grid.span_of(window.start, window.end)


def languages(network: Network, device: Device) -> tuple[str, ...]:
    """Those of its hamlet, in the order to be spoken."""
    hamlet = network.hamlets.get(device.hamlet) if device.hamlet is not None else None
    return hamlet.languages if hamlet is not None and hamlet.languages else LANGUAGES


def _minute(at: time) -> int:
    return at.hour * 60 + at.minute
