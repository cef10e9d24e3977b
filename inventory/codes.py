"""Every code the inventory can report, with its sentence and its mending; ``docs/errors.md`` has a section for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from inventory.diagnostics import Diagnostic, Place, Severity

CODES: Mapping[str, tuple[str, str]] = {
    "INV001": ("unknown key '{key}'", "known keys: {known}"),
    "INV002": ("'{key}' is missing in {what}", "add '{key}: …', {form}"),
    "INV003": ("expected {expected}, found {found}", "write {expected} here"),
    "INV004": ("'{value}' is not {form}", "write {form}"),
    "INV005": ("'{value}' is not allowed here", "one of: {known}"),
    "INV006": ("{value} is out of range", "write a number from {low} to {high}"),
    "INV007": ("'{key}' is given twice", "keep one of them"),
    "INV010": ("no inventory at {folder}", "name the folder that holds network.yaml, or make one with 'loa init'"),
    "INV011": ("{file} is missing", "every inventory has this file"),
    "INV012": ("cannot be read: {reason}", "make it an ordinary file that this user may read"),
    "INV013": ("the file has {size} bytes, more than {limit}", "one file per commune; split it"),
    "INV014": ("not UTF-8 text: byte 0x{byte} at offset {offset}", "save the file as UTF-8 text"),
    "INV015": ("not YAML: {problem}", "mend the line, or the one before it"),
    "INV016": ("a tab where YAML wants blanks", "replace the tab by blanks"),
    "INV017": ("YAML {what} are not read here", "write the value itself"),
    "INV018": ("nested more than {limit} levels deep", "no inventory file needs so many levels"),
    "INV019": ("{file} is not a file of the inventory", "remove it, or give it one of the known names: {known}"),
    "INV020": ("the text is not in composed form (NFC); it was read as if it were", "save the file as NFC"),
    "INV021": ("secrets in plain text", "encrypt the file: ansible-vault encrypt {file}"),
    "INV022": ("the file is empty", "write at least: {required}"),
    "INV101": ("{kind} '{id}' is declared twice", "every id is given once; the first one is at {first}"),
    "INV102": ("unknown unit '{id}'", "declare it in units.yaml"),
    "INV103": ("unknown hamlet '{id}'", "declare it under 'hamlets' of its commune"),
    "INV104": ("unknown uplink '{id}'", "declare the modem under 'modems'"),
    "INV105": ("the uplink '{id}' is a {kind}, not a modem", "name a modem, or give the device its own sim"),
    "INV106": ("the uplink '{id}' stands in another site ({other})", "name a modem of unit {unit}"),
    "INV107": ("unknown {kind} '{id}' in group '{group}'", "remove it, or declare it in its commune's file"),
    "INV108": ("unknown profile '{id}'", "known profiles: {known}"),
    "INV109": ("the area of '{person}' is the unknown unit '{id}'", "name a unit of units.yaml"),
    "INV110": ("key {kid} speaks for the unknown unit '{id}'", "name a unit of units.yaml"),
    "INV111": ("the row of the unknown district '{id}'", "name a district of units.yaml"),
    "INV112": ("planned work on the unknown device '{id}'", "declare the device, or remove the entry"),
    "INV113": ("there is no {kind} called '{id}'", "known: {known}"),
    "INV201": ("code {code} also belongs to '{other}' at that time", "end one before the other begins"),
    "INV202": ("the parent '{parent}' is not valid during all of {period}", "name the parent of that period"),
    "INV203": ("'{id}' is above itself: {cycle}", "a unit's parent is of a higher tier"),
    "INV204": ("'{id}' is its own predecessor: {cycle}", "predecessors ended before or when the unit began"),
    "INV205": (
        "the end, {end}, is not after the start, {start}",
        "the end is the first day that no longer counts",
    ),
    "INV206": ("'{id}' is a {tier}, not a {expected}", "name a {expected}"),
    "INV207": (
        "'{id}' belongs to '{unit}', which was divided among {heirs}",
        "say where it went: memberships: [{{unit: {unit}, to: {end}}}, {{unit: …, from: {end}}}]",
    ),
    "INV208": ("memberships overlap on {day}", "a hamlet belongs to one unit at a time"),
    "INV301": ("'{id}' has neither a SIM nor an uplink", "add 'sim: …' or 'uplink: …'"),
    "INV302": ("'{id}' has both a SIM and an uplink", "keep the way it really takes"),
    "INV303": ("volume {value} is out of range", "write percent, {low} to {high}"),
    "INV304": ("{value} lies outside Vietnam", "latitude 8 to 24, longitude 102 to 110, decimal degrees"),
    "INV305": ("'{id}' would have the address of '{other}', {address}", "number one of them anew"),
    "INV306": ("'{id}' has no address in the overlay", "code up to 32767, number 01 to 127, no extra zeros"),
    "INV307": ("'{unit}' has two files", "one file per unit; the first one is {first}"),
    "INV308": (
        "in service from {day}, but '{place}' exists only from {start}",
        "correct the date, or name the predecessors of the unit",
    ),
    "INV309": ("out of service on {end}, not after {start}", "out_of_service is the first day without it"),
    "INV310": ("the timer of '{id}' starts and ends at {at}", "write when it goes off and when it is on again"),
    "INV311": ("the limits of '{metric}' leave nothing between {low} and {high}", "min is not above max"),
    "INV312": ("the work ends at {end}, not after {start}", "'until' is when everything is to be on again"),
    "INV313": ("planned work names a unit or a device, one of them", "write 'unit: …' or 'device: …'"),
    "INV314": ("'{value}' is no ALSA device", "write {form}"),
    "INV315": ("'{id}' is a {profile}, which plays on a card of its own", "remove 'sound', or correct 'profile'"),
    "INV401": ("quiet hours from {start} to {end} are empty", "start and end differ; they may cross midnight"),
    "INV402": ("'{name}' overlaps '{other}'", "sessions of one unit follow each other, and so do its relays and slots"),
    "INV403": (
        "'{name}' runs into the quiet hours {window} of '{unit}'",
        "move it, or give it dates and enter the exception that a leader has signed for them",
    ),
    "INV404": ("'{user}' is already the account of '{other}'", "one account per person"),
    "INV405": ("not the base64 of an Ed25519 public key (32 bytes)", "copy the key that 'loa init' printed"),
    "INV406": (
        "the districts of {year} add up to {total}, the document prints {printed}",
        "compare the rows with the document; if it is the document, leave it",
    ),
    "INV407": (
        "{count} SIMs run out within {days} days, the first on {day}: {devices}",
        "renew their plans, then correct 'expires'; see: loa show --sims",
    ),
    "INV408": (
        "{count} SIMs have run out, the first on {day}: {devices}",
        "renew their plans, then correct 'expires'; see: loa show --sims",
    ),
    "INV409": ("a URL of '{id}' carries a name, a password or a token", "use an address that needs no secret"),
    "INV410": ("the window ends at {end}, not after {start}", "'until' is the first moment after it"),
    "INV411": (
        "a silent window names a unit, a hamlet or a group, one of them",
        "write 'unit: …', 'hamlet: …' or 'group: …'",
    ),
    "INV412": (
        "'{person}' is no leader who may sign for '{unit}'",
        "name a person of people.yaml with the role approver in that area",
    ),
    "INV413": (
        "relays and slots take {minutes} minutes on {day}, more than the {limit} allowed a day",
        "shorten them, or raise the limit",
    ),
    "INV501": ("the recording {file} is not in the inventory's folder", "put it there, or correct the name"),
    "INV502": ("'{text}' is no blank", "write blanks as {{place}}: letters, digits and _ in braces"),
    "INV503": ("{wording} has blanks where there can be none: {blanks}", "only a spoken Vietnamese alarm has blanks"),
    "INV504": ("the text in '{language}' has no recording and is not heard", "add it under 'recordings'"),
    "INV505": ("{wording} has no Vietnamese text", "add 'vi: …' under 'text'; who approves it reads it"),
    "INV506": ("a drill's {wording} does not say that it is one", "put 'diễn tập' into its Vietnamese text"),
    "SEL001": ("the quote is not closed", 'close it: commune="Ia Pa"'),
    "SEL002": ("unknown key '{key}'", "known keys: {known}"),
    "SEL003": ("'{key}' has no value", "write {key}=…"),
    "SEL004": ("no {kind} matches '{value}'", "such as: {known}"),
    "SEL005": ("'{value}' matches more than one {kind}: {candidates}", "write the id"),
    "SEL006": ("'{name}' ({id}) ended on {end}; its place is now: {heirs}", "write {fix}"),
    "SEL007": ("'{name}' ({id}) begins only on {start}", "ask for a later date, or for what it was made of"),
    "SEL008": ("no unit lies in all of these", "the terms are combined: each narrows the others"),
}

WARNINGS = frozenset({"INV020", "INV406", "INV504"})


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake: ``path`` leads from the record at ``place`` to the value at fault (empty: ``place`` is exact)."""

    code: str
    place: Place
    path: tuple[str | int, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    related: tuple[Place, ...] = ()

    def diagnostic(self, place: Place, source: str = "") -> Diagnostic:
        message, fix = CODES[self.code]
        if self.fields.get("near"):
            fix = "did you mean '{near}'?"
        return Diagnostic(
            code=self.code,
            place=place,
            message=message,
            fix=fix,
            fields=self.fields,
            severity=Severity.WARNING if self.code in WARNINGS else Severity.ERROR,
            related=self.related,
            source=source,
        )


def shown(value: str, limit: int = 60) -> str:
    """A value fit for a message: one line, printable, not longer than ``limit``."""
    text = value if len(value) <= limit else value[: limit - 1] + "…"
    return "".join(c if c.isprintable() else "�" for c in text)


def some(values: Iterable[str], limit: int = 12) -> str:
    """The first values of a long list, comma-separated."""
    known = list(values)
    return ", ".join(known[:limit]) + (" …" if len(known) > limit else "")


def guess(value: str, known: Iterable[str]) -> str:
    """The known value nearest to a mistyped one, or an empty text."""
    found = get_close_matches(value, known, n=1, cutoff=0.6)
    return found[0] if found else ""
