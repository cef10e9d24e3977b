"""The sample province and larger ones like it, from the facts and a seed: the same bytes on every run.

``python -m tests.sim.province sample --out inventory/gia-lai`` writes the sample; ``… fleet --devices N --out DIR`` a
province of that many devices for measuring.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from random import Random

from tests.sim import province_fleet, province_root
from tests.sim.province_devices import Site, large_board, site
from tests.sim.province_facts import Commune, District, Facts, load
from tests.sim.province_places import Numbers, Place, places
from tests.sim.province_rollout import Rollout, large_boards, rollout
from tests.sim.province_text import Value, blocks, lines, scalar, slug

HEADER = """\
# Generated from a seed by: python -m tests.sim.province sample --out inventory/gia-lai
# Units, codes and the plan's counts are facts; hamlets, devices, telephone numbers, SIMs and persons are invented.
"""


def sample(facts: Facts) -> Iterator[tuple[str, str]]:
    """Every file of the sample: its path in the inventory folder and its text."""
    plan, numbers = rollout(facts), Numbers()
    homes: dict[str, tuple[Place, ...]] = {}
    for commune in facts.communes:
        rng = Random(f"commune/{commune.code}")
        own = plan[commune.code]
        homes[commune.code] = places(facts, commune, own.ip, own.board_since is not None, numbers, rng)
        built = site(commune, own, homes[commune.code], numbers, rng)
        text = station_file(facts, commune, own, homes[commune.code], built)
        yield f"stations/{commune.code}-{slug(commune.name)}.yaml", HEADER + text
    for code, dates in large_boards(facts).items():
        district = facts.districts[code]
        yield f"districts/{code}-{slug(district.name)}.yaml", HEADER + district_file(district, dates, numbers)
    for name, text in province_root.files(facts, homes):
        yield name, HEADER + text


def station_file(facts: Facts, commune: Commune, own: Rollout, homes: Sequence[Place], built: Site) -> str:
    return (
        f"# {commune.name}, {facts.districts[commune.district].name}\n"
        f"unit: {scalar(commune.code)}\n"
        + station(commune, own)
        + lines("hamlets", (hamlet(facts, commune, home) for home in homes))
        + blocks("loudspeakers", built.loudspeakers)
        + blocks("modems", built.modems)
        + blocks("boards", built.boards)
    )


def station(commune: Commune, own: Rollout) -> str:
    """Planned stations have neither condition nor survey."""
    rows: list[dict[str, Value]] = []
    if own.old is not None and own.old_since is not None:
        rows.append({"technology": own.old, "from": own.old_since})
    rows.append({"technology": "ip", "from": own.ip_since})
    text = "station:\n" + lines("technologies", rows, indent=2)
    if own.old is None and not own.ip:
        return text
    rng = Random(f"survey/{commune.code}")
    choices = ("good", "good", "good", "degraded") if own.ip else ("good", "degraded", "degraded", "broken")
    return text + f"  condition: {rng.choice(choices)}\n  surveyed: {survey(own, rng)}\n"


def survey(own: Rollout, rng: Random) -> date:
    """In spring 2024, or within a week after a later conversion; never after the sample's date."""
    spring = date(2024, 4, 1) + timedelta(days=rng.randint(0, 50))
    return max(spring, min(own.ip_since + timedelta(days=7), date(2024, 9, 30))) if own.ip else spring


def hamlet(facts: Facts, commune: Commune, home: Place) -> dict[str, Value]:
    row: dict[str, Value] = {
        "id": home.id,
        "name": home.name,
        "word": home.word,
        "languages": list(home.languages),
        "population": home.population,
        "contact": {"name": home.contact[0], "phone": home.contact[1]},
    }
    if home.moves_to:
        when = facts.merges.on
        row["memberships"] = [{"unit": commune.code, "to": when}, {"unit": home.moves_to, "from": when}]
    return row


def district_file(district: District, dates: Sequence[date], numbers: Numbers) -> str:
    rng = Random(f"district/{district.code}")
    boards = [large_board(district, i, since, numbers, rng) for i, since in enumerate(dates, start=1)]
    return f"# {district.name}\nunit: {scalar(district.code)}\n{blocks('boards', boards)}"


def write(out: Path, files: Iterator[tuple[str, str]]) -> int:
    """Writes the files below ``out``; returns their number."""
    count = 0
    for name, text in files:
        count += 1
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    return count


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.province", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("sample", "fleet"):
        command = commands.add_parser(name)
        command.add_argument("--out", type=Path, required=True)
    commands.choices["fleet"].add_argument("--devices", type=int, required=True)
    given = parser.parse_args(arguments)
    facts = load()
    if given.command == "fleet" and not 0 < given.devices <= province_fleet.most():
        parser.error(f"--devices: from 1 to {province_fleet.most()}")
    files = sample(facts) if given.command == "sample" else province_fleet.fleet(facts, given.devices)
    print(f"{write(given.out, files)} files in {given.out}")


if __name__ == "__main__":
    main()
