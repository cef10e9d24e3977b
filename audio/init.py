"""A new province: a folder that is valid and teaches, and the keys of those who may speak in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from string import Template

from audio.faults import fault
from audio.trust import SHORTEST, make_keys, more_keys, sync_folder, trust_yaml
from inventory.diagnostics import Diagnostic
from inventory.load import load
from inventory.model import Network, Trust, UnitId

TRUST_FILE = "trust.yaml"
FILES: Mapping[str, str] = {
    "network.yaml": """\
# Mạng lưới truyền thanh của tỉnh: mọi tệp khác trong thư mục này bổ sung cho tệp này.
# The province's network; every other file of this folder adds to this one. Check after each change: loa validate
province: "$code"
name: $name
# Thiết bị của hãng nào: loa-receiver là bộ thu của Loa. Device families in use; loa-receiver is Loa's own.
profiles: [loa-receiver]
# Khung giờ không phát: chỉ bản tin khẩn cấp được phát. Quiet hours: only an emergency is heard.
# Xã có khung giờ riêng thì thêm một dòng. A commune with hours of its own gets a line of its own.
quiet_hours:
  - {unit: "$code", start: "21:00", end: "05:00"}
# Mật khẩu thiết bị không viết ở đây. Passwords of devices are not written here; make an encrypted file with:
#   ansible-vault create secrets.yaml
""",
    "units.yaml": """\
# Đơn vị hành chính, mã theo danh mục chính thức. Administrative units with their official codes.
# id đặt một lần, không đổi, không dùng lại. An id is given once, never changed, never used again.
units:
  - {id: "$code", code: "$code", name: $full, type: province}
  # Mỗi xã, phường, đặc khu một dòng (bỏ dấu #). One line for each commune (remove the #):
  # - {id: "23557", code: "23557", name: Phường Yên Đỗ, type: ward, parent: "$code"}
  # Khi sáp nhập: valid_to cho đơn vị cũ; đơn vị mới có valid_from và predecessors.
  # After a merger the old unit gets valid_to, the new one valid_from and predecessors.
""",
    "grid.yaml": """\
# Buổi phát hằng ngày. Daily sessions; the nearest unit that has sessions wins: a commune may have its own.
sessions:
  - {unit: "$code", name: sáng, start: "05:00", duration: 60m}
  - {unit: "$code", name: chiều, start: "17:00", duration: 60m}
""",
    "people.yaml": """\
# Ai được làm gì, ở địa bàn nào; user là tài khoản trên máy chủ. Who may do what, where; user is the system's account.
# Vai trò (roles): editor biên tập, approver lãnh đạo phê duyệt, operator trực vận hành,
#   technician kỹ thuật, planner tổng hợp, viewer người xem.
# Người soạn không tự phê duyệt: cần ít nhất hai người. An author does not approve: at least two people are needed.
# Thay [] bằng các dòng sau (bỏ dấu #). Put lines like these in place of [] (remove the #):
people: []
  # - {id: bien-tap, name: Nguyễn Thị An, user: an, title: Cán bộ văn hóa, roles: [editor], area: "$code"}
  # - {id: phe-duyet, name: Trần Văn Bình, user: binh, title: Phó Chủ tịch UBND, roles: [approver], area: "$code"}
""",
    "groups.yaml": """\
# Nhóm cụm loa không theo địa giới. Audiences across units, such as the villages along a river.
# Thay [] bằng các dòng sau (bỏ dấu #). Put lines like these in place of [] (remove the #):
groups: []
  # - {id: ven-song, name: Ven sông, hamlets: [23557-H01]}
""",
    "targets.yaml": """\
# Chỉ tiêu của kế hoạch; ô trống thì bỏ qua, không phải 0. Targets of the plan; a blank cell is left out, it is not 0.
document: Chưa có văn bản
# Thay [] bằng các dòng sau (bỏ dấu #). Put lines like these in place of [] (remove the #):
indicators: []
  # - {indicator: station_to_hamlet, name: Xã có truyền thanh đến thôn, denominator: 220, printed: {2024: {value: 203}}}
""",
    "stations/vi-du.yaml.txt": """\
# Ví dụ: mỗi xã một tệp <mã>-<tên>.yaml. Example: one file per commune, named <code>-<name>.yaml.
# Khai báo xã trong units.yaml trước. Declare the commune in units.yaml first.
unit: "23557"
station:
  technologies: [{technology: ip, from: 2024-03-12}]
  condition: good
  surveyed: 2024-05-06
hamlets:
  - {id: 23557-H01, name: Tổ dân phố 1, word: tổ dân phố, languages: [vi], contact: {name: Lê Văn Chi, phone: "000"}}
loudspeakers:
  - id: 23557-L01
    hamlet: 23557-H01
    location: {lat: 13.98, lon: 108.0}
    profile: loa-receiver
    sim: {number: "000", iccid: "000", operator: Viettel, expires: 2027-01-01}
    power_area: PC-1
    volume: {day: 80, early: 60, emergency: 100}
    in_service: 2024-03-12
""",
    ".gitignore": """\
