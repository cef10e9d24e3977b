"""The field table of the weekly programme: sessions, relays, slots, holidays, silence, airtime."""

from __future__ import annotations

from inventory.diagnostics import N_
from inventory.fields import CLOCK, DAY, DURATION, MOMENT, Choice, Field, ListOf, Record, Text
from inventory.model import Tier
from inventory.terms import HAMLET, SLUG, TEXT, UNIT

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
SESSION_NAME = Text(N_("a name of up to 32 small letters, digits and hyphens"), r"[a-z0-9-]{1,32}")
URL = Text(N_("an address like https://example.vn/live.m3u8 or rtp://239.1.1.1:5004"), r"(https?|rtp)://[^\s]+")
_SPAN = (
    Field("start", CLOCK, "when it begins", required=True),
    Field("duration", DURATION, "how long it lasts; may run past midnight", required=True),
)
_WHEN = (
    Field("days", ListOf(Choice({day: n for n, day in enumerate(DAYS)})), "its days of the week", default="every day"),
    Field("from", DAY, "the first day"),
    Field("to", DAY, "the first day on which it no longer holds"),
    Field("holiday", SLUG, "it holds on the days of this holiday only"),
)

SESSION = Record(
    N_("session"),
    (
        Field("unit", UNIT, "for it and everything below; the nearest unit with sessions on a day wins", required=True),
        Field("name", TEXT, "sáng, trưa, chiều", required=True),
        *_SPAN,
        *_WHEN,
    ),
)

SOURCE = Record(
    N_("source"),
    (
        Field("id", SESSION_NAME, "its id", required=True),
        Field("name", TEXT, "what people call it", required=True),
        Field("urls", ListOf(URL), "where it is heard, the preferred one first; without secrets", required=True),
    ),
)

RELAY = Record(
    N_("relay"),
    (
        Field("unit", UNIT, "for it and everything below; a nearer unit's relay or slot goes before", required=True),
        Field("name", TEXT, "what people call it", required=True),
        Field("source", SESSION_NAME, "one of 'sources'", required=True),
        *_SPAN,
        *_WHEN,
    ),
)

SLOT = Record(
    N_("slot"),
    (
        Field("unit", UNIT, "for it and everything below; a nearer unit's relay or slot goes before", required=True),
        Field("name", TEXT, "what people call it", required=True),
        Field(
            "for",
            Choice({"province": Tier.PROVINCE, "district": Tier.DISTRICT, "own": Tier.COMMUNE}),
            "whose bulletins are aired in it; own: the commune's",
            required=True,
        ),
        *_SPAN,
        *_WHEN,
    ),
)

HOLIDAY = Record(
    N_("holiday"),
    (
        Field("unit", UNIT, "for it and everything below", required=True),
        Field("id", SLUG, "its id", required=True),
        Field("name", TEXT, "what people call it", required=True),
        Field("from", DAY, "the first day", required=True),
        Field("to", DAY, "the first day after", required=True),
        Field("without", ListOf(TEXT), "names of the lines that do not hold then", default="all but the holiday's own"),
    ),
)

SILENT = Record(
    N_("silent window"),
    (
        Field("unit", UNIT, "everything in it and below"),
        Field("hamlet", HAMLET, "otherwise one hamlet"),
        Field("group", SLUG, "otherwise one group"),
        Field("from", MOMENT, "when the silence begins, local time", required=True),
        Field("until", MOMENT, "the first moment after it", required=True),
        Field("reason", TEXT, "why: the exam", required=True),
    ),
)

EXCEPTION = Record(
    N_("quiet-hours exception"),
    (
        Field("unit", UNIT, "for it and everything below", required=True),
        Field("from", MOMENT, "from when on the quiet hours do not hold, local time", required=True),
        Field("until", MOMENT, "the first moment at which they hold again", required=True),
        Field("signer", SLUG, "the leader who signed, a person of people.yaml", required=True),
        Field("document", TEXT, "number and date of what was signed", required=True),
    ),
)

AIRTIME = Record(
    N_("airtime limit"),
    (
        Field("unit", UNIT, "for each device in it and below; the nearest unit's limit holds", required=True),
        Field("limit", DURATION, "the longest programme of one day, emergencies not counted", required=True),
    ),
)
