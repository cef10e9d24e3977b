"""``loa-receiver --config FILE``: plays, on one device, what its programme and orders say.

``loa-receiver --announce FILE``: tells the hub of a new device until it is enrolled.
"""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from queue import Empty, SimpleQueue

from audio.documents import DeviceState, encode
from audio.receiver import announce
from audio.receiver.agent import Agent, Arrived, Event, Finished, Spoiled, Stop
from audio.receiver.alsa import AlsaOutput
from audio.receiver.cache import Cache
from audio.receiver.clock import DeviceTime, SystemClock, boot_id, kernel_synchronised
from audio.receiver.config import Config, Problem, load
from audio.receiver.held import Held, PolicyRefused
from audio.receiver.identity import Identity, IdentityRefused
from audio.receiver.journal import Journal
from audio.receiver.link import Connection, Link, Message
from audio.receiver.live import Live
from audio.receiver.notify import Notifier
from audio.receiver.player import FileOutput, NullOutput, Output, Player
from audio.receiver.renewal import Renewal
from audio.receiver.report import state_topic
from audio.receiver.sound import warm_up
from audio.receiver.stage import Stage
from audio.receiver.status import StatusFile, status_path
from audio.receiver.trust import topics
from audio.receiver.version import running

PR_SET_PDEATHSIG = 1
MOST = 64
"""Events that may wait for their turn; who brings more over the line waits, and so does, by TCP, the broker."""


class Door:
    """Where what comes over the line gets into the inbox; a flood does not fill the memory."""

    def __init__(self, inbox: SimpleQueue[Event]) -> None:
        self._inbox = inbox
        self._closed = threading.Event()

    def put(self, event: Event) -> None:
        while self._inbox.qsize() >= MOST and not self._closed.wait(0.01):
            pass
        self._inbox.put(event)

    def close(self) -> None:
        """Nobody waits any more: what brings it is to end."""
        self._closed.set()


def main(argv: list[str] | None = None) -> int:
    """Runs until SIGTERM or SIGINT (0); 2 when the settings cannot be used."""
    parser = argparse.ArgumentParser(prog="loa-receiver", description="Plays what this device's programme says.")
    job = parser.add_mutually_exclusive_group(required=True)
    job.add_argument("--config", type=Path, metavar="FILE", help="settings (TOML)")
    job.add_argument("--announce", type=Path, metavar="FILE", help="the factory's settings (TOML): wait to be enrolled")
    parser.add_argument("--die-with-parent", action="store_true", help="stop when the starting process ends")
    arguments = parser.parse_args(argv)
    if arguments.die_with_parent:
        _die_with_parent()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    if arguments.announce is not None:
        return _announce(arguments.announce)
    config = load(arguments.config)
    if isinstance(config, tuple):
        return _complain(config)
    try:
        pinned = config.policy.read_bytes()
        return run(config, pinned)
    except PolicyRefused as error:
        fix = f"is refused ({error}); enrol again, or correct root and device"
        return _complain((Problem(str(arguments.config), "policy", fix),))
    except IdentityRefused as error:
        return _complain((Problem(str(arguments.config), "certificate", f"is refused ({error}); enrol again"),))
    except OSError as error:
        return _complain((Problem(str(arguments.config), "state", f"{error.filename}: {error.strerror}"),))


def _announce(file: Path) -> int:
    announcer = announce.load(file)
    if isinstance(announcer, tuple):
        return _complain(announcer)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    try:
        announce.announce(announcer, ending)
    except (OSError, ValueError) as error:
        return _complain((Problem(str(announcer.key), "key", f"cannot be used: {error}"),))
    return 0


def run(config: Config, pinned: bytes) -> int:
    """The program between reading its settings and its end. Raises PolicyRefused, IdentityRefused and
    OSError before it starts."""
    inbox: SimpleQueue[Event] = SimpleQueue()
    for folder in (config.state, config.state / "held"):
        folder.mkdir(parents=True, exist_ok=True)
    shifted = config.shift is not None
    kernel = (lambda: False) if shifted else kernel_synchronised
    time = DeviceTime(SystemClock(config.shift or 0), config.state / "clock.json", boot_id(), kernel)
    with closing(Journal(config.state / "journal.jsonl", time.now())) as journal:
        identity = _identity(config)
        held = Held(config.device, config.root, pinned, config.state / "held", journal, time)
        with closing(Player(_output(config, time), lambda: inbox.put(Finished()), journal.sounded)) as player:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: inbox.put(Stop()))
            threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
            _play(config, inbox, time, journal, held, player, identity)
    return 0


def _play(
    config: Config,
    inbox: SimpleQueue[Event],
    time: DeviceTime,
    journal: Journal,
    held: Held,
    player: Player,
    identity: Identity | None,
) -> None:
    folder = config.state / "content"
    arrived, spoiled = lambda content: inbox.put(Arrived(content)), lambda detail: inbox.put(Spoiled(detail))
    stage = Stage(config.device, journal, player, time)
    door = Door(inbox)
    with (
        closing(Link(config.device, config.host, config.port, door.put, identity)) as link,
        closing(Cache(folder, config.content, arrived, spoiled, identity, config.cache_mb * 2**20)) as cache,
        closing(_live(config, door, time, held, identity)) as live,
        closing(door),
    ):
        agent = Agent(config.device, time, journal, held, cache, stage, link, live, running())
        will = DeviceState(config.device, online=False, at=time.now())
        link.open(state_topic(config.device), encode(will), frozenset(topics(held.policy)))
        with _renewing(identity, config.content, link):
            _loop(agent, inbox, time, StatusFile(status_path(config.state)))
            agent.stop()


def _live(config: Config, door: Door, time: DeviceTime, held: Held, identity: Identity | None) -> Live:
    """Live sessions, over a connection of their own."""

    def connect(receive: Callable[[Message | Connection], None]) -> Link:
        return Link(config.device, config.host, config.port, receive, identity, suffix="-live", qos=0)

    return Live(connect, lambda: held.trust, time, lambda reason, detail: door.put(Spoiled(detail, reason)))


def _output(config: Config, time: DeviceTime) -> Output:
    if config.card:
        return AlsaOutput(config.card)
    return FileOutput(config.output, time.now()) if config.output else NullOutput()


def _identity(config: Config) -> Identity | None:
    # the certificates' dates are the world's, also where a test shifts the programme's clock
    papers = config.papers
    return None if papers is None else Identity(config.device, papers, config.state, kernel_synchronised)


def _renewing(identity: Identity | None, base: str, link: Link) -> AbstractContextManager[object]:
    return nullcontext() if identity is None else closing(Renewal(identity, base, link.renew))


def _loop(agent: Agent, inbox: SimpleQueue[Event], time: DeviceTime, status: StatusFile) -> None:
    notifier = Notifier()
    notifier.ready()
    while True:
        wake = agent.step()
        notifier.alive()
        status.keep(agent.playing, agent.status)
        for event in _waiting(inbox, max(wake - time.now(), 0) / 1000):
            if isinstance(event, Stop):
                return
            agent.handle(event)


def _waiting(inbox: SimpleQueue[Event], timeout: float) -> list[Event]:
    """What waits, taken in before the next step, so that the newest documents decide; nothing if none comes in time.

    Not what comes meanwhile: who never stops talking does not keep the next item from its time.
    """
    try:
        first = inbox.get(timeout=timeout)
    except Empty:
        return []
    return [first, *(inbox.get_nowait() for _ in range(inbox.qsize()))]


def _complain(problems: tuple[Problem, ...]) -> int:
    for problem in problems:
        print(problem, file=sys.stderr)
    return 2


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == 1:
        sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
