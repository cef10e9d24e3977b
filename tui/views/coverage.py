"""Planned, reached and printed, side by side; nothing smoothed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from inventory.coverage import Coverage, DistrictRow, IndicatorCoverage, Share
from nms.i18n import N_, decimal, number

Translate = Callable[[str], str]


def percent(share: Share) -> str:
    return "" if share.percent is None else f"{decimal(float(share.percent))}%"


def lines(coverage: Coverage, translate: Translate, *, districts: bool) -> Iterator[str]:
    """A line for each indicator (and district), with the printed figure and why it differs where it does."""
    heading = translate(N_("Indicators of {year} as of {day} ({document})"))
    yield heading.format(year=coverage.year, day=coverage.as_of.strftime("%d/%m/%Y"), document=coverage.document)
    for indicator in coverage.indicators:
        yield from _indicator(indicator, translate)
        if districts:
            yield from (f"      {_district(row, translate)}" for row in indicator.districts)
    for note in coverage.notes:
        yield note.text(translate)
    hamlets = coverage.hamlets
    if hamlets.known:
        message = translate(N_("Hamlets on record: {known}; with a cluster in service: {built}"))
        yield message.format(known=number(hamlets.known), built=number(hamlets.built))


def _indicator(row: IndicatorCoverage, translate: Translate) -> Iterator[str]:
    yield f"  {row.name}"
    figure = f"{number(row.share.numerator)}/{number(row.share.denominator)} = {percent(row.share)}"
    if row.share.boards is not None:
        figure += " " + translate(N_("({boards} boards)")).format(boards=row.share.boards)
    if row.printed is None or row.printed.value is None:
        yield f"    {figure}; " + translate(N_("no figure in the document (a blank cell), which is not 0"))
        return
    printed = number(row.printed.value) + (f" ({row.printed.percent})" if row.printed.percent else "")
    agrees = translate(N_("agrees")) if row.agrees else translate(N_("differs"))
    yield f"    {figure}; " + translate(N_("printed: {printed}: {agrees}")).format(printed=printed, agrees=agrees)
    for note in row.notes:
        yield f"      · {note.text(translate)}"


def _district(row: DistrictRow, translate: Translate) -> str:
    printed = translate(N_("blank")) if row.printed is None else number(row.printed)
    return f"{row.name}: {row.share.numerator}/{row.share.denominator} · {printed}"


def document(coverage: Coverage, translate: Translate) -> Mapping[str, Any]:
    return {
        "year": coverage.year,
        "document": coverage.document,
        "as_of": coverage.as_of.isoformat(),
        "units_on": coverage.units_on.isoformat(),
        "indicators": [_indicator_json(row, translate) for row in coverage.indicators],
        "hamlets": {"known": coverage.hamlets.known, "built": coverage.hamlets.built},
        "notes": [note.text(translate) for note in coverage.notes],
    }


def _indicator_json(row: IndicatorCoverage, translate: Translate) -> Mapping[str, Any]:
    exact = row.share.percent
    return {
        "indicator": row.indicator,
        "name": row.name,
        "numerator": row.share.numerator,
        "denominator": row.share.denominator,
        "boards": row.share.boards,
        "percent": None if exact is None else round(float(exact), 2),
        "printed": row.printed and {"value": row.printed.value, "percent": row.printed.percent},
        "agrees": row.agrees,
        "notes": [note.text(translate) for note in row.notes],
        "districts": [
            {
                "district": d.district,
                "numerator": d.share.numerator,
                "denominator": d.share.denominator,
                "printed": d.printed,
            }
            for d in row.districts
        ],
    }
