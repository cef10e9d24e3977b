"""``make demo``: the main job on the sample province, told step by step; exit 0 only if every step held."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from inventory.model import DeviceId, DeviceKind, Network
from tests.sim.proof import LEAST, Proof, by_bulletin
from tests.sim.world import Broken, World
from tui.methods import AS_RUN, DEVICES, OVERVIEW, REPORT, AsRun, BulletinId, Nothing, Overview, Report, Select, Since

EMERGENCY_COMMUNE = "23557"
LISTENING = (("23557", 10), ("district=622 commune!=23557", 6), ("24022", 8), ("23627", 6))
"""Where real receivers stand: communes (or selections) and how many clusters of each."""
PROVINCE = "Thông báo của tỉnh. Tối nay có mưa lớn, bà con chú ý theo dõi tin tức."
DISTRICT = "Thành phố Pleiku thông báo lịch tiêm chủng ngày mai tại trạm y tế."
AUTHORITY = "CV 12/UBND, 01/10/2024"
FLOOD = "Khẩn cấp. Nước dâng cao. Sơ tán ngay."
RECORDING_SECONDS = 10
MELODY = "0.4*sin(2*PI*(300+60*t)*t)*(0.6+0.4*sin(2*PI*3*t))"


class Story:
    """Prints what happens with the time since the start, and remembers what did not hold."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.failed: list[str] = []

    def tell(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began:5.1f} s] {text}", flush=True)

    def check(self, held: bool, text: str) -> None:
        self.tell(f"{'ok  ' if held else 'FAIL'} {text}")
        if not held:
            self.failed.append(text)


