"""The hub's certificate authority on its disk: ``pki/`` for itself alone, ``broker/`` for the broker to read.

    pki/ca.pem         the authority's key and certificate      pki/root.pem       what devices pin
    pki/hub.pem        the hub's own client: key and chain      pki/issued.jsonl   who was certified, who is revoked
    broker/ca.pem      authority and root                       broker/crl.pem     who is refused
    broker/server.pem  the servers' key and chain               broker/acl …       see ``acl``

``issued.jsonl`` is the truth: a certificate is on the disk there before it is handed out, and the list of the revoked
follows from it. Several processes may work here at the same time.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from inventory.diagnostics import Diagnostic
from inventory.model import DeviceId, Network
from inventory.overlay import hub_address
from nms.provision import acl, pki
from nms.provision.pki_faults import fault

PKI, BROKER = "pki", "broker"
CA_PEM, ROOT_PEM, HUB_PEM, ISSUED = "ca.pem", "root.pem", "hub.pem", "issued.jsonl"
ROOT_KEY = "ca-root.pem"
"""The offline root, encrypted, in the folder of the keys that belong on a stick in a safe."""
SHORTEST = 8
"""Characters of a passphrase."""
MOST_A_DAY = 10
"""Certificates for one device: a stolen one must not fill the disk with renewals."""
SETTLED = timedelta(minutes=5)
"""Lists of the revoked begin this long ago, so that several in one second still have an order."""
PRIVATE, SHARED = 0o600, 0o640


@dataclass(frozen=True, slots=True)
class Entry:
    """A certificate that was given. ``serial`` in hexadecimal; ``key`` is the fingerprint of its public key."""

    serial: str
    name: str
    begins: datetime
    ends: datetime
    key: str
    revoked: datetime | None = None

    def valid(self, now: datetime) -> bool:
        return self.revoked is None and now < self.ends


@dataclass(frozen=True, slots=True)
class Given:
    """A certificate as its owner gets it: ``chain`` is PEM, its own certificate first, then the authority's."""

    entry: Entry
    chain: bytes


def init(state: Path, keys: Path, passphrase: str, network: Network, now: datetime) -> tuple[Diagnostic, ...]:
    """Makes the hub's authority in ``state``; the root in ``keys`` if there is none yet. Nothing is overwritten.

    After a theft of the hub: move its ``pki`` away, bring the root back, and this makes an authority beside which
    nothing certified before counts.
    """
    if (state / PKI).exists():
        return (fault("ENV020", str(state / PKI), file=state / PKI),)
    file = keys / ROOT_KEY
    if not file.exists() and len(passphrase) < SHORTEST:
        return (fault("ENV024", str(file), count=len(passphrase), least=SHORTEST),)
    try:
        root = _load(file, passphrase) if file.exists() else _new_root(file, passphrase, network.name, now)
        if root is None:
            return (fault("ENV051", str(file), file=file),)
        _make_authority(state, root, network.name, now)
    except OSError as error:
        return (fault("ENV026", str(error.filename or state), file=error.filename or state, reason=error.strerror),)
    return ()


def _new_root(file: Path, passphrase: str, province: str, now: datetime) -> pki.Issuer:
    root = pki.make_root(province, now)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write(file, pki.key_pem(root.key, passphrase) + pki.pem(root.certificate), PRIVATE)
    return root


def _make_authority(state: Path, root: pki.Issuer, province: str, now: datetime) -> None:
    """The folder appears whole, with its list of nobody revoked, or not at all."""
    issuer = pki.make_authority(root, province, now)
    state.mkdir(parents=True, exist_ok=True, mode=0o750)
    new = Path(tempfile.mkdtemp(prefix=f".{PKI}-", dir=state))  # mode 0700
    _give(new)
    write(new / CA_PEM, pki.key_pem(issuer.key) + pki.pem(issuer.certificate), PRIVATE)
    write(new / ROOT_PEM, pki.pem(root.certificate), 0o644)
    write(new / ISSUED, b"", PRIVATE)
    new.rename(state / PKI)
    _sync(state)
    Authority(state, issuer, root.certificate).publish(now)


