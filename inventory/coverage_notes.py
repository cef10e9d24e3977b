"""Why a printed figure and a recomputed one differ, in sentences whose every number is computed.

Messages are English message ids with named fields, as in ``diagnostics``. Percentages are written as Vietnamese
documents print them (``92,3%``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Note:
    """One thing a planner is shown: a stable ``code``, a ``message`` for ``str.format_map(fields)``."""

    code: str
    message: str
    fields: Mapping[str, str] = field(default_factory=dict)

    def text(self, translate: Callable[[str], str] = str) -> str:
        return translate(self.message).format_map(self.fields)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A recomputed share (``boards``: the boards behind it, if boards are counted) beside what the document prints."""

    numerator: int
    denominator: int
    boards: int | None
    value: int
    percent: str | None
    printed_denominator: int | None


def percent_text(percent: Fraction | None, decimals: int = 1) -> str:
    """Rounded half up, as printed in Vietnam: ``92,3%``; a dash where there is nothing to divide by."""
    if percent is None:
        return "–"
    exact = Decimal(percent.numerator) / Decimal(percent.denominator)
    return f"{exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)}%".replace(".", ",")


def decimals_of(printed: str) -> int | None:
    """How many decimals a printed percentage has; None if it is not a percentage."""
    number = printed.strip().removesuffix("%").strip().replace(",", ".")
    try:
        exponent = Decimal(number).as_tuple().exponent
    except InvalidOperation:
        return None
    return max(0, -exponent) if isinstance(exponent, int) else None


def rounds_to(percent: Fraction | None, printed: str) -> bool:
    """Whether the share, rounded to the printed number of decimals, is what is printed."""
    decimals = decimals_of(printed)
    if percent is None or decimals is None:
        return False
    return percent_text(percent, decimals) == printed.replace(" ", "").replace(".", ",")


def ratio(numerator: int, denominator: int) -> Fraction | None:
    return Fraction(100 * numerator, denominator) if denominator else None


def differences(c: Comparison) -> Iterator[Note]:
    """Everything about one printed cell that does not come out; nothing where all of it does."""
    if c.percent is not None and percent_counts_boards(c, c.percent):
        yield percent_of_boards(c, c.percent)
        return
    if c.value != c.numerator:
        yield counts_boards(c) if c.value == c.boards else value_differs(c)
    if c.percent is None:
        return
    if not rounds_to(ratio(c.numerator, c.denominator), c.percent):
        yield percent_differs(c, c.percent)
    elif c.printed_denominator not in (None, c.denominator):
        yield other_denominator(c, c.percent)


def percent_counts_boards(c: Comparison, percent: str) -> bool:
    """Whether number and percentage are both of boards where the share is of units."""
    if c.value != c.boards or c.boards == c.numerator or c.boards is None:
        return False
    return rounds_to(ratio(c.boards, c.denominator), percent)


def percent_of_boards(c: Comparison, percent: str) -> Note:
    return Note(
        "percent_of_boards",
        "The printed {percent} is {boards} boards over {denominator} units; "
        "{numerator} of {denominator} units have one, {share}.",
        {**share_fields(c), "percent": percent, "boards": str(c.boards)},
    )


def counts_boards(c: Comparison) -> Note:
    return Note(
        "counts_boards",
        "The printed {value} counts boards: {numerator} of {denominator} units have at least one, {share}.",
        {**share_fields(c), "value": str(c.value)},
    )


def value_differs(c: Comparison) -> Note:
    return Note(
        "value_differs",
        "The document prints {value}, the inventory gives {numerator} of {denominator}, {share}.",
        {**share_fields(c), "value": str(c.value)},
    )


def other_denominator(c: Comparison, percent: str) -> Note:
    """The percentage comes out over our denominator, but the document names another."""
    return Note(
        "other_denominator",
        "The document names {named} units, over which {numerator} is {over_named}; "
        "the printed {percent} is {numerator} over {denominator}.",
        {
            **share_fields(c),
            "percent": percent,
            "named": str(c.printed_denominator),
            "over_named": percent_text(ratio(c.numerator, c.printed_denominator or 0)),
        },
    )


