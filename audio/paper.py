"""An approval that a leader signed on paper, recorded by a second account (phê duyệt trên giấy)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from audio.refusals import refuse
from inventory.diagnostics import Diagnostic


@dataclass(frozen=True, slots=True)
class Paper:
    """The document: its ``number``, who ``signer`` is, when it was signed."""

    number: str
    signer: str
    signed_at: datetime

    def problems(self, now: datetime) -> tuple[Diagnostic, ...]:
        complete = self.number.strip() and self.signer.strip() and self.signed_at <= now
        return () if complete else (refuse("BUL088"),)
