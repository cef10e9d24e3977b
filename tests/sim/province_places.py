"""Invented places and people of the sample: hamlets, where they lie, who answers the telephone there.

Names are put together from syllables that occur in Jrai, Bahnar and Vietnamese names; they name no real place unless
``facts/known.yaml`` does. Every telephone number starts with 0000, which nobody has.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tests.sim.province_facts import Commune, District, Facts, Known, Village

FIRST = {
    "jra": ("Ia", "Chư", "Mơ", "Kơ", "Plei", "Ơi", "Tơ", "Bôn", "Krông", "Pơ", "Dơ", "Hra", "Sơ", "Phung", "Klũh"),
    "bdq": ("Kon", "Đê", "Đăk", "Tơ", "Hơ", "Plei", "Kơ", "Bơ", "Krăk", "Tăng", "Groi", "Hlim", "Lơ", "Mơ", "Đôn"),
}
LAST = {
    "jra": ("Nueng", "Brel", "Pông", "Ngol", "Wâu", "Kép", "Tơnia", "Blang", "Hmŭk", "Rưng", "Sir", "Djrông", "Kram"),
    "bdq": ("Hleng", "Jrăng", "Kjêng", "Bưk", "Hlâm", "Rơh", "Gơl", "Sơlăm", "Klot", "Trek", "Yuk", "Nglơng", "Bong"),
}
FAMILY = {
    "vi": ("Nguyễn", "Trần", "Lê", "Phạm", "Võ", "Huỳnh", "Đặng", "Bùi", "Hồ", "Phan"),
    "jra": ("Siu", "Ksor", "Rơ Châm", "Kpă", "Nay", "Rmah", "Rơ Mah", "Puih", "Rah Lan"),
    "bdq": ("Đinh", "A", "Hmưnh", "Yưh", "Kưk"),
}
GIVEN = {
    "vi": (
        "Văn An",
        "Thị Bình",
        "Văn Cường",
        "Thị Dung",
        "Đức Hải",
        "Thị Hoa",
        "Minh Long",
        "Thị Mai",
        "Quang Sơn",
        "Ngọc Lan",
        "Văn Phúc",
        "Thị Thu",
        "Xuân Trường",
        "Thanh Tâm",
    ),
    "jra": ("Hyai", "Blêu", "H'Lan", "Thik", "H'Nga", "Djueh", "Tuih", "H'Bia", "Anel"),
    "bdq": ("Bơk", "Thưp", "Y Lan", "Hmrik", "Y Hương", "Ngưp", "Byơn", "Y Mrưi", "Plưnh"),
}
SPOTS = ("Nhà văn hóa", "Ngã ba", "Trường tiểu học", "Trạm y tế", "Chợ")


@dataclass(frozen=True, slots=True)
class Place:
    """An invented hamlet: its ``clusters`` are the loudspeaker clusters that stand in it."""

    id: str
    name: str
    word: str
    languages: tuple[str, ...]
    population: int
    contact: tuple[str, str]
    centre: tuple[float, float]
    clusters: int
    moves_to: str = ""


@dataclass(slots=True)
class Numbers:
    """Telephone and SIM numbers, each given once."""

    next_phone: int = 0
    next_sim: int = 0

    def phone(self) -> str:
        self.next_phone += 1
        return f"0000 {100 + self.next_phone // 1000} {self.next_phone % 1000:03d}"

    def sim(self) -> tuple[str, str]:
        """Number and ICCID; the ICCID's operator part is all zeros."""
        self.next_sim += 1
        return f"0000{self.next_sim:06d}", f"8984000000000{self.next_sim:06d}"


def person(language: str, rng: Random) -> str:
    return f"{rng.choice(FAMILY[language])} {rng.choice(GIVEN[language])}"


def commune_centre(facts: Facts, commune: Commune) -> tuple[float, float]:
    """Around the district's centre in a sunflower pattern, the first (usually the town) in the middle."""
    district = facts.districts[commune.district]
    communes = facts.communes_of(district.code)
    index = next(i for i, c in enumerate(communes) if c.code == commune.code)
    radius = district.spread * math.sqrt(index / len(communes))
    return offset(district.centre, radius, index * 2.39996)