# Khóa bí mật và mật khẩu không bao giờ đưa vào Git. Private keys and passwords never go into Git.
*.pem
*.keys/
.vault-password*
""",
}
"""What a new province's folder holds, ``trust.yaml`` aside; ``$$code``, ``$$name`` and ``$$full`` are put in."""


def init(folder: Path, keys: Path, code: str, name: str, passphrase: str, today: date) -> tuple[Diagnostic, ...]:
    """Makes a new, valid province folder and, outside it, its keys; all or nothing.

    ``code`` is the province's official code. Nothing that exists is overwritten. Empty when it is done.
    """
    name = unicodedata.normalize("NFC", name).strip()
    refused = _refusals(folder, keys, code, name, passphrase)
    if refused:
        return refused
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        return (fault("ENV026", str(folder), file=folder, reason=error.strerror or error),)
    try:
        return _fill(new, folder, keys, _values(code, name), passphrase, today)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def add_keys(folder: Path, keys: Path, passphrase: str, today: date) -> tuple[Diagnostic, ...]:
    """Makes keys in ``keys`` and ``trust.yaml`` for a province's folder that has none; all or nothing.

    Each unit that is not over by the inventory's date (``as_of``, else ``today``) gets a key for its own area.
    """
    refused = _place_refused(folder, keys)
    if refused is not None:
        return (refused,)
    trust_file = folder / TRUST_FILE
    if os.path.lexists(trust_file):
        return (fault("ENV020", str(trust_file), file=trust_file),)
    network, diagnostics = load(folder)
    if network is None:
        return diagnostics
    trust = make_keys(keys, network, passphrase, network.on(today))
    if isinstance(trust, Diagnostic):
        return (trust,)
    try:
        _write(trust_file, trust_yaml(trust))
    except OSError as error:
        shutil.rmtree(keys)
        return (fault("ENV026", str(trust_file), file=trust_file, reason=error.strerror or error),)
    return ()


def further_keys(
    folder: Path, keys: Path, network: Network, trust: Trust, today: date
) -> tuple[UnitId, ...] | tuple[Diagnostic, ...]:
    """Makes the keys of the units that the province's ``trust.yaml`` does not name; those units, or what is wrong.

    What is there stays as it is.
    """
    more = more_keys(keys, network, trust, network.on(today))
    if isinstance(more, Diagnostic):
        return (more,)
    new, trust_file = more.keys[len(trust.keys) :], folder / TRUST_FILE
    try:
        _write(trust_file, trust_yaml(more))
    except OSError as error:
        for key in new:
            (keys / f"issuer-{key.unit}.pem").unlink()
        return (fault("ENV026", str(trust_file), file=trust_file, reason=error.strerror or error),)
    return tuple(key.unit for key in new)


def _refusals(folder: Path, keys: Path, code: str, name: str, passphrase: str) -> tuple[Diagnostic, ...]:
    found = []
    if not re.fullmatch(r"[0-9]{2}", code):
        found.append(fault("ENV030", str(folder), code=code))
    if not name or not name.isprintable() or not any(c.isalpha() for c in name):
        found.append(fault("ENV031", str(folder), name=name))
    if len(passphrase) < SHORTEST:
        found.append(fault("ENV024", str(keys), count=len(passphrase), least=SHORTEST))
    found += [fault("ENV020", str(path), file=path) for path in (folder, keys) if os.path.lexists(path)]
    refused = _place_refused(folder, keys)
    return (*found, refused) if refused else tuple(found)


def _place_refused(folder: Path, keys: Path) -> Diagnostic | None:
    """Private keys lie neither in the inventory nor anywhere in a Git work tree: there they would be published."""
    parents = keys.absolute().resolve().parents
    if folder.absolute().resolve() in parents or any((parent / ".git").exists() for parent in parents):
        return fault("ENV025", str(keys), file=keys)
    return None


def _values(code: str, name: str) -> dict[str, str]:
    typed = name.casefold().startswith(("tỉnh ", "thành phố "))
    full = name if typed else f"Tỉnh {name}"
    # a JSON string is a YAML string, whatever the name contains
    return {"code": code, "name": json.dumps(name, ensure_ascii=False), "full": json.dumps(full, ensure_ascii=False)}


def _fill(
    new: Path, folder: Path, keys: Path, values: Mapping[str, str], passphrase: str, today: date
) -> tuple[Diagnostic, ...]:
    """Writes everything to ``new`` and, once it is valid and has its keys, moves it to ``folder``."""
    try:
        for file, text in FILES.items():
            path = new / file
            path.parent.mkdir(exist_ok=True)
            _write(path, Template(text).substitute(values))
        refused = add_keys(new, keys, passphrase, today)
        if refused:
            return refused
        new.chmod(0o755)
        new.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        shutil.rmtree(keys, ignore_errors=True)
        return (fault("ENV026", str(folder), file=folder, reason=error.strerror or error),)
    return ()


def _write(path: Path, text: str) -> None:
    """Writes a new file, whole or not at all."""
    half = path.with_name(f".{path.name}.new")
    try:
        with half.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        half.rename(path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
