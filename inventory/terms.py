"""Forms that several records of the field table share: ids, names, keys, numbers."""

from __future__ import annotations

from typing import Any

from inventory.diagnostics import N_, Phrase
from inventory.fields import Choice, Number, Text

TEXT = Text()
UNIT = Text(N_("a unit id like 23557 or 23563-2025"), r"[0-9]{2,5}(-[0-9]{4})?")
HAMLET = Text(N_("a hamlet id like 23557-H01"), r"[0-9]{2,5}-H[0-9]{2,3}")
DEVICE = Text(Phrase(N_("a device id like {id}"), id="23557-L01"), r"[0-9]{3,5}-[LMB][0-9]{2,3}")
SLUG = Text(N_("a short name of small letters, digits and hyphens"), r"[a-z0-9][a-z0-9_-]{0,62}")
PUBLIC_KEY = Text(N_("the base64 of 32 bytes"), r"[A-Za-z0-9+/]{43}=", code="INV405")
COUNT = Number(0, 1_000_000_000)
LANGUAGE = Text(N_("a language tag like vi, jra or bdq"), r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def words(*enums: Any) -> Choice:
    """One of the values of these enums; it is read as the member."""
    return Choice({member.value: member for enum in enums for member in enum})