def offset(centre: tuple[float, float], radius: float, angle: float) -> tuple[float, float]:
    return round(centre[0] + radius * math.sin(angle), 5), round(centre[1] + radius * math.cos(angle), 5)


def near(centre: tuple[float, float], reach: float, rng: Random) -> tuple[float, float]:
    return offset(centre, reach * math.sqrt(rng.random()), rng.uniform(0, 2 * math.pi))


def villages(commune: Commune, district: District, rng: Random) -> Iterator[Village]:
    """Endless hamlets of that commune with one cluster each, none named twice."""
    language, word = district.language, district.word
    share = 0.12 if commune.type == "ward" else 0.25 if commune.urban else rng.choice((0.35, 0.5, 0.65, 0.8))
    names: set[str] = set()
    number = 0
    while True:
        if rng.random() >= share:
            number += 1
            yield Village(str(number), "tổ dân phố" if commune.urban else "thôn", 1, ("vi",))
            continue
        name = f"{rng.choice(FIRST[language])} {rng.choice(LAST[language])}"
        if name not in names:
            names.add(name)
            yield Village(name, word, 1, (language, "vi") if rng.random() < 0.7 else ("vi", language))


def grouped(source: Iterator[Village], clusters: int, rng: Random) -> list[Village]:
    """Hamlets for that many clusters: most have one, some large ones two, now and then one has none yet."""
    found: list[Village] = []
    left = clusters
    while left:
        count = 2 if left > 1 and rng.random() < 0.12 else 1
        base = next(source)
        found.append(Village(base.name, base.word, count, base.languages))
        left -= count
    if rng.random() < 0.2:
        base = next(source)
        found.append(Village(base.name, base.word, 0, base.languages))
    return sorted(found, key=lambda v: (0, int(v.name), "") if v.name.isdigit() else (1, 0, v.name))


def ip_villages(commune: Commune, district: District, known: Known | None, rng: Random) -> list[Village]:
    """The hamlets of a commune with an IP station: the first is where its office stands."""
    clusters = known.clusters if known else rng.choice((14, 14, 14, 15, 15, 15, 15, 16, 16, 17, 18))
    named = known.villages if known else ()
    rest = grouped(villages(commune, district, rng), clusters - sum(v.clusters for v in named), rng)
    if known and known.languages:
        rest = [Village(v.name, v.word, v.clusters, known.languages) for v in rest]
    return [rest[0], *named, *rest[1:]]


def places(
    facts: Facts, commune: Commune, clustered: bool, board: bool, numbers: Numbers, rng: Random
) -> tuple[Place, ...]:
    """The hamlets of a commune: all with an IP station, else only the one where its board stands."""
    district = facts.districts[commune.district]
    if clustered:
        found = ip_villages(commune, district, facts.wishes.ip.get(commune.code), rng)
    elif board:
        base = next(villages(commune, district, rng))
        found = [Village(base.name, base.word, 0, base.languages)]
    else:
        return ()
    moved = {home: (to, people) for home, to, people in facts.merges.moved}.get(commune.code)
    centre = commune_centre(facts, commune)
    made = [place(commune, i, v, centre, numbers, rng) for i, v in enumerate(found, start=1)]
    if moved is not None:
        made[-1] = leaving(made[-1], *moved)
    return tuple(made)


def leaving(home: Place, to: str, people: int) -> Place:
    return Place(
        home.id, home.name, home.word, home.languages, people, home.contact, home.centre, home.clusters, moves_to=to
    )


def place(
    commune: Commune, index: int, village: Village, centre: tuple[float, float], numbers: Numbers, rng: Random
) -> Place:
    lead = village.word[0].upper() + village.word[1:]
    own = next((tag for tag in village.languages if tag != "vi"), "vi")
    return Place(
        id=f"{commune.code}-H{index:02d}",
        name=f"{lead} {village.name}",
        word=village.word,
        languages=village.languages,
        population=rng.randint(320, 1500) * max(1, village.clusters),
        contact=(person(own, rng), numbers.phone()),
        centre=near(centre, 0.004 if index == 1 else 0.018, rng),
        clusters=village.clusters,
    )
