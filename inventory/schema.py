"""The field table: every file of the inventory, key by key. It drives validation, JSON Schema and the reference.

What stands in a unit is in ``schema_sites``, the weekly programme in ``schema_grid``.
"""

from __future__ import annotations

from collections.abc import Mapping

from inventory.diagnostics import N_
from inventory.fields import (
    CLOCK,
    DAY,
    DURATION,
    MOMENT,
    Choice,
    Field,
    FieldType,
    Flag,
    ListOf,
    MapOf,
    Number,
    Record,
    Text,
)
from inventory.model import Role, ScriptClass, Tier, UnitType, Wording
from inventory.schema_grid import AIRTIME, EXCEPTION, HOLIDAY, RELAY, SESSION, SILENT, SLOT, SOURCE
from inventory.schema_sites import SITE
from inventory.terms import COUNT, DEVICE, HAMLET, LANGUAGE, PUBLIC_KEY, SLUG, TEXT, UNIT, words

TIER_OF: Mapping[UnitType, Tier] = {
    UnitType.PROVINCE: Tier.PROVINCE,
    UnitType.CITY: Tier.DISTRICT,
    UnitType.TOWN: Tier.DISTRICT,
    UnitType.DISTRICT: Tier.DISTRICT,
    UnitType.WARD: Tier.COMMUNE,
    UnitType.TOWNSHIP: Tier.COMMUNE,
    UnitType.COMMUNE: Tier.COMMUNE,
    UnitType.SPECIAL_ZONE: Tier.COMMUNE,
}

INDICATORS = ("station_to_hamlet", "converted_to_ict", "ward_board", "commune_board", "district_large_board")

CODE = Text(N_("an official code of 2 to 5 digits"), r"[0-9]{2,5}")
ENDPOINT = Text(N_("host:port like hub.example.vn:51820"), r"[^\s:]+:[0-9]{1,5}")
YEAR = Number(2000, 2100)
CLASS = Choice({name: name for name in ("normal", "priority", "emergency")})

QUIET = Record(
    N_("quiet_hours"),
    (
        Field("unit", UNIT, "for it and everything below", required=True),
        Field("start", CLOCK, "first silent minute", required=True),
        Field("end", CLOCK, "first minute after; may lie after midnight", required=True),
    ),
)

MAINTENANCE = Record(
    N_("maintenance"),
    (
        Field("unit", UNIT, "everything in it and below; otherwise 'device'"),
        Field("device", DEVICE, "one device; otherwise 'unit'"),
        Field("from", MOMENT, "when the work begins, local time", required=True),
        Field("until", MOMENT, "when everything is to be on again", required=True),
        Field("reason", TEXT, "what is done", required=True),
    ),
)

HUB = Record(
    N_("hub"),
    (
        Field("name", TEXT, "the host name on the hub's certificates", required=True),
        Field("endpoint", ENDPOINT, "where devices' tunnels reach it", required=True),
        Field("public_key", PUBLIC_KEY, "the key of its tunnel", required=True),
    ),
)

ROLLOUT = Record(
    N_("rollout"),
    (
        Field("canary", Number(1, 100), "devices changed first", default="1"),
        Field(
            "waves",
            ListOf(Number(1, 100_000)),
            "sizes of the waves after them; the last is repeated",
            default="[10, 50]",
        ),
        Field("limit", COUNT, "how many devices may fail or be lost before it ends", default="0"),
        Field("confirm", DURATION, "a device goes back by itself unless confirmed within", default="5m"),
    ),
)

