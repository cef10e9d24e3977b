"""Every mistake with sound, keys or a new province that the hub reports: its sentence and its mending.

``docs/errors.md`` has a section for each code.
"""

from __future__ import annotations

from collections.abc import Mapping

from inventory.diagnostics import Diagnostic, Place

CODES: Mapping[str, tuple[str, str]] = {
    "AUD001": ("{file} cannot be read: {reason}", "name an ordinary file that this user may read"),
    "AUD002": ("{file} is not sound, or too damaged to tell", "export it as WAV, FLAC, MP3, M4A or Ogg"),
    "AUD003": ("{file} is damaged: {detail}", "record or export it again"),
    "AUD004": ("{file} is too short: {seconds} s", "at least {least} s of sound"),
    "AUD005": ("{file} is too long: {seconds} s", "at most {most} s; divide it"),
    "AUD006": ("{file} is silent", "check the microphone and the cable; two channels in opposition cancel out"),
    "AUD007": (
        "{file} does not come out at {target} LUFS: {lufs} LUFS, peak {peak} dBTP",
        "even out its loudness (a few loud knocks in quiet speech), then import it again",
    ),
    "AUD008": ("{tool} did not finish its work: {detail}", "check that {tool} is installed and runs"),
    "AUD009": ("the sound library {file} cannot be written: {reason}", "check its rights and the room on the disk"),
    "AUD010": ("the text is empty", "write what is to be said"),
    "AUD011": ("an invisible control character ({character}) at position {position}", "type the text anew there"),
    "AUD012": ("the text has {count} characters, more than {most}", "divide it into several bulletins"),
    "AUD013": ("nothing in the text can be spoken", "write it in Latin letters or digits"),
    "AUD014": ("addresses are not spoken: {names}", "say in words where more can be read, or name a telephone number"),
    "AUD015": ("spelled letter by letter: {names}", "write abbreviations out where listeners should hear words"),
    "AUD016": ("left out, because there is no word for it: {names}", "write in words what it means"),
    "AUD017": ("no such date or time, read as mere numbers: {names}", "check the day, the month and the hour"),
    "AUD018": ("the voice file {file} is not there", "name the voice's .onnx file, with its .onnx.json beside it"),
    "AUD019": (
        "{file} is clipped: {percent} % of it is cut off at full scale",
        "record it again with less gain; making the file quieter does not bring back what was cut off",
    ),
    "AUD020": (
        "no sound from {input}: {reason}",
        "see the cards that there are with: arecord -L; a pipe needs sound that ffmpeg reads",
    ),
    "AUD021": (
        "over SSH a microphone would be this machine's, not the speaker's",
        "speak at this machine itself, or hand in a recording: loa push --audio",
    ),
    "ENV020": ("{file} already exists", "nothing is overwritten: name another place, or move it away"),
    "ENV021": (
        "there is no key at {file} that this user may read",
        "make keys with 'loa init', or name the folder that holds them",
    ),
    "ENV022": ("{file} is open to others (mode {mode})", "chmod {wanted} {file}"),
    "ENV023": ("{file} is not an Ed25519 private key, or the passphrase is wrong", "check file and passphrase"),
    "ENV024": ("the passphrase has {count} characters", "at least {least}: it guards the root of all trust"),
    "ENV025": ("keys at {file} would end in Git", "name a folder outside the inventory and every Git work tree"),
    "ENV026": ("{file} cannot be written: {reason}", "check the folder's rights and the room on the disk"),
    "ENV030": ("'{code}' is not a province's code", "two digits, as in the official list: 52"),
    "ENV031": ("'{name}' is not a province's name", "one line of letters: Gia Lai"),
}


def fault(code: str, place: str, /, **fields: object) -> Diagnostic:
    """The diagnostic of that code; ``place`` is the input file or ``text``."""
    message, fix = CODES[code]
    return Diagnostic(code, Place(place), message, fix, {key: str(value) for key, value in fields.items()})