class Authority:
    """Certifies, revokes, and writes what broker and content server read. Times are those of the system's clock."""

    def __init__(self, state: Path, issuer: pki.Issuer, root: x509.Certificate) -> None:
        self.folder = state / PKI
        self.broker = state / BROKER
        self._issuer = issuer
        self._root = root

    @classmethod
    def open(cls, state: Path) -> Authority | Diagnostic:
        """The authority in ``state``; refused when others may read its key."""
        folder = state / PKI
        file = folder / CA_PEM
        try:
            for guarded, wanted in ((folder, "700"), (file, "600")):
                mode = stat.S_IMODE(guarded.stat().st_mode)
                if mode & 0o077:
                    return fault("ENV022", str(guarded), file=guarded, mode=f"{mode:o}", wanted=wanted)
            issuer = _load(file, "")
            root = x509.load_pem_x509_certificate((folder / ROOT_PEM).read_bytes())
        except OSError:
            return fault("ENV050", str(folder), file=folder)
        except ValueError:
            return fault("ENV051", str(folder / ROOT_PEM), file=folder / ROOT_PEM)
        return fault("ENV051", str(file), file=file) if issuer is None else cls(state, issuer, root)

    def certify_hub(self, network: Network, octet: int, now: datetime) -> Diagnostic | None:
        """New certificates for the hub's servers and its own client, and what the broker needs besides."""
        names = _hub_names(network, octet)
        if not names:
            return fault("ENV057", "network.yaml")
        for name, file, mode in (
            (pki.SERVER, self.broker / acl.SERVER_PEM, SHARED),
            (pki.HUB, self.folder / HUB_PEM, PRIVATE),
        ):
            key = pki.new_key()
            if name == pki.SERVER:
                certificate = pki.server(self._issuer, key.public_key(), names, now)
            else:
                certificate = pki.client(self._issuer, key.public_key(), name, now, pki.HUB_LIFE)
            write(file, pki.key_pem(key) + self._record(certificate).chain, mode)
        return None

    def hub_due(self, network: Network, octet: int, now: datetime) -> bool:
        """Whether the hub's own certificates are missing, strangers', in their last third, or of other names."""
        try:
            files = self.broker / acl.SERVER_PEM, self.folder / HUB_PEM
            server, client = (x509.load_pem_x509_certificate(file.read_bytes()) for file in files)
        except (OSError, ValueError):
            return True
        if any(found.issuer != self._issuer.name or pki.due(found, now) for found in (server, client)):
            return True
        return not set(_hub_names(network, octet)) <= set(pki.served_names(server))

    def issue(
        self, network: Network, on: date, device: str, request: bytes, now: datetime, serial: str = ""
    ) -> Given | Diagnostic:
        """Certifies the request's key for ``device``, the id of whoever is known to ask.

        The request's own words about its subject count for nothing. ``serial``: the device's serial number, where the
        asker has read it; it must be the inventory's, if that has one.
        """
        known = network.devices.get(DeviceId(device))
        if known is None or not known.in_use(on):
            return fault("ENV053", device, device=device)
        if serial and known.serial and serial != known.serial:
            return fault("ENV054", device, device=device, known=known.serial, given=serial)
        try:
            public = pki.requested_key(request)
        except pki.BadRequest as error:
            return fault("ENV052", device, reason=error)
        recent = [e for e in self.entries() if e.name == device and e.begins > now - timedelta(days=1)]
        if len(recent) >= MOST_A_DAY:
            return fault("ENV055", device, device=device, count=len(recent))
        return self._record(pki.client(self._issuer, public, device, now))

    def revoke(self, which: str, now: datetime) -> tuple[Entry, ...] | Diagnostic:
        """Refuses a device's (or ``hub``'s) certificates, or the one with that serial number, everywhere from now on.

        ``publish`` has written the list when this returns; a broker that is to end sessions under way is restarted.
        """
        number = which.lower().removeprefix("0x").lstrip("0")
        with self._log() as log:
            found = [e for e in _read(log).values() if which == e.name or number == e.serial]
            found = [e for e in found if e.valid(now)]
            if not found:
                return fault("ENV056", which, name=which)
            lines = [{"revoked": e.serial, "at": now.isoformat()} for e in found]
            _append(log, lines)
        self.publish(now)
        return tuple(replace(e, revoked=now) for e in found)

    def entries(self) -> tuple[Entry, ...]:
        """Every certificate that was given, in the order of giving."""
        with self._log() as log:
            return tuple(_read(log).values())

    def publish(self, now: datetime) -> bool:
        """Writes authorities and revoked for the broker, which reads them on SIGHUP; False when they are so already."""
        if not self.broker.exists():
            self.broker.mkdir(mode=0o750)
            _give(self.broker)
        authorities = pki.pem(self._issuer.certificate) + pki.pem(self._root)
        changed = _text(self.broker / acl.AUTHORITIES) != authorities.decode()
        if changed:
            write(self.broker / acl.AUTHORITIES, authorities, SHARED)
        file = self.broker / acl.REVOKED
        with self._log() as log:
            revoked = {int(e.serial, 16): e.revoked for e in _read(log).values() if e.revoked and now < e.ends}
            last = _list(file, self._issuer.name)
            if last is not None and revoked.keys() <= {entry.serial_number for entry in last}:
                return changed
            number, begins = _following(last, now)
            write(file, pki.pem(pki.revocations(self._issuer, revoked, number, begins)), SHARED)
        return True

    def permit(self, network: Network, on: date) -> bool:
        """Writes who may read and write what; False when that is so already."""
        wanted = {acl.ACL: acl.acl(network, on), acl.ENROLMENT_ACL: acl.enrolment_acl()}
        changed = [name for name, text in wanted.items() if _text(self.broker / name) != text]
        for name in changed:
            write(self.broker / name, wanted[name].encode(), SHARED)
        return bool(changed)

    def _record(self, certificate: x509.Certificate) -> Given:
        public = certificate.public_key()
        assert isinstance(public, pki.Public)
        entry = Entry(
            f"{certificate.serial_number:x}",
            pki.name_of(certificate),
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
            pki.fingerprint(public),
        )
        with self._log() as log:
            _append(log, [_line(entry)])
        return Given(entry, pki.pem(certificate) + pki.pem(self._issuer.certificate))

    @contextmanager
    def _log(self) -> Iterator[Path]:
        """The log, held against other processes and threads."""
        file = self.folder / ISSUED
        with file.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield file