NETWORK = Record(
    N_("network"),
    (
        Field("province", UNIT, "the unit at the top", required=True),
        Field("name", TEXT, "the province's name", required=True),
        Field("as_of", DAY, "the default date of every query", default="today"),
        Field("overlay", Number(1, 223), "first octet of the /8 that devices are addressed in", default="10"),
        Field("profiles", ListOf(SLUG), "device families in use", required=True),
        Field("quiet_hours", ListOf(QUIET), "daily windows without sound (khung giờ không phát)"),
        Field(
            "authority_for",
            ListOf(CLASS),
            "classes of bulletins that must name their authority (căn cứ)",
            default="[priority, emergency]",
        ),
        Field("maintenance", ListOf(MAINTENANCE), "planned work: what is off then is not lost"),
        Field("hub", HUB, "how devices find the hub"),
        Field("rollout", ROLLOUT, "how changes reach devices: first a few, then waves"),
    ),
)

UNIT_RECORD = Record(
    N_("unit"),
    (
        Field("id", UNIT, "minted once: the code, with the year where a reform reused it", required=True),
        Field("code", CODE, "the official code", required=True),
        Field("name", TEXT, "the official name, with its type word", required=True),
        Field("type", words(UnitType), "its tier follows from it", required=True),
        Field("parent", UNIT, "the unit above; absent only for the province"),
        Field("valid_from", DAY, "the first day"),
        Field("valid_to", DAY, "the first day on which it is no more"),
        Field("predecessors", ListOf(UNIT), "the ended units that became this one"),
        Field("aliases", ListOf(TEXT), "other spellings that find it"),
        Field("legal_basis", TEXT, "the resolution and clause"),
    ),
)

GROUP = Record(
    N_("group"),
    (
        Field("id", SLUG, "its id", required=True),
        Field("name", TEXT, "its name", required=True),
        Field("devices", ListOf(DEVICE), "devices in it"),
        Field("hamlets", ListOf(HAMLET), "hamlets all of whose devices are in it"),
    ),
)

PERSON = Record(
    N_("person"),
    (
        Field("id", SLUG, "its id", required=True),
        Field("name", TEXT, "full name", required=True),
        Field(
            "user", Text(N_("a user name"), r"[a-z_][a-z0-9_.-]{0,31}"), "the operating-system account", required=True
        ),
        Field("title", TEXT, "office held"),
        Field("roles", ListOf(words(Role)), "what the person may do", required=True),
        Field("area", UNIT, "the unit in which (and below)", required=True),
    ),
)

RECORDING = Text(N_("a file in this folder like recordings/lu-jra.opus"), r"[A-Za-z0-9_-][A-Za-z0-9._/-]*")

WORDING = Record(
    N_("wording"),
    (
        Field("text", MapOf(LANGUAGE, TEXT), "by language; Vietnamese is spoken unless it is recorded", required=True),
        Field("recordings", MapOf(LANGUAGE, RECORDING), "by language; a recording has no blanks"),
    ),
    make=lambda v: Wording(v["text"], v.get("recordings", {})),
)

SCRIPT = Record(
    N_("script"),
    (
        Field("id", SLUG, "its id", required=True),
        Field("title", TEXT, "its name in lists; it is not spoken", required=True),
        Field("class", words(ScriptClass), "a drill sounds and is worded as one", required=True),
        Field("alarm", WORDING, "what is said three times, with blanks like {place} in the Vietnamese", required=True),
        Field("correction", WORDING, "what is said if it was wrong, without blanks", required=True),
        Field("all_clear", WORDING, "what is said when it is over, without blanks", required=True),
    ),
)

FIGURE = Record(
    N_("figure"),
    (
        Field("value", COUNT, "the number as printed; a blank cell has no key"),
        Field("percent", TEXT, 'the percentage as printed, "92,3%"'),
    ),
    make=dict,
)

INDICATOR = Record(
    N_("indicator"),
    (
        Field("indicator", Choice({name: name for name in INDICATORS}), "what is counted", required=True),
        Field("name", TEXT, "as the document words it", required=True),
        Field("denominator", COUNT, "as printed"),
        Field("printed", MapOf(YEAR, FIGURE), "printed totals by year", required=True),
        Field("districts", MapOf(UNIT, MapOf(YEAR, COUNT)), "rows by district and year; a blank cell is left out"),
    ),
)

