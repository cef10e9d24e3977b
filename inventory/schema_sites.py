"""The field table of what stands in a unit: station, hamlets, loudspeaker clusters, modems, boards."""

from __future__ import annotations

from inventory.diagnostics import N_, Phrase
from inventory.fields import CLOCK, DAY, PIXELS, Field, Flag, ListOf, MapOf, Number, Record, Text
from inventory.model import (
    BoardSize,
    Condition,
    Contact,
    Location,
    Membership,
    Off,
    Sim,
    StationTechnology,
    Technology,
    Volume,
)
from inventory.terms import COUNT, DEVICE, HAMLET, LANGUAGE, PUBLIC_KEY, SLUG, TEXT, UNIT, words

HOST_KEY = Text(N_("an OpenSSH public key like ssh-ed25519 AAAA…"), r"ssh-ed25519 [A-Za-z0-9+/]{68}")
SOUND = Text(
    N_("an ALSA device like default or plughw:0,0, or none"),
    r"[A-Za-z][A-Za-z0-9_-]*(:[A-Za-z0-9_=,.-]+)?",
    code="INV314",
)
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
        Field("size", words(BoardSize), "large: a district's LED or LCD screen", default="small"),
        Field("resolution", PIXELS, "what is rendered for it"),
        Field("connected", Flag(), "whether the hub reaches it", default="true"),
    ),
)

TECHNOLOGY = Record(
    N_("technology"),
    (
        Field("technology", words(Technology), "ip (CNTT-VT), wired (có dây), fm (không dây)", required=True),
        Field("from", DAY, "the first day", required=True),
    ),
    make=lambda v: StationTechnology(v["technology"], v["from"]),
)

STATION = Record(
    N_("station"),
    (
        Field("technologies", ListOf(TECHNOLOGY), "how it distributes sound, by date", required=True),
        Field("condition", words(Condition), "as last surveyed"),
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
