"""Handing in a bulletin: its sound is made while the client waits, and the client hears how far that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from nms.i18n import N_, number
from tui.gateway import Gateway
from tui.methods import Method, Push, Submitted


@dataclass(frozen=True, slots=True)
class Making:
    """What the hub is doing (``stage`` of ``audio.measure``): ``done`` of ``total`` seconds of sound, ``total`` 0 where
    that is not known; or, last, what was made of it.
    """

    stage: str = ""
    done: float = 0.0
    total: float = 0.0
    made: Submitted | None = None


SUBMIT = Method("submit", Push, Making, stream=True)

STAGES: Mapping[str, str] = {
    "measure": N_("measuring the sound"),
    "encode": N_("encoding it"),
    "check": N_("measuring what came out"),
}


async def hand_in(gateway: Gateway, push: Push, told: Callable[[Making], None]) -> Submitted:
    """The bulletin that waits for approval; ``told`` hears of the work until then. Raises HubError."""
    made: Submitted | None = None
    async with aclosing(gateway.watch(SUBMIT, push)) as news:
        async for making in news:
            made = making.made
            if made is None:
                told(making)
    assert made is not None
    return made


def making_line(making: Making, translate: Callable[[str], str]) -> str:
    """How far it is, in one line."""
    known = N_("{stage}: {done} of {total} s")
    message = translate(known if making.total else N_("{stage}: {done} s"))
    stage = translate(STAGES.get(making.stage, making.stage))
    return message.format(stage=stage, done=number(int(making.done)), total=number(round(making.total)))