def percent_differs(c: Comparison, percent: str) -> Note:
    """Finds the division that gives the printed percentage, or says that no whole number does."""
    fields = {**share_fields(c), "percent": percent}
    fitting = denominators(c.numerator, percent)
    if not fitting:
        return Note(
            "percent_differs",
            "{numerator} of {denominator} is {share}, not {percent}; no denominator gives the printed percentage.",
            fields,
        )
    return Note(
        "percent_needs_denominator",
        "{numerator} of {denominator} is {share}, not {percent}, which takes a denominator of {fitting}.",
        {**fields, "fitting": span(fitting)},
    )


def denominators(numerator: int, percent: str) -> list[int]:
    """Every denominator over which the numerator rounds to the printed percentage."""
    decimals = decimals_of(percent)
    if decimals is None:
        return []
    value = Fraction(percent.replace(" ", "").removesuffix("%").replace(",", "."))
    least = value - Fraction(1, 2 * 10**decimals)
    if least <= 0:
        return []
    return [d for d in range(1, int(100 * numerator / least) + 1) if rounds_to(ratio(numerator, d), percent)]


def share_fields(c: Comparison) -> dict[str, str]:
    return {
        "numerator": str(c.numerator),
        "denominator": str(c.denominator),
        "share": percent_text(ratio(c.numerator, c.denominator)),
    }


def span(numbers: list[int]) -> str:
    """``171-172``: the fitting denominators of one numerator are always in a row."""
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"


def no_targets(year: int) -> Note:
    return Note("no_targets", "There are no targets for {year}.", {"year": str(year)})


def includes_planned(today: date, until: date) -> Note:
    return Note(
        "includes_planned",
        "Counts what is planned after {today}, up to {until}, as if it were built.",
        {"today": f"{today:%d/%m/%Y}", "until": f"{until:%d/%m/%Y}"},
    )


def unknown_indicator(indicator: str) -> Note:
    return Note(
        "unknown_indicator",
        "The indicator {indicator} cannot be computed from the inventory.",
        {"indicator": indicator},
    )


def on_plan_units(day: date, numerator: int, denominator: int) -> Note:
    return Note(
        "on_plan_units",
        "On the plan's own units of {day} it is {numerator} of {denominator}, {share}.",
        {
            "day": f"{day:%d/%m/%Y}",
            "numerator": str(numerator),
            "denominator": str(denominator),
            "share": percent_text(ratio(numerator, denominator)),
        },
    )


def merged(counts: str, unit: str, parts: tuple[str, ...]) -> Note:
    """A merged unit and the former ones that each had what is counted (``coverage.Counts``)."""
    fields = {"unit": unit, "parts": ", ".join(parts)}
    if counts == "station":
        return Note("merged", "{unit} counts once: {parts} each had a station, a merged commune keeps one.", fields)
    if counts == "converted":
        return Note(
            "merged", "{unit} counts once: the stations of {parts} were all IP, a merged commune keeps one.", fields
        )
    if counts == "board":
        return Note("merged", "{unit} counts once: {parts} each had a board.", fields)
    return Note("merged", "{unit} counts once: {parts} each had a large board.", fields)


FEW = 5
"""Mergers that are named one by one; a reform of the whole province is one sentence."""


def mergers(counts: str, units: Mapping[str, tuple[str, ...]]) -> Iterator[Note]:
    """``units`` maps a unit to the former units that each had what is counted."""
    if len(units) > FEW:
        former = sum(len(parts) for parts in units.values())
        fields = {"units": str(len(units)), "parts": str(former)}
        yield Note("merged_many", "{units} units count once each for {parts} former ones.", fields)
        return
    for unit, parts in units.items():
        yield merged(counts, unit, parts)


def partly_converted(unit: str, parts: tuple[str, ...]) -> Note:
    return Note(
        "partly_converted",
        "{unit} is not counted as converted: of its stations, that of {parts} is still wired or FM.",
        {"unit": unit, "parts": ", ".join(parts)},
    )
