"""Every mistake with bulletins that the hub reports: its sentence and its mending.

``docs/errors.md`` has a section for each code.
"""

from __future__ import annotations

from collections.abc import Mapping

from inventory.diagnostics import Diagnostic, Place, Severity

CODES: Mapping[str, tuple[str, str]] = {
    "BUL001": ("{person} may not write {cls} bulletins for {unit}", "an editor of {unit} writes it"),
    "BUL002": ("{unit} does not exist on {date}", "choose a unit that is valid on that date"),
    "BUL003": ("{unit} is not of tier {tier}", "choose the tier of the origin unit"),
    "BUL004": ("{target} lies outside {unit}", "choose an audience inside {unit}"),
    "BUL005": ("no loudspeaker in use is addressed by '{audience}'", "choose an audience with loudspeakers"),
    "BUL006": ("the bulletin has no title", "give it a title"),
    "BUL007": ("validity from {start} until {end} leaves no time", "choose a later end of validity"),
    "BUL008": ("{field} is {value}, allowed are {least} to {most}", "choose a value between {least} and {most}"),
    "BUL009": (
        "{size} bytes are too much for an emergency: it must reach devices in one message of {most}",
        "shorten the message",
    ),
    "BUL010": ("the bulletin takes {size} bytes, more than {most}", "choose units or a group, shorten the text"),
    "BUL011": ("a bulletin has either a text, a recording or a live microphone", "give one of the three"),
    "BUL012": ("'{audience}' depends on the state of devices", "name units, groups or devices"),
    "BUL013": (
        "a {cls} bulletin names what it rests on (căn cứ)",
        "give the document's number and date, or by whose order",
    ),
    "BUL014": (
        "quiet hours in {unit} until {until}: only an emergency plays now",
        "hand it in for the next session, or play it from {until} on",
    ),
    "BUL015": ("{person} belongs to {unit}: nobody enters it on that unit's behalf", "hand it in as {unit}'s own"),
    "BUL016": ("once in each session goes neither with 'play now' nor with a gap", "choose one of them"),
    "BUL017": (
        "{field} is no line of text: {what}",
        "write it in one line of at most {most} characters, typed, not pasted from elsewhere",
    ),
    "BUL020": ("there is no bulletin {bulletin}", "check the number in the list of bulletins"),
    "BUL021": ("nobody approves a bulletin of their own", "wait for a leader of {unit}"),
    "BUL022": ("{person} may not approve for {unit}", "an approver of {unit} decides"),
    "BUL023": ("the bulletin is {state}; that is not possible any more", "look at its present state"),
    "BUL024": ("the signature is refused ({reason}): {detail}", "sign with the current key of {unit}"),
    "BUL025": ("what was signed is not what was submitted", "fetch the bulletin again, read it, sign it"),
    "BUL026": ("key {key} may not sign {cls} bulletins for this audience", "sign with a key of {unit} for {cls}"),
    "BUL027": ("the inventory has no trusted keys", "make them with 'loa keys'"),
    "BUL030": (
        "no room within validity in {count} communes: {units}",
        "extend the validity, or play it outside the sessions",
    ),
    "BUL031": ("{person} may not stop bulletins in {target}", "an operator or approver of that area stops it"),
    "BUL032": ("a stop of {origin}'s bulletin needs a reason", "say why; {origin} sees it at once"),
    "BUL033": ("there is nothing in force to end", "look at the bulletin's present state"),
    "BUL034": ("the stop would be over at {until}, before it began", "choose a later end"),
    "BUL035": ("silencing, letting speak again and resuming need a reason", "say why; it goes on record"),
    "BUL036": (
        "the stop for {place} by {issuer} goes beyond that selection or that person",
        "an operator or approver of {issuer} ends it, for all that it stops",
    ),
    "BUL037": ("{device} is not silenced", "see what is silenced with: loa alarms"),
    "BUL050": (
        "the relay '{name}' of {unit} is not signed: nothing of it is aired",
        "hand it in with 'loa grid sign {code}', then a leader approves it",
    ),
    "BUL051": ("the grid has no relay of {unit}'s own", "a relay is signed where grid.yaml declares it"),
    "BUL040": ("{person} may not have {device} tried out", "a technician or operator of that area asks for it"),
    "BUL041": ("{device} is no loudspeaker in use", "see: loa show"),
    "BUL042": ("the hub has no connection to the broker", "wait until loa status shows it, then ask again"),
    "BUL060": ("'{script}' has empty blanks: {blanks}", "fill them: --set {blank}=…"),
    "BUL061": ("'{script}' has no such blanks: {blanks}", "its blanks are: {known}"),
    "BUL062": ("no script is called '{script}'", "scripts in scripts.yaml: {known}"),
    "BUL063": ("'{area}' is not the name of one unit", "name one commune, one district or the province: {found}"),
    "BUL064": ("'{typed}' is not what has to be typed", "type: {word}"),
    "BUL065": (
        "an emergency for more than one commune, or in free words, asks a second person",
        "an approver of {unit} approves it, or after {seconds} s: loa approve --break-glass REASON",
    ),
    "BUL066": ("a second person has had {passed} s", "without one after {seconds} s; meanwhile call an approver"),
    "BUL067": (
        "no drill sounds in the quiet hours, {start} to {end} in {unit}",
        "hold it by day; an emergency would be heard",
    ),
    "BUL068": (
        "{count} emergencies for {unit} in the last {minutes} minutes already",
        "look whether this one is another; it is not refused",
    ),
    "BUL069": ("there are no words to be said", "give them with --text, or put them into the script"),
    "BUL070": (
        "the sound of '{title}' is not in the sound library: nobody would hear it",
        "withdraw it and make it again: its sound is then brought in again",
    ),
    "BUL080": (
        "among priority bulletins the commune decides the order: {person} does not belong to {unit}",
        "an editor, operator or approver of {unit} decides",
    ),
    "BUL081": (
        "a higher tier's normal bulletin airs where the commune picks it: {person} does not belong to {unit}",
        "an editor, operator or approver of {unit} picks it",
    ),
    "BUL082": ("{unit} has no priority start of '{title}' still to begin", "see what is to come: loa bulletin"),
    "BUL083": ("in that order there is no room for '{title}' in {unit}", "extend its validity, or leave the order"),
    "BUL084": ("'{title}' is not on offer to {unit}", "see what is: loa offers"),
    "BUL085": ("an emergency or drill in force is not edited", "withdraw it, or give the all-clear"),
    "BUL086": ("version {version} of it waits already: {bulletin}", "edit that one, or have it decided"),
    "BUL087": (
        "{person} may not record an approval on paper for {unit}",
        "somebody else than the author records it: an editor, operator or approver of that area",
    ),
    "BUL088": (
        "an approval on paper has a number, a signer and the time of signing, not later than now",
        "give --paper, --signer and --at as they stand on the paper",
    ),
    "BUL089": ("the edit changes nothing", "say what is to be different"),
    "BUL090": (
        "'{title}' comes from the grid, a script or another bulletin, and is not edited",
        "withdraw it, and make another: from the grid, with loa emergency, or with loa correct",
    ),
    "BUL091": (
        "a live microphone is no emergency or drill: it interrupts nothing and obeys the quiet hours",
        "hand it in as a priority bulletin with --now, or the emergency with a text or a recording",
    ),
    "BUL092": ("a live microphone is open once", "hand in another one for the next time"),
    "BUL093": (
        "{person} may not speak for {unit}",
        "its author speaks, or an editor, operator or approver of {unit}",
    ),
    "BUL094": ("'{title}' is no live microphone", "hand one in with: loa push --live 10m"),
    "BUL095": (
        "'{title}' is {state}: no microphone of it is open or will be",
        "have it approved, or hand in another: loa push --live",
    ),
    "BUL096": ("{person} is at the microphone of '{title}'", "one speaks at a time: wait until that one has ended"),
    "BUL097": ("a live microphone has no sound before somebody speaks", "use --preview without --sound"),
    "BUL098": (
        "'{title}' was sent by {person} at {at} already, and is heard once",
        "nothing is left to do; withdraw that one first if its words are wrong",
    ),
    "BUL099": (
        "{person} wrote an earlier version of it, and nobody approves their own words",
        "wait for a leader of {unit} who wrote none of its versions",
    ),
    "BUL100": (
        "this stop silences '{title}' of {origin}, too, and needs a reason",
        "say why; {origin} sees it at once",
    ),
    "BUL101": (
        "blank '{blank}' of '{script}' takes one line of at most {most} characters and no end of a sentence: {what}",
        "say it shorter, abbreviations without a point; free words ask a second person: loa push --class emergency",
    ),
}


def refuse(code: str, /, *, severity: Severity = Severity.ERROR, **fields: object) -> Diagnostic:
    """The diagnostic of that code."""
    message, fix = CODES[code]
    return Diagnostic(code, Place("bulletin"), message, fix, {k: str(v) for k, v in fields.items()}, severity)
