"""What this device began, reported and has seen: one append-only file that survives a power cut.

Each line is the CRC-32 of its JSON (8 hex digits), a space and the JSON. A line that does not match its sum was torn by
a power cut or spoiled by the flash: it is left out, and the rewrite on start cuts it off.

A torn last line was never acted upon: what a start or an order leads to comes after its record. Where more is missing,
what was due before may have been heard already: it does not begin any more (``doubt``).
"""

from __future__ import annotations

import json
import logging
import math
import os
import secrets
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from audio.documents import Airing, DocumentError, Receipt, Result, decode, encode
from audio.receiver.files import write_atomic
from audio.timetable import DAY, Segment

log = logging.getLogger(__name__)

KEEP = 8 * DAY
REWRITE_AFTER = 20_000
"""Lines after which the file is rewritten without what is over."""
MARK = 256
"""Bytes of the record of how far the open segment has got, which is written in place: one sector, one write."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A start: its receipt as it would read if nothing came after it, and how much has sounded so far."""

    receipt: Receipt
    samples: int = 0
    energy: int = 0


@dataclass(frozen=True, slots=True)
class _Closed:
    receipt: Receipt
    cut: bool


class Journal:
    """History, receipts and sequences. What a method records is on the disk when it returns, unless it says else."""

    def __init__(self, path: Path, now: int) -> None:
        self._path = path
        self._closed: dict[str, _Closed] = {}
        self._unacknowledged: dict[str, Receipt] = {}
        self.sequences: dict[tuple[str, str], tuple[int, str]] = {}
        self.open: Begun | None = None
        self.since = now
        """When this device first ran: what was due before is not its business."""
        self.doubt = 0
        """What was due before this instant may have been heard although the history does not say so; 0: no doubt."""
        mark = path.with_name(path.name + ".at")
        if self._read(path, mark):
            log.error("the journal is not whole: what was due before does not begin any more")
            self.doubt = max([now, *(c.receipt.ended for c in self._closed.values())])
            if self.open is not None:  # it may have come to its end
                self._close(self._so_far(Result.PARTIAL, "restart"), cut=False)
        self._mark = os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._lines = 0
        self._rewrite(now)
        self._file = path.open("ab", buffering=0)

    def _read(self, path: Path, mark: Path) -> bool:
        """Takes in what was recorded. Whether something that was on the disk is missing."""
        records = list(_records(path))
        for record in records:
            if record is not None:
                self._apply(record)
        whole = None not in records[:-1] and (
            not path.exists() or any(r is not None and r["k"] == "first" for r in records)
        )
        begun = {*self._closed, self.open.receipt.id if self.open else ""}
        for record in _records(mark):
            if record is not None and record["k"] == "mark":
                self._apply(record)
                # it is written from a sound's first block on: the start itself had been on the disk
                whole = whole and record["id"] in begun
        return not whole

    @property
    def history(self) -> tuple[Segment, ...]:
        """Everything that began, for ``timetable.what_plays``."""
        closed = [_segment(c.receipt, c.receipt.ended, c.cut) for c in self._closed.values() if _sounded(c.receipt)]
        return (*closed, _segment(self.open.receipt, None, False)) if self.open else tuple(closed)

    def doubtful(self, airing: Airing) -> bool:
        """Whether it may have been heard, though nothing is left that says so."""
        return airing.start < self.doubt and all(
            (s.airing, s.repeat) != (airing.airing, airing.repeat) for s in self.history
        )

    @property
    def reported(self) -> frozenset[tuple[str, int]]:
        """(airing, repeat) of everything with a receipt."""
        return frozenset((c.receipt.airing, c.receipt.repeat) for c in self._closed.values())

    @property
    def unacknowledged(self) -> tuple[Receipt, ...]:
        return tuple(self._unacknowledged.values())

    def begin(self, receipt: Receipt) -> None:
        self._write({"k": "begin", "receipt": _raw(receipt)})

    def progress(self, samples: int, energy: int) -> None:
        """How much of the open segment has sounded (48 kHz samples, sum of squares). Not forced to the disk."""
        self._write({"k": "at", "samples": samples, "energy": energy}, force=False)

    def sounded(self, samples: int, energy: int) -> None:
        """As ``progress``, for every block and from the player's thread: a process that is killed has said how much.

        The sound never waits for the disk, nor ends because of it.
        """
        if (begun := self.open) is not None:
            record = {"k": "mark", "id": begun.receipt.id, "samples": samples, "energy": energy}
            with suppress(OSError):
                os.pwrite(self._mark, _line(record, MARK), 0)

    def end(self, result: Result, reason: str, cut: bool, now: int) -> Receipt:
        """Closes the open segment as far as it has got; its receipt waits for the hub's acknowledgement."""
        receipt = self._so_far(result, reason)
        self._write({"k": "end", "receipt": _raw(receipt), "cut": cut})
        if self._lines > REWRITE_AFTER:
            self._file.close()
            self._rewrite(now)
            self._file = self._path.open("ab", buffering=0)
        return receipt

    def _so_far(self, result: Result, reason: str) -> Receipt:
        """The open segment's receipt, as far as it has got."""
        if self.open is None:
            raise RuntimeError("nothing is open")
        begun = self.open
        return replace(
            begun.receipt,
            ended=begun.receipt.started + begun.samples // 48,
            result=result,
            reason=reason,
            level=level(begun.samples, begun.energy),
        )

    def report(self, receipt: Receipt) -> None:
        """A receipt of something that never began."""
        self._write({"k": "end", "receipt": _raw(receipt), "cut": False})

    def acknowledge(self, ids: tuple[str, ...]) -> None:
        """Not forced to the disk: a receipt sent twice is one receipt."""
        known = [i for i in ids if i in self._unacknowledged]
        if known:
            self._write({"k": "ack", "ids": known}, force=False)

    def remember(self, topic: str, kid: str, seq: int, digest: str) -> None:
        """For ``envelope.Sequences``."""
        self._write({"k": "seq", "topic": topic, "kid": kid, "seq": seq, "digest": digest})

    def close(self) -> None:
        os.fsync(self._file.fileno())
        self._file.close()
        os.close(self._mark)

    def _write(self, record: dict[str, Any], *, force: bool = True) -> None:
        self._apply(record)
        self._file.write(_line(record))
        self._lines += 1
        if force:
            os.fdatasync(self._file.fileno())

    def _apply(self, record: dict[str, Any]) -> None:
        match record:
            case {"k": "first", "at": at}:
                self.since, self.doubt = at, record.get("doubt", 0)
            case {"k": "seq"}:
                self.sequences[record["topic"], record["kid"]] = (record["seq"], record["digest"])
            case {"k": "begin", "receipt": raw}:
                self._begun(decode(Receipt, json.dumps(raw)))
            case {"k": "at"} if self.open is not None:
                self.open = replace(self.open, samples=record["samples"], energy=record["energy"])
            case {"k": "mark", "id": receipt, "samples": samples, "energy": energy} if self.open is not None:
                if receipt == self.open.receipt.id and samples > self.open.samples:
                    self.open = replace(self.open, samples=samples, energy=energy)
            case {"k": "end", "receipt": raw, "cut": cut}:
                self._close(decode(Receipt, json.dumps(raw)), cut)
            case {"k": "ack", "ids": ids}:
                for receipt in ids:
                    self._unacknowledged.pop(receipt, None)

    def _begun(self, receipt: Receipt) -> None:
        if self.open is not None:  # the record of its end is lost
            self._close(self._so_far(Result.PARTIAL, "restart"), cut=False)
        self.open = Begun(receipt)

    def _close(self, receipt: Receipt, cut: bool) -> None:
        if self.open is not None and self.open.receipt.id == receipt.id:
            self.open = None
        self._closed[receipt.id] = _Closed(receipt, cut)
        self._unacknowledged[receipt.id] = receipt

    def _rewrite(self, now: int) -> None:
        old = [i for i, c in self._closed.items() if c.receipt.ended < now - KEEP and i not in self._unacknowledged]
        for receipt in old:
            del self._closed[receipt]
        lines = [_line(record) for record in self._essence()]
        write_atomic(self._path, b"".join(lines))
        self._lines = len(lines)

    def _essence(self) -> Iterator[dict[str, Any]]:
        yield {"k": "first", "at": self.since, "doubt": self.doubt}
        for (topic, kid), (seq, digest) in self.sequences.items():
            yield {"k": "seq", "topic": topic, "kid": kid, "seq": seq, "digest": digest}
        for closed in self._closed.values():
            yield {"k": "end", "receipt": _raw(closed.receipt), "cut": closed.cut}
        yield {"k": "ack", "ids": [i for i in self._closed if i not in self._unacknowledged]}
        if self.open is not None:
            yield {"k": "begin", "receipt": _raw(self.open.receipt)}
            yield {"k": "at", "samples": self.open.samples, "energy": self.open.energy}


