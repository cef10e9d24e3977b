"""Whatever is written: a clear refusal, or correct speech by the real voice; nothing hangs, no shell is involved."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from audio import speech
from audio.saying import Said
from inventory.diagnostics import Diagnostic

GREETING = "Kính thưa bà con, sáng mai tiêm phòng."

SPOKEN = {
    "markup": ("<b>Bà con</b> họp<br>tại <i>nhà văn hóa</i>", "Bà con họp tại nhà văn hóa"),
    "a script": ("<script>alert(1)</script> Bà con", "alert, một, Bà con"),
    "SSML": ('<speak><break time="9999s"/><audio src="file:///etc/passwd"/>Bà con</speak>', "Bà con"),
    "SSML that is not closed": ('<voice name="en"> Bà con', "Bà con"),
    "a sign of comparison": ("<b bà con", "nhỏ hơn bê bà con"),
    "espeak's phonemes": ("[[h@'loU]] bà con", "hát loU, bà con"),
    "entities": ("bà &amp; con &lt; làng", "bà và con nhỏ hơn làng"),
    "format characters": ("%s %n", "phần trăm ét sì phần trăm en nờ"),
    "substitution": ("$(reboot) bà con `reboot`", "đô la, reboot, bà con reboot"),
    "a command after another": ("bà con; reboot && reboot | reboot > /dev/sda", None),
    "an option": ("--help", "help"),
    "options with values": ("-w /tmp/x -f /etc/passwd", None),
    "a file's name after an at sign": ("@/etc/passwd", "etc, passwd"),
    "a quote that is not closed": ('"Bà con', "Bà con"),
    "an apostrophe that is not closed": ("ông 'Ba", "ông Ba"),
    "a backslash at the end": ("Bà con\\", "Bà con"),
    "emoji": ("Họp 🎉 lúc 7 giờ 👨‍👩‍👧", "Họp lúc bảy giờ"),
    "Chinese": ("通知 Bà con", "Bà con"),
    "Arabic": ("مرحبا Bà con", "Bà con"),
    "Cyrillic": ("Внимание! Bà con", "Bà con"),
    "full-width letters": ("Ｂà con", "Bà con"),
    "nothing to see": ("Bà\u00ad c\u200bon\ufeff", "Bà con"),
    "marks upon marks": ("Ba" + "\u0300" * 400 + " con", "Bà con"),
    "line ends of all kinds": ("Bà con.\r\nBà con.\rBà con.\nBà con", "Bà con. Bà con. Bà con. Bà con"),
    "a thousand empty lines": ("\n" * 1_000 + "Bà con", "Bà con"),
    "decomposed": (unicodedata.normalize("NFD", GREETING), GREETING),
    "decomposed, marks in another order": ("Bà con ở bu\u0323\u031bu", "Bà con ở bựu"),
}
"""By what is odd about it: the text, and the words that it is spoken as (None: only that it is spoken)."""

REFUSED = {
    "100 kB": ("Bà con. " * 12_800, "AUD012", "102399"),
    "100 kB without a blank": ("b" * 102_400, "AUD012", "102400"),
    "100 kB of decomposed letters": (unicodedata.normalize("NFD", "ệ" * 34_000), "AUD012", "34000"),
    "NUL": ("Bà con\0--help", "AUD011", "U+0000"),
    "a bell": ("Bà con\a", "AUD011", "U+0007"),
    "an escape sequence": ("\x1b]0;root\x07Bà con", "AUD011", "U+001B"),
    "DEL": ("Bà\x7f con", "AUD011", "U+007F"),
    "a control character of C1": ("Bà\x9b con", "AUD011", "U+009B"),
    "text from right to left": ("Bà \u202enoc", "AUD011", "U+202E"),
    "an isolate that is not closed": ("Bà \u2067con", "AUD011", "U+2067"),
    "half a pair": ("Bà con \udcff", "AUD011", "U+DCFF"),
    "a private letter": ("Bà \ue000con", "AUD011", "U+E000"),
    "no character": ("Bà con\uffff", "AUD011", "U+FFFF"),
    "a letter from the tags": ("Bà con\U000e0041", "AUD011", "U+E0041"),
    "only punctuation": ("..., ;:!? — () \"\" '' --- ***", "AUD013", ""),
    "only emoji": ("🎉🎉🎉", "AUD013", ""),
    "only markup": ("<b></b><br/>", "AUD013", ""),
    "only an address": ("https://gialai.gov.vn/?a=$b&c=`d`|e", "AUD013", ""),
    "only Arabic": ("مرحبا", "AUD013", ""),
    "only what nobody sees": ("\u200b\u200d\ufeff\u00ad \n", "AUD010", ""),
}


@contextmanager
def started() -> Iterator[list[list[str]]]:
    """The argument lists of the programs that this process starts meanwhile, however it does."""
    seen: list[list[str]] = []
    on = True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if on and event == "subprocess.Popen":
            seen.append([str(a) for a in arguments[1]])
        elif on and event in ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn"):
            seen.append([event, str(arguments[0])])

    sys.addaudithook(hook)
    try:
        yield seen
    finally:
        on = False


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def sound(path: Path) -> bytes:
    return path.read_bytes()


@pytest.mark.parametrize("name", SPOKEN)
async def test_what_is_spoken_is_spoken_as_its_words(tmp_path: Path, name: str) -> None:
    text, words = SPOKEN[name]
    said = speech.spoken(text)
    assert isinstance(said, Said)
    assert words is None or said.text == words
    with started() as programs:
        assert await speech.speak(text, tmp_path / "a.wav") is None
    # the voice alone, and what was written is no argument of it: it comes on standard input
    (program,) = programs
    assert program == speech.USUAL.command(tmp_path / "a.wav")
    assert await speech.speak(said.text, tmp_path / "b.wav") is None
    assert names(tmp_path) == ["a.wav", "b.wav"]
    assert len({sound(tmp_path / name) for name in ("a.wav", "b.wav")}) == 1


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_refused_is_refused_with_its_reason_and_without_a_program(tmp_path: Path, name: str) -> None:
    text, code, says = REFUSED[name]
    with started() as programs:
        refused = await speech.speak(text, tmp_path / "a.wav")
    assert isinstance(refused, Diagnostic)
    assert refused.code == code
    assert says in refused.text()
    assert refused.fix_text()
    refused.text().encode()
    assert programs == []
    assert names(tmp_path) == []


def test_a_program_would_have_been_seen() -> None:
    with started() as programs:
        subprocess.run(["true"], check=True)
    assert programs == [["true"]]
