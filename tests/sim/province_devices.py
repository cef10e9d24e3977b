"""Invented devices of a commune or a district: clusters, the office's router, boards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from tests.sim.province_facts import Commune, District
from tests.sim.province_places import SPOTS, Numbers, Place, near
from tests.sim.province_rollout import AS_OF, Rollout
from tests.sim.province_text import Value

Device = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Site:
    """What one commune's file says below its hamlets."""

    loudspeakers: tuple[Device, ...]
    modems: tuple[Device, ...]
    boards: tuple[Device, ...]


def sim(numbers: Numbers, since: date, rng: Random) -> dict[str, Value]:
    number, iccid = numbers.sim()
    operator = rng.choice(("Viettel", "Viettel", "Viettel", "VinaPhone", "MobiFone"))
    expires = max(AS_OF, since) + timedelta(days=rng.randint(25, 700))
    return {"number": number, "iccid": iccid, "plan": "M2M-2GB", "operator": operator, "expires": expires}


def location(spot: tuple[float, float]) -> dict[str, Value]:
    return {"lat": spot[0], "lon": spot[1]}


def power_area(commune: Commune, hamlet: int, areas: int) -> str:
    """Mains areas follow neighbourhoods: hamlets in a row share one."""
    return f"PC-{commune.code}-{hamlet * areas // 20 + 1 if hamlet < 20 else areas}"


def site(commune: Commune, rollout: Rollout, places: Sequence[Place], numbers: Numbers, rng: Random) -> Site:
    """A router serves the office where there is a board and an IP station, in three communes of four."""
    shared = rollout.ip and rollout.board_since is not None and (rollout.board_since < AS_OF or rng.random() < 0.65)
    modems = tuple(office_modem(commune, rollout, places[0], numbers, rng) for _ in range(shared))
    uplink = f"{commune.code}-M01" if shared else ""
    speakers = tuple(loudspeakers(commune, rollout, places, uplink, numbers, rng)) if rollout.ip else ()
    return Site(speakers, modems, tuple(small_boards(commune, rollout, places, uplink, numbers, rng)))


def office_modem(commune: Commune, rollout: Rollout, office: Place, numbers: Numbers, rng: Random) -> Device:
    since = min(rollout.ip_since, rollout.board_since or rollout.ip_since)
    return {
        "id": f"{commune.code}-M01",
        "name": "Bộ phát 4G trụ sở UBND",
        "hamlet": office.id,
        "location": location(office.centre),
        "profile": rng.choice(("rutos", "rutos", "routeros")),
        "sim": sim(numbers, since, rng),
        "power_area": power_area(commune, 0, 2),
        "in_service": since,
    }


def loudspeakers(
    commune: Commune, rollout: Rollout, places: Sequence[Place], uplink: str, numbers: Numbers, rng: Random
) -> Iterator[Device]:
    """One cluster per count of its hamlet; the first stands at the office and uses its router if it has one."""
    areas = rng.randint(2, 4)
    number = 0
    for index, place in enumerate(places):
        for nth in range(place.clusters):
            number += 1
            office = number == 1
            link: Device = {"uplink": uplink} if office and uplink else {"sim": sim(numbers, rollout.ip_since, rng)}
            yield {
                "id": f"{commune.code}-L{number:02d}",
                "name": "Trụ sở UBND" if office else spot_name(place, nth, rng),
                "hamlet": place.id,
                "location": location(near(place.centre, 0.0025, rng)),
                "profile": "loa-receiver",
                **link,
                "power_area": power_area(commune, index, areas),
                "volume": volume(rng),
                "in_service": commissioned(rollout.ip_since, rng),
            }


def spot_name(place: Place, nth: int, rng: Random) -> str:
    home = place.name[0].lower() + place.name[1:]
    return f"{'Nhà văn hóa' if nth == 0 else rng.choice(SPOTS[1:])} {home}"


def volume(rng: Random) -> dict[str, Value]:
    """Lower by day and early near a school or a health station."""
    day, early = rng.choice(((80, 60), (80, 60), (80, 60), (80, 60), (75, 50), (70, 50)))
    return {"day": day, "early": early, "emergency": 100}


def commissioned(since: date, rng: Random) -> date:
    """Within ten days of the station's first, in the same month."""
    return since.replace(day=min(28, since.day + rng.randint(0, 10)))


def small_boards(
    commune: Commune, rollout: Rollout, places: Sequence[Place], uplink: str, numbers: Numbers, rng: Random
) -> Iterator[Device]:
    if rollout.board_since is None:
        return
    link: Device = {"uplink": uplink} if uplink else {"sim": sim(numbers, rollout.board_since, rng)}
    yield {
        "id": f"{commune.code}-B01",
        "name": "Bảng tin trước trụ sở UBND",
        "hamlet": places[0].id,
        "location": location(near(places[0].centre, 0.0005, rng)),
        "size": "small",
        "resolution": rng.choice(("192x96", "192x96", "256x128")),
        "profile": rng.choice(("loa-board", "loa-board", "ntcip-sign")),
        **link,
        "power_area": power_area(commune, 0, 2),
        "in_service": rollout.board_since,
    }


def large_board(district: District, number: int, since: date, numbers: Numbers, rng: Random) -> Device:
    return {
        "id": f"{district.code}-B{number:02d}",
        "name": f"Màn hình LED {district.plan} {number}",
        "location": location(near(district.centre, 0.008, rng)),
        "size": "large",
        "resolution": rng.choice(("640x384", "768x432")),
        "profile": "loa-board",
        "sim": sim(numbers, since, rng),
        "power_area": f"PC-{district.code}-1",
        "connected": True,
        "in_service": since,
    }