KEY = Record(
    N_("key"),
    (
        Field("kid", Text(N_("16 hexadecimal digits"), r"[0-9a-f]{16}"), "names the key", required=True),
        Field("unit", UNIT, "the unit it speaks for (and below)", required=True),
        Field("public", PUBLIC_KEY, "an Ed25519 public key", required=True),
        Field(
            "classes",
            ListOf(CLASS),
            "classes of bulletins it may sign",
            required=True,
        ),
        Field("hub", Flag(), "whether it signs programmes", default="false"),
    ),
)

FILES: Mapping[str, Record] = {
    "network": NETWORK,
    "units": Record(N_("units file"), (Field("units", ListOf(UNIT_RECORD), "dated units", required=True),)),
    "grid": Record(
        N_("grid file"),
        (
            Field("sessions", ListOf(SESSION), "sessions (buổi phát) in which bulletins are aired", required=True),
            Field("sources", ListOf(SOURCE), "programmes that are relayed"),
            Field("relays", ListOf(RELAY), "when they are relayed (tiếp sóng)"),
            Field("slots", ListOf(SLOT), "windows kept for the bulletins of one tier"),
            Field("holidays", ListOf(HOLIDAY), "days with another programme"),
            Field("silent", ListOf(SILENT), "dated windows in which nothing but an emergency sounds"),
            Field("exceptions", ListOf(EXCEPTION), "dated exceptions to the quiet hours, signed by a leader"),
            Field("airtime", ListOf(AIRTIME), "the longest programme of one day"),
        ),
    ),
    "groups": Record(N_("groups file"), (Field("groups", ListOf(GROUP), "audiences across units"),)),
    "people": Record(N_("people file"), (Field("people", ListOf(PERSON), "who may do what, where"),)),
    "scripts": Record(
        N_("scripts file"), (Field("scripts", ListOf(SCRIPT), "pre-approved emergencies and drills", required=True),)
    ),
    "targets": Record(
        N_("targets file"),
        (
            Field("document", TEXT, "the plan with its number and date", required=True),
            Field("indicators", ListOf(INDICATOR), "its indicators", required=True),
        ),
    ),
    "trust": Record(
        N_("trust file"),
        (
            Field("root", PUBLIC_KEY, "the public key of the offline root", required=True),
            Field("keys", ListOf(KEY), "public keys that may sign", required=True),
        ),
    ),
    "station": SITE,
}
"""The record at the top of each kind of file."""


def json_schema(kind: str) -> dict[str, object]:
    """The JSON Schema (2020-12) of one kind of file, for editors. ``kind`` is a key of ``FILES``."""
    head: dict[str, object] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Loa inventory: {FILES[kind].name}",
    }
    return head | FILES[kind].schema()


def reference() -> str:
    """The tables of the reference: one per record, top record of each file first."""
    parts: list[str] = []
    for kind, record in FILES.items():
        parts.append(f"## {kind}\n")
        parts.extend(_tables(record, {}))
    return "\n".join(parts)


def _tables(record: Record, seen: dict[str, None]) -> list[str]:
    rows = [f"### {record.name}\n", "| key | form | | meaning |", "|---|---|---|---|"]
    below: list[str] = []
    seen[record.name] = None
    for one in record.fields:
        note = "required" if one.required else f"default: {one.default}" if one.default else ""
        rows.append(f"| `{one.name}` | {one.type.form} | {note} | {one.doc} |")
        for inner in _records(one.type):
            if inner.name not in seen:
                below.extend(_tables(inner, seen))
    return ["\n".join(rows) + "\n", *below]


def _records(kind: FieldType) -> list[Record]:
    if isinstance(kind, Record):
        return [kind]
    if isinstance(kind, ListOf):
        return _records(kind.item)
    return _records(kind.value) if isinstance(kind, MapOf) else []
