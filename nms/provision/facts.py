"""What devices said of themselves, kept until they are asked again: its JSON form, and the rows that hold it.

Documents are read only where something differs: beside them stand digests by which 5,000 devices are compared.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from inventory.diagnostics import Diagnostic
from inventory.model import DeviceId
from nms.provision.plan import drifted, state_left
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
    """When a device answered last (None: never) and what; since when it has not given another answer, and why.

    ``digest`` is the facts', ``left`` their ``nms.provision.plan.state_left``.
    """

    at: datetime | None = None
    facts: Facts | None = None
    failed: datetime | None = None
    failure: Diagnostic | None = None
    digest: str = ""
    left: str = ""


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
        "digest": facts.digest,
        "left": state_left(facts),
        "texts": base64.b64encode(packed).decode() if texts else "",
    }


def facts_of(device: DeviceId, at: datetime, kept: Mapping[str, Any]) -> Facts | None:
    """The facts of a document; None of another version, as if the device had never been asked."""
    if kept.get("version") != VERSION:
        return None
    packed = kept["texts"]
    texts: Mapping[str, str] = json.loads(zlib.decompress(base64.b64decode(packed))) if packed else {}
    found = {key: Observed(digest, texts.get(key)) for key, digest in kept["found"].items()}
    return Facts(device, at, found, kept["applied"], kept["host"])


def asked(session: Session, devices: Collection[DeviceId]) -> dict[DeviceId, Known]:
    """What is known of these devices but for what they said; those never asked are missing."""
    columns = (FactsRow.document[name] for name in ("version", "digest", "left"))
    version, digest, left = columns
    words = (version.as_integer(), digest.as_string(), left.as_string())
    query = select(FactsRow.device, FactsRow.at, FactsRow.failed, FactsRow.failure, *words)
    found = {}
    for name, at, failed, failure, kept, state, same in _rows(session, query, devices):
        why = from_json(failure) if failure else None
        current = kept == VERSION
        found[DeviceId(name)] = Known(at if current else None, None, failed, why, *((state, same) if current else ()))
    return found


def read(session: Session, devices: Collection[DeviceId]) -> dict[DeviceId, Known]:
    """What is known of these devices; those never asked are missing."""
    query = select(FactsRow.device, FactsRow.at, FactsRow.document, FactsRow.failed, FactsRow.failure)
    found = {}
    for name, at, kept, failed, failure in _rows(session, query, devices):
        facts = facts_of(DeviceId(name), at, kept) if at is not None else None
        why = from_json(failure) if failure else None
        words = (kept["digest"], kept["left"]) if facts is not None else ()
        found[DeviceId(name)] = Known(at if facts is not None else None, facts, failed, why, *words)
    return found


def _rows(session: Session, query: Select[Any], devices: Collection[DeviceId]) -> Iterator[Any]:
    wanted = list(devices)
    for start in range(0, len(wanted), _AT_ONCE):
        yield from session.execute(query.where(FactsRow.device.in_(wanted[start : start + _AT_ONCE])))


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