def level(samples: int, energy: int) -> float | None:
    """RMS level in dBFS of so many 16-bit samples with that sum of squares; None for no sound at all."""
    if not samples or not energy:
        return None
    return round(10 * math.log10(energy / samples / 32768**2), 1)


def uuid7(now: int) -> str:
    """A UUID version 7 (RFC 9562) of ``now`` in Unix milliseconds."""
    number = now << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    text = f"{number:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _sounded(receipt: Receipt) -> bool:
    return receipt.result in (Result.PLAYED, Result.PARTIAL)


def _segment(receipt: Receipt, ended: int | None, cut: bool) -> Segment:
    return Segment(receipt.airing, receipt.repeat, receipt.started, receipt.offset, ended, cut, receipt.bulletin)


def _raw(receipt: Receipt) -> Any:
    return json.loads(encode(receipt))


def _line(record: dict[str, Any], size: int = 0) -> bytes:
    """The record's line, at least ``size`` bytes long."""
    text = json.dumps(record, separators=(",", ":")).encode().ljust(size - 10)
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _records(path: Path) -> Iterator[dict[str, Any] | None]:
    """The record of each line; None for one that is torn or spoiled."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            record = _record(line)
            if record is None:
                log.warning("journal line %d is torn or spoiled: left out", number)
            yield record


def _record(line: bytes) -> dict[str, Any] | None:
    total, _, text = line.rstrip(b"\n").partition(b" ")
    try:
        if not line.endswith(b"\n") or int(total, 16) != zlib.crc32(text):
            return None
        record = json.loads(text)
        if record["k"] in ("begin", "end"):
            decode(Receipt, json.dumps(record["receipt"]))
    except (ValueError, KeyError, TypeError, DocumentError):
        return None
    return record if isinstance(record, dict) else None
