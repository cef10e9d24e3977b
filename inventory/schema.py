"""The field table: every file of the inventory, key by key. It drives validation, JSON Schema and the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inventory.diagnostics import N_, Phrase
from inventory.fields import (
    CLOCK,
    DAY,
    DURATION,
    MOMENT,
    PIXELS,
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
from inventory.model import (
    BoardSize,
    Condition,
    Contact,
    Location,
    Membership,
    Off,
    Role,
    ScriptClass,
    Sim,
    StationTechnology,
    Technology,
    Tier,
    UnitType,
    Volume,
    Wording,
)

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

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
INDICATORS = ("station_to_hamlet", "converted_to_ict", "ward_board", "commune_board", "district_large_board")


def _words(*enums: Any) -> Choice:
    return Choice({member.value: member for enum in enums for member in enum})


TEXT = Text()
UNIT = Text(N_("a unit id like 23557 or 23563-2025"), r"[0-9]{2,5}(-[0-9]{4})?")
CODE = Text(N_("an official code of 2 to 5 digits"), r"[0-9]{2,5}")
HAMLET = Text(N_("a hamlet id like 23557-H01"), r"[0-9]{2,5}-H[0-9]{2,3}")
DEVICE = Text(Phrase(N_("a device id like {id}"), id="23557-L01"), r"[0-9]{3,5}-[LMB][0-9]{2,3}")
SLUG = Text(N_("a short name of small letters, digits and hyphens"), r"[a-z0-9][a-z0-9_-]{0,62}")
PUBLIC_KEY = Text(N_("the base64 of 32 bytes"), r"[A-Za-z0-9+/]{43}=", code="INV405")
HOST_KEY = Text(N_("an OpenSSH public key like ssh-ed25519 AAAA…"), r"ssh-ed25519 [A-Za-z0-9+/]{68}")
SOUND = Text(
    N_("an ALSA device like default or plughw:0,0, or none"),
    r"[A-Za-z][A-Za-z0-9_-]*(:[A-Za-z0-9_=,.-]+)?",
    code="INV314",
)
ENDPOINT = Text(N_("host:port like hub.example.vn:51820"), r"[^\s:]+:[0-9]{1,5}")
YEAR = Number(2000, 2100)
COUNT = Number(0, 1_000_000_000)
PERCENT = Number(0, 100, code="INV303")


def _device(letter: str) -> Text:
    return Text(Phrase(N_("a device id like {id}"), id=f"23557-{letter}01"), rf"[0-9]{{3,5}}-{letter}[0-9]{{2,3}}")


LOCATION = Record(
    N_("location"),
    (
        Field("lat", Number(8, 24, integer=False, code="INV304"), "latitude, WGS 84", required=True),
        Field("lon", Number(102, 110, integer=False, code="INV304"), "longitude, WGS 84", required=True),
    ),
    make=lambda v: Location(v["lat"], v["lon"]),
)

SIM = Record(
    N_("sim"),
    (
        Field("number", TEXT, "the SIM's telephone number", required=True),
        Field("iccid", TEXT, "the number printed on the card", required=True),
        Field("plan", TEXT, "the data plan; a size in it is the quota: 'M2M-2GB' a month, '3GB/30d', '500MB/day'"),
        Field("operator", TEXT, "the mobile operator"),
        Field("expires", DAY, "when the plan runs out"),
        Field("apn", TEXT, "the access point name it registers with"),
    ),
    make=lambda v: Sim(**v),
)

VOLUME = Record(
    N_("volume"),
    (
        Field("day", PERCENT, "ceiling by day, percent", default="80"),
        Field("early", PERCENT, "ceiling early in the morning, percent", default="60"),
        Field("emergency", PERCENT, "ceiling in an emergency, percent", default="100"),
    ),
    make=lambda v: Volume(**v),
)


OFF = Record(
    N_("off"),
    (
        Field("start", CLOCK, "when the timer takes it off", required=True),
        Field("end", CLOCK, "when it is on again; may lie after midnight", required=True),
    ),
    make=lambda v: Off(v["start"], v["end"]),
)

READING = Number(-1e12, 1e12, integer=False)

LIMIT = Record(
    N_("limit"),
    (
        Field("min", READING, "below it the device is degraded, in the metric's unit"),
        Field("max", READING, "above it the device is degraded"),
    ),
    make=dict,
)


def _common(letter: str) -> tuple[Field, ...]:
    return (
        Field("id", _device(letter), "minted once, never renamed or reused", required=True),
        Field("name", TEXT, "what people call it"),
        Field("hamlet", HAMLET, "the hamlet it stands in; its unit follows from it"),
        Field("location", LOCATION, "where it stands"),
        Field("profile", TEXT, "its device family, one of network.yaml's profiles", required=True),
        Field("sim", SIM, "its own SIM; otherwise 'uplink'"),
        Field("power_area", TEXT, "the mains area it is fed from"),
        Field("in_service", DAY, "the first day of service; later days are plans", required=True),
        Field("out_of_service", DAY, "the first day without it"),
        Field("serial", TEXT, "the maker's serial number"),
        Field("public_key", PUBLIC_KEY, "the key the device made for its tunnel"),
        Field("host_key", HOST_KEY, "the key by which it proves itself over SSH"),
        Field("off", OFF, "a timer takes it off every day: silent then, it is not lost"),
        Field("limits", MapOf(SLUG, LIMIT), "limits of its metrics in place of its profile's; {} is no limit"),
    )


UPLINK = Field("uplink", DEVICE, "the modem of the same unit it hangs behind; otherwise 'sim'")

LOUDSPEAKER = Record(
    N_("loudspeaker"),
    (
        *_common("L"),
        UPLINK,
        Field("volume", VOLUME, "ceilings set at acceptance"),
        Field("sound", SOUND, "the ALSA device the receiver plays on; none: no amplifier yet", default="default"),
    ),
)
MODEM = Record(N_("modem"), _common("M"))
BOARD = Record(
    N_("board"),
    (
        *_common("B"),
        UPLINK,
        Field("size", _words(BoardSize), "large: a district's LED or LCD screen", default="small"),
        Field("resolution", PIXELS, "what is rendered for it"),
        Field("connected", Flag(), "whether the hub reaches it", default="true"),
    ),
)

TECHNOLOGY = Record(
    N_("technology"),
    (
        Field("technology", _words(Technology), "ip (CNTT-VT), wired (có dây), fm (không dây)", required=True),
        Field("from", DAY, "the first day", required=True),
    ),
    make=lambda v: StationTechnology(v["technology"], v["from"]),
)

STATION = Record(
    N_("station"),
    (
        Field("technologies", ListOf(TECHNOLOGY), "how it distributes sound, by date", required=True),
        Field("condition", _words(Condition), "as last surveyed"),
        Field("surveyed", DAY, "the day of that survey"),
    ),
)

MEMBERSHIP = Record(
    N_("membership"),
    (
        Field("unit", UNIT, "the commune it belongs to", required=True),
        Field("from", DAY, "the first day"),
        Field("to", DAY, "the first day on which it no longer does"),
    ),
    make=lambda v: Membership(v["unit"], v.get("from"), v.get("to")),
)

CONTACT = Record(
    N_("contact"),
    (
        Field("name", TEXT, "whom to call", required=True),
        Field("phone", TEXT, "the number to call", required=True),
    ),
    make=lambda v: Contact(v["name"], v["phone"]),
)

LANGUAGE = Text(N_("a language tag like vi, jra or bdq"), r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")

HAMLET_RECORD = Record(
    N_("hamlet"),
    (
        Field("id", HAMLET, "minted once, never renamed or reused", required=True),
        Field("name", TEXT, "its name", required=True),
        Field("word", TEXT, "what it is called here: thôn, làng, buôn, tổ dân phố", required=True),
        Field("languages", ListOf(LANGUAGE), "in the order to be spoken", default="[vi]"),
        Field("population", COUNT, "people"),
        Field("contact", CONTACT, "whom to call when it was not heard"),
        Field("memberships", ListOf(MEMBERSHIP), "its communes by date", default="this file's unit and its successor"),
    ),
)

SITE = Record(
    N_("station file"),
    (
        Field("unit", UNIT, "the commune, or the district of a file in districts/", required=True),
        Field("station", STATION, "absent: the commune has no station"),
        Field("hamlets", ListOf(HAMLET_RECORD), "thôn, làng, buôn, tổ dân phố"),
        Field("loudspeakers", ListOf(LOUDSPEAKER), "clusters"),
        Field("modems", ListOf(MODEM), "4G routers that others hang behind"),
        Field("boards", ListOf(BOARD), "electronic boards"),
    ),
)

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
            ListOf(Choice({name: name for name in ("normal", "priority", "emergency")})),
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
        Field("type", _words(UnitType), "its tier follows from it", required=True),
        Field("parent", UNIT, "the unit above; absent only for the province"),
        Field("valid_from", DAY, "the first day"),
        Field("valid_to", DAY, "the first day on which it is no more"),
        Field("predecessors", ListOf(UNIT), "the ended units that became this one"),
        Field("aliases", ListOf(TEXT), "other spellings that find it"),
        Field("legal_basis", TEXT, "the resolution and clause"),
    ),
)

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
        Field("roles", ListOf(_words(Role)), "what the person may do", required=True),
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
        Field("class", _words(ScriptClass), "a drill sounds and is worded as one", required=True),
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
            ListOf(Choice({name: name for name in ("normal", "priority", "emergency")})),
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