def _hub_names(network: Network, octet: int) -> tuple[str, ...]:
    """As whom the hub is met; nothing where the inventory does not say it."""
    if network.hub is None:
        return ()
    # the hub itself comes by loopback; devices by the tunnel, with or without a name service
    return tuple(dict.fromkeys((network.hub.name, hub_address(octet), "localhost", "127.0.0.1")))


def _load(file: Path, passphrase: str) -> pki.Issuer | None:
    """Key and certificate of an authority. Raises OSError."""
    data = file.read_bytes()
    try:
        key = serialization.load_pem_private_key(data, passphrase.encode() or None)
        certificate = x509.load_pem_x509_certificate(data)
    except (ValueError, TypeError):
        return None
    if not isinstance(key, pki.Key) or key.public_key() != certificate.public_key():
        return None
    return pki.Issuer(certificate, key)


def _line(entry: Entry) -> dict[str, str]:
    begins, ends = entry.begins.isoformat(), entry.ends.isoformat()
    return {"serial": entry.serial, "name": entry.name, "begins": begins, "ends": ends, "key": entry.key}


def _read(log: Path) -> dict[str, Entry]:
    """Entries by serial number. A last line cut by a power failure was never acted upon."""
    found: dict[str, Entry] = {}
    for text in log.read_bytes().split(b"\n")[:-1]:
        line: Mapping[str, str] = json.loads(text)
        if "revoked" in line:
            entry = found[line["revoked"]]
            found[entry.serial] = replace(entry, revoked=datetime.fromisoformat(line["at"]))
        else:
            begins, ends = datetime.fromisoformat(line["begins"]), datetime.fromisoformat(line["ends"])
            found[line["serial"]] = Entry(line["serial"], line["name"], begins, ends, line["key"])
    return found


def _append(log: Path, lines: Sequence[Mapping[str, str]]) -> None:
    """Adds whole lines, on the disk when this returns, in place of one that was cut."""
    with log.open("r+b") as file:
        whole = file.read().rfind(b"\n") + 1
        file.seek(whole)
        file.truncate()
        file.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())


def _list(file: Path, issuer: x509.Name) -> x509.CertificateRevocationList | None:
    """The list of the revoked in ``file``, if it is this authority's."""
    try:
        last = x509.load_pem_x509_crl(file.read_bytes())
    except (OSError, ValueError):
        return None
    return last if last.issuer == issuer else None


def _following(last: x509.CertificateRevocationList | None, now: datetime) -> tuple[int, datetime]:
    """Number and beginning of the list after ``last``."""
    if last is None:
        return 1, now - SETTLED
    number = last.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    return number + 1, min(now, max(last.last_update_utc + timedelta(seconds=1), now - SETTLED))


def _text(file: Path) -> str | None:
    try:
        return file.read_text()
    except OSError:
        return None


def write(file: Path, data: bytes, mode: int) -> None:
    """``file`` holds ``data``, on the disk and with that mode from its first byte on, when this returns."""
    handle, name = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)  # mode 0600
    new = Path(name)
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(handle)
        new.chmod(mode)
        _give(new)
        new.replace(file)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    _sync(file.parent)


def _give(path: Path) -> None:
    """What root makes here belongs to whom the folder belongs: the hub runs as a user of its own."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
