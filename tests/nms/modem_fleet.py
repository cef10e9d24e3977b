"""Devices that are small processes: each keeps its configuration in a file, goes back by itself when nobody confirms,
and may lose its connection by a change. Reached over a Unix socket; a lost one is not."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inventory.diagnostics import Diagnostic
from inventory.model import DeviceId
from nms.provision.apply_faults import fault
from nms.provision.reach import Target, Unreached
from nms.provision.values import Facts, Family, Kind, Manifest, Observed, Outcome, Resource, Result, digest_of

APN = "option:network.wwan.apn"
ROOT = Path(__file__).resolve().parents[2]
OLD, NEW = "m3-world", "v-internet"


def manifest(device: DeviceId, apn: str = NEW) -> Manifest:
    return Manifest(device, Family.UCI, {APN: Resource(Kind.OPTION, "network.wwan.apn", apn)})


def facts(device: DeviceId, apn: str = OLD) -> Facts:
    return Facts(
        device, datetime.now(UTC), {APN: Observed(digest_of(apn), apn)}, {APN: digest_of(apn)}, {"serial": device}
    )


# --- the device -------------------------------------------------------------------------------------------------------


@dataclass
class Modem:
    """``deaf``: whether the new access point gives it no connection."""

    file: Path
    deaf: bool
    before: str = ""
    until: float = 0.0

    def state(self) -> str:
        if self.until and time.monotonic() >= self.until:
            self._write(self.before)
            self.until = 0.0
        return self.file.read_text()

    def reachable(self) -> bool:
        return not (self.deaf and self.state() == NEW)

    def answer(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        state = self.state()
        if question["do"] == "apply":
            self.before, self.until = state, time.monotonic() + question["within"]
            self._write(question["apn"])
        elif question["do"] == "confirm":
            pending, self.until = self.until > 0, 0.0
            return {"apn": state, "confirmed": pending}
        return {"apn": self.state()}

    def _write(self, apn: str) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(apn)
        new.replace(self.file)


async def run(folder: Path, files: Sequence[Path], deaf: frozenset[str]) -> None:
    """Each device has its own socket; ``up`` is there when all of them answer."""
    for file in files:
        await _device(Modem(file, file.stem in deaf), folder / f"{file.stem}.sock")
    sys.stdout.write("up\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


@contextmanager
def fleet(devices: Sequence[DeviceId], deaf: Sequence[DeviceId] = ()) -> Iterator[Path]:
    """The devices as a process, on their old access point; a socket's path must be short."""
    with tempfile.TemporaryDirectory(prefix="modems-") as name:
        folder = Path(name)
        for device in devices:
            (folder / f"{device}.apn").write_text(OLD)
        arguments = [sys.executable, "-m", "tests.nms.modem_fleet", name, ",".join(deaf)]
        process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            yield folder
        finally:
            process.kill()
            process.communicate()


def states(folder: Path) -> Mapping[str, str]:
    return {file.stem: file.read_text() for file in sorted(folder.glob("*.apn"))}


async def _device(modem: Modem, path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if modem.reachable():
            answer = modem.answer(json.loads(await reader.readline()))
            if modem.reachable():
                writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()

    await asyncio.start_unix_server(serve, str(path))


# --- the hub's side ---------------------------------------------------------------------------------------------------


@dataclass
class Modems:
    """A provisioner for them. ``touched``: every device whose change was begun; ``first``: one was."""

    folder: Path
    touched: list[DeviceId] = field(default_factory=list)
    first: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, device: DeviceId, question: Mapping[str, Any]) -> Mapping[str, Any] | None:
        with suppress(OSError):
            reader, writer = await asyncio.open_unix_connection(str(self.folder / f"{device}.sock"))
            writer.write(json.dumps(question).encode() + b"\n")
            line = await reader.readline()
            writer.close()
            return json.loads(line) if line else None
        return None

    async def facts(self, targets: Sequence[Target]) -> AsyncIterator[Facts | Unreached]:
        for target in targets:
            answer = await self.ask(target.device, {"do": "facts"})
            if answer is None:
                yield Unreached(target.device, fault("PLN300", device=target.device, reason="-"))
            else:
                yield facts(target.device, answer["apn"])

    async def apply(self, targets: Sequence[Target], within: float) -> AsyncIterator[Result]:
        for target in targets:
            self.touched.append(target.device)
            self.first.set()
            question = {"do": "apply", "apn": target.manifest.resources[APN].text, "within": within}
            answer = await self.ask(target.device, question)
            yield Result(target.device, Outcome.APPLIED if answer else Outcome.LOST, None, 100, 50)

    async def confirm(self, targets: Sequence[Target]) -> Mapping[DeviceId, Diagnostic | None]:
        found: dict[DeviceId, Diagnostic | None] = {}
        for target in targets:
            answer = await self.ask(target.device, {"do": "confirm"})
            refused = fault("PLN312", device=target.device, reason="-")
            found[target.device] = None if answer and answer["confirmed"] else refused
        return found

    async def greet(self, targets: Sequence[Target], since: datetime) -> frozenset[DeviceId]:
        answers = [await self.ask(t.device, {"do": "facts"}) for t in targets]
        return frozenset(t.device for t, answer in zip(targets, answers, strict=True) if answer)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    asyncio.run(run(place, list(place.glob("*.apn")), frozenset(sys.argv[2].split(","))))
