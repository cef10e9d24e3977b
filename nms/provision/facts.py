"""What devices said of themselves, kept until they are asked again: its JSON form, and the rows that hold it.

The texts of resources are kept packed: they are needed only where something differs, and 5,000 devices are compared
without them.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from inventory.diagnostics import Diagnostic
from inventory.model import DeviceId
from nms.provision.plan import drifted
from nms.provision.problems import from_json, to_json
from nms.provision.reach import Unreached
from nms.provision.values import Facts, Observed
from nms.store import FactsRow

VERSION: Final = 1
MOST_TEXT: Final = 64 * 1024
"""Characters of one resource that are kept to show differences; of a longer one only its digest."""

_AT_ONCE: Final = 500
"""Ids in one query: databases limit how many values a question may have."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the hub knows of a device: its last answer, and since when it has not given another, with the reason."""

    facts: Facts | None = None
    failed: datetime | None = None
    failure: Diagnostic | None = None

    def age(self, now: datetime) -> timedelta | None:
        """None without an answer."""
        return now - self.facts.at if self.facts is not None else None


UNKNOWN: Final = Known()


def document(facts: Facts) -> dict[str, Any]:
    """The JSON form, without device and time, which are the row's own."""
    texts = {key: one.text for key, one in facts.found.items() if one.text is not None and len(one.text) <= MOST_TEXT}
    packed = zlib.compress(json.dumps(texts, ensure_ascii=False).encode())
    return {
        "version": VERSION,
        "found": {key: one.digest for key, one in facts.found.items()},
        "applied": dict(facts.applied),
        "host": dict(facts.host),
        "drifted": len(drifted(facts)),
        "texts": base64.b64encode(packed).decode() if texts else "",
    }


def facts_of(device: DeviceId, at: datetime, kept: Mapping[str, Any], texts: bool = True) -> Facts | None:
    """The facts of a document; None of another version, as if the device had never been asked."""
    if kept.get("version") != VERSION:
        return None
    packed = kept["texts"] if texts else ""
    full: Mapping[str, str] = json.loads(zlib.decompress(base64.b64decode(packed))) if packed else {}
    found = {key: Observed(digest, full.get(key)) for key, digest in kept["found"].items()}
    return Facts(device, at, found, kept["applied"], kept["host"])


def read(session: Session, devices: Collection[DeviceId], texts: bool = True) -> dict[DeviceId, Known]:
    """What is known of these devices; those never asked are missing. ``texts``: False where digests are enough."""
    wanted = list(devices)
    found: dict[DeviceId, Known] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        part = wanted[start : start + _AT_ONCE]
        columns = select(FactsRow.device, FactsRow.at, FactsRow.document, FactsRow.failed, FactsRow.failure)
        for name, at, kept, failed, failure in session.execute(columns.where(FactsRow.device.in_(part))):
            device = DeviceId(name)
            facts = facts_of(device, at, kept, texts) if at is not None else None
            found[device] = Known(facts, failed, from_json(failure) if failure else None)
    return found


def write(session: Session, answers: Iterable[Facts | Unreached], now: datetime) -> None:
    """Keep what devices answered, and since when others do not."""
    for answer in answers:
        row = session.get(FactsRow, answer.device) or FactsRow(device=answer.device)
        if isinstance(answer, Facts):
            row.at, row.document, row.failed, row.failure = answer.at, document(answer), None, {}
        else:
            row.failed, row.failure = row.failed or now, to_json(answer.problem)
        session.add(row)


def forget(session: Session, device: DeviceId) -> None:
    """What is kept of a device holds no longer: it is asked before the next plan."""
    row = session.get(FactsRow, device)
    if row is not None:
        row.at, row.document = None, {}


def drifting(session: Session) -> int:
    """How many devices were not as Loa left them when they were last asked."""
    count = FactsRow.document["drifted"].as_integer()
    return session.scalar(select(func.count()).select_from(FactsRow).where(count > 0)) or 0