class Demo:
    def __init__(self, world: World, story: Story) -> None:
        self.world = world
        self.story = story
        self.network: Network = world.network()
        self.real = world.receivers
        self.bulletins: dict[str, str] = {}

    # -- steps

    def start(self) -> None:
        out = self.world.loa("validate").strip()
        self.story.check(bool(self.network.devices), out)
        self.world.start_broker()
        self.world.start_fleet()
        self.world.start_hub()
        for device in self.real:
            self.world.start_receiver(device)
        self.story.tell(f"broker, hub and simulated fleet run; {len(self.real)} real receivers are starting")

    def push(self) -> None:
        recording = self._recording()
        self._push("province", "64", "p", "priority", "Dự báo mưa lớn", "--text", PROVINCE)
        self._push("district", "622", "d622", "priority", "Lịch tiêm chủng", "--text", DISTRICT)
        self._push("commune", EMERGENCY_COMMUNE, "c23557", "normal", "Nhạc hiệu của phường", "--audio", str(recording))
        self._push("emergency", EMERGENCY_COMMUNE, "c23557", "emergency", "Sơ tán", "--text", FLOOD)
        refused = self.world.loa("approve", "--yes", self.bulletins["commune"], user="c23557.editor", codes=(1,))
        self.story.check(not refused, "the author may not approve their own bulletin")
        for name, unit in (("province", "p"), ("district", "d622"), ("commune", "c23557")):
            said = self.world.loa("approve", "--yes", self.bulletins[name], user=f"{unit}.approver").strip()
            self.story.tell(f"{name} bulletin: {said}")

    def polled(self) -> None:
        overview = self._until(lambda o: o.sweep is not None and o.sweep.answered == o.sweep.polled, "first full sweep")
        sweep = overview.sweep
        if sweep is not None:
            text = f"polled {sweep.polled} devices, {sweep.answered} answered, sweep {sweep.seconds:.2f} s"
            self.story.check(sweep.answered == sweep.polled, text)

    def failures(self) -> None:
        """A shared router, then a whole cell: one cause each, and what hangs on it is unreachable because of it."""
        router, behind = self._router()
        cell, members = self._cell(avoid={router, *behind})
        self.world.fleet(fail=[router])
        self.world.fleet(fail_cell=cell)
        self._until(lambda o: {router, f"cell:{cell}"} <= {c.cause for c in o.causes}, "both causes are named")
        self._consequence(router, behind)
        self._consequence(f"cell:{cell}", members)
        overview = self.world.ask(OVERVIEW, Nothing())
        self.story.check(
            len(overview.causes) == 2, f"only the two causes are named: {[c.cause for c in overview.causes]}"
        )
        self.world.fleet(heal="all")
        self._until(lambda o: not o.causes, "healed: nothing is lost")
        self.story.tell("router and cell are back: nothing is lost any more")

    def _consequence(self, cause: str, devices: Sequence[str]) -> None:
        rows = {row.device: row for row in self.world.ask(DEVICES, Select("")).devices}
        hit = [d for d in devices if rows[d].state == "unreachable" and rows[d].cause == cause]
        text = f"{cause} failed: {len(hit)} of {len(devices)} devices are unreachable because of it"
        self.story.check(len(hit) == len(devices), text)

    def interrupt(self) -> None:
        """The emergency while the commune's recording plays; the all-clear after its round; the recording resumes."""
        self._wait_for(lambda: any(self._started("commune")), "the commune's recording plays", 60)
        time.sleep(2.5)
        said = self.world.loa("approve", "--yes", self.bulletins["emergency"], user="c23557.approver").strip()
        self.story.tell(f"emergency: {said}")
        addressed = self._addressed(EMERGENCY_COMMUNE)
        self._wait_for(lambda: len(self._done("emergency")) >= addressed, "one round of the emergency", 40)
        self.world.loa("all-clear", self.bulletins["emergency"], user="c23557.approver")
        self.story.tell("all-clear given")
        self._wait_for(lambda: len(self._done("commune")) >= addressed, "the recording is over everywhere", 40)

    def verdict(self) -> None:
        receipts = self.world.ask(AS_RUN, Since(0)).receipts
        proof = Proof(self.world)
        heard = by_bulletin(proof.segments(receipts))
        areas = {"province": len(self.real), "district": self._addressed("622"), "commune": 0, "emergency": 0}
        areas["commune"] = areas["emergency"] = self._addressed(EMERGENCY_COMMUNE)
        for name, bulletin in self.bulletins.items():
            parts = heard.get(bulletin, [])
            devices = {p.receipt.device for p in parts}
            least = min((p.similarity for p in parts), default=0.0)
            report = self.world.ask(REPORT, BulletinId(bulletin))
            text = (
                f"{name}: heard by {len(devices)} of {areas[name]} receivers addressed, {len(parts)} segments, "
                f"similarity >= {least:.3f}, {self._latency(report)}"
            )
            self.story.check(len(devices) == areas[name] and least >= LEAST, text)
        noisy = {d: n for d in self.real if (n := proof.noise_outside(d, receipts))}
        self.story.check(not noisy, f"silence outside the receipts on all {len(self.real)} receivers {noisy or ''}")
        strangers = [r.id for r in receipts if r.bulletin in self._local() and not self._in_commune(r.device)]
        self.story.check(not strangers, "nobody outside the commune played its bulletins")
        self._resumed(receipts)

    def _resumed(self, receipts: Sequence[AsRun]) -> None:
        whole = 0
        for device in (d for d in self.real if self._in_commune(d)):
            parts = sorted(
                (r for r in receipts if r.bulletin == self.bulletins["commune"] and r.device == device),
                key=lambda r: r.started,
            )
            ends = [r.offset + r.ended - r.started for r in parts]
            whole += len(parts) == 2 and parts[0].reason == "emergency" and abs(parts[1].offset - ends[0]) <= 25
        total = self._addressed(EMERGENCY_COMMUNE)
        self.story.check(
            whole == total, f"the emergency cut the recording and it went on where it was cut: {whole} of {total}"
        )

    def coverage(self) -> None:
        answer = json.loads(self.world.loa("coverage", "--year", "2024", "--json"))
        for row in answer["indicators"]:
            counted = row["boards"] if row["indicator"] == "district_large_board" else row["numerator"]
            printed = row["printed"]
            text = f"coverage 2024 {row['indicator']}: {row['numerator']}/{row['denominator']} = {row['percent']} %, "
            text += f"the plan prints {printed['value']} ({printed['percent']})" + "".join(
                f" – {n}" for n in row["notes"]
            )
            self.story.check(counted == printed["value"], text)

    # -- what the steps need

    def _push(self, name: str, origin: str, who: str, cls: str, title: str, *content: str) -> None:
        out = self.world.loa(
            *("push", "--origin", origin, "--class", cls, "--title", title, "--authority", AUTHORITY, *content),
            user=f"{who}.editor",
        )
        self.bulletins[name] = out.strip()
        self.story.tell(f"{name} bulletin sent for approval: {title}")

    def _recording(self) -> Path:
        path = self.world.folder / "melody.wav"
        source = f"aevalsrc={MELODY}:s=44100:d={RECORDING_SECONDS}"
        command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", source, str(path)]
        subprocess.run(command, check=True)
        return path

    def _router(self) -> tuple[DeviceId, tuple[str, ...]]:
        """The modem with most in use behind it, and what hangs on it."""
        used = {d.id for d in self.network.devices_on(self.network.on(self.network.as_of or _never()))}
        modems = [d for d in self.network.devices.values() if d.kind is DeviceKind.MODEM and d.id in used]
        best = max(modems, key=lambda m: (len(set(self.network.behind(m.id)) & used), m.id))
        return best.id, tuple(sorted(set(self.network.behind(best.id)) & used))

    def _cell(self, avoid: set[str]) -> tuple[str, tuple[str, ...]]:
        """The largest cell that the router's devices are not on."""
        cells: dict[str, list[str]] = self.world.fleet(cells=True)["cells"]  # type: ignore[assignment]
        free = {c: m for c, m in cells.items() if not avoid & set(m)}
        best = max(free, key=lambda c: (len(free[c]), c))
        return best, tuple(free[best])

    def _until(self, condition: Callable[[Overview], bool], what: str) -> Overview:
        found: list[Overview] = []

        def look() -> bool:
            found[:] = [self.world.ask(OVERVIEW, Nothing())]
            return condition(found[0])

        self._wait_for(look, what, 40)
        return found[0]

    def _wait_for(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise Broken(f"not in {timeout} s: {what}")
            time.sleep(0.2)

    def _receipts(self, name: str) -> tuple[AsRun, ...]:
        return tuple(r for r in self.world.ask(AS_RUN, Since(0)).receipts if r.bulletin == self.bulletins[name])

    def _done(self, name: str) -> set[str]:
        return {r.device for r in self._receipts(name) if r.result == "played"}

    def _started(self, name: str) -> list[str]:
        return [r.device for r in self.world.ask(DEVICES, Select("")).devices if r.playing == self.bulletins[name]]

    def _local(self) -> tuple[str, str]:
        return self.bulletins["commune"], self.bulletins["emergency"]

    def _in_commune(self, device: str) -> bool:
        return device.startswith(f"{EMERGENCY_COMMUNE}-")

    def _addressed(self, unit: str) -> int:
        on = self.network.on(_never())
        return sum(unit in self.network.device_chain(self.network.devices[d], on) for d in self.real)

    def _latency(self, report: Report) -> str:
        if report.latency_p50 is None or report.latency_p99 is None:
            return "no start"
        return f"start latency p50 {report.latency_p50} ms, p99 {report.latency_p99} ms"


def _never() -> date:
    """The sample has its own date (as_of), so that today is never asked for."""
    return date.min


def choose(network: Network) -> tuple[DeviceId, ...]:
    """The clusters that get real receivers."""
    from inventory.select import Selection, parse

    chosen: list[DeviceId] = []
    for where, count in LISTENING:
        selection = parse(where if "=" in where else f"commune={where}", network)
        if not isinstance(selection, Selection):
            raise Broken(f"{where}: no such selection")
        clusters = [d.id for d in selection.devices(network.on(_never())) if d.kind is DeviceKind.LOUDSPEAKER]
        chosen += clusters[:count]
    return tuple(chosen)


def main() -> int:
    story = Story()
    folder = Path(tempfile.mkdtemp(prefix="loa-demo-"))
    world = World(folder, ())
    try:
        with world:
            world.receivers = choose(world.network())
            demo = Demo(world, story)
            demo.start()
            demo.push()
            demo.polled()
            demo.failures()
            demo.interrupt()
            demo.verdict()
            demo.coverage()
            if sys.stdout.isatty() and sys.stdin.isatty():
                story.tell("the operator's screens: q ends the demo")
                subprocess.run(
                    [sys.executable, "-m", "tui.cli", "--as", "p.editor", "tui"], env=world.environment, check=False
                )
    except Broken as error:
        story.check(False, str(error))
    left = [c.pid for c in world.children.values() if c.poll() is None]
    story.check(not left, "everything that was started is gone")
    if story.failed and os.environ.get("LOA_DEMO_KEEP"):
        story.tell(f"logs are in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    print("demo: ok" if not story.failed else f"demo: {len(story.failed)} steps failed", flush=True)
    return 1 if story.failed else 0


if __name__ == "__main__":
    sys.exit(main())
