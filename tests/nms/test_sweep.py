"""The sweep against agents of our own on loopback: who answered, who did not, and why."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from inventory.model import DeviceId
from nms.monitor.profiles import Column, Kind, Profile
from nms.monitor.snmp.run import BURST
from nms.monitor.snmp.sweep import Reading, Refusal, Silence, Sweeper, Target
from nms.monitor.snmp.usm import Community
from tests.sim.snmp_responder import number, read_get, response, text

UPTIME, CELL = "1.3.6.1.2.1.1.3.0", "1.3.6.1.4.1.1.1.0"
PROFILE = Profile(
    name="test",
    title="",
    recognise=((1, 3, 6),),
    also=(),
    columns=(
        Column("uptime_s", (1, 3, 6, 1, 2, 1, 1, 3, 0), Kind.COUNTER, scale=0.01),
        Column("cell", (1, 3, 6, 1, 4, 1, 1, 1, 0), Kind.TEXT),
    ),
)
Answer = Callable[[bytes], Sequence[bytes]]
"""What a test agent sends back for a request."""


def good(request: bytes, uptime: int = 4200, cell: str = "7") -> bytes:
    question = read_get(request)
    head, tail = response(question, [number(uptime, 0x43), text(cell)])
    return head + question.request_id + tail


@contextmanager
def agent(answer: Answer, address: str = "127.0.0.1") -> Iterator[int]:
    """An agent on a free port that answers each request with what ``answer`` says."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 0))
        sock.settimeout(0.05)
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                try:
                    request, source = sock.recvfrom(4096)
                except TimeoutError:
                    continue
                for datagram in answer(request):
                    sock.sendto(datagram, source)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            ended.set()
            thread.join()


@pytest.fixture
def sweeper() -> Iterator[Sweeper]:
    sweeper = Sweeper("127.0.0.1", timeout=0.3, retries=1)
    yield sweeper
    sweeper.close()


def target(port: int, number: int = 1, address: str = "127.0.0.1") -> Target:
    return Target(DeviceId(f"23557-L{number:02d}"), address, port, Community(b"loa"), PROFILE)


ME = DeviceId("23557-L01")


def test_an_answer_becomes_metrics_again_and_again(sweeper: Sweeper) -> None:
    uptimes = iter([1, 100, 200, 2**31, 2**32 - 1])
    with agent(lambda request: [good(request, next(uptimes))]) as port:
        seen = [sweeper.sweep([target(port)]).outcomes[ME] for _ in range(5)]
    assert all(isinstance(outcome, Reading) for outcome in seen)
    metrics = [outcome.metrics for outcome in seen if isinstance(outcome, Reading)]
    assert metrics == [{"uptime_s": u, "cell": "7"} for u in (0.01, 1.0, 2.0, 21474836.48, 42949672.95)]


def test_nobody_to_ask(sweeper: Sweeper) -> None:
    sweep = sweeper.sweep([])
    assert (dict(sweep.outcomes), sweep.stats.sent) == ({}, 0)


def test_silence_after_all_tries(sweeper: Sweeper) -> None:
    with agent(lambda _: []) as port:
        sweep = sweeper.sweep([target(port)])
    assert sweep.outcomes[ME] == Silence("timeout")
    assert (sweep.stats.sent, sweep.stats.retries, sweep.stats.answered) == (2, 1, 0)


def test_a_lost_request_is_asked_again_with_the_same_id(sweeper: Sweeper) -> None:
    requests: list[bytes] = []

    def second_time(request: bytes) -> list[bytes]:
        requests.append(request)
        return [good(request)] if len(requests) == 2 else []

    with agent(second_time) as port:
        sweep = sweeper.sweep([target(port)])
    assert isinstance(sweep.outcomes[ME], Reading)
    assert requests[0] == requests[1]
    assert sweep.stats.retries == 1


def test_an_answer_to_an_earlier_sweep_is_not_taken_for_one_to_this() -> None:
    sweeper = Sweeper("127.0.0.1", timeout=0.2, retries=0)
    release = threading.Event()

    def slow(request: bytes) -> list[bytes]:
        release.wait(5)
        return [good(request)]

    with agent(slow) as port:
        assert sweeper.sweep([target(port)]).outcomes[ME] == Silence("timeout")
        release.set()
        with agent(lambda _: []) as mute:
            second = sweeper.sweep([target(port), target(mute, 2)])
    sweeper.close()
    assert isinstance(second.outcomes[ME], Reading)
    assert second.stats.stray == 1


def test_an_answer_after_the_device_was_given_up_counts_while_others_are_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With room for one burst the last device is asked 50 ms after the first, which answers when it is given up."""
    now = 0.0
    monkeypatch.setattr("nms.monitor.snmp.run.perf_counter", lambda: now)
    sweeper = Sweeper("127.0.0.1", timeout=0.3, retries=0, buffer=1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agents:
        agents.bind(("0.0.0.0", 0))
        port = agents.getsockname()[1]

        def pass_time() -> bool:
            nonlocal now
            now += 0.01
            if 0.325 < now < 0.335:
                request, source = agents.recvfrom(4096)
                agents.connect(source)
                agents.send(good(request))
            return False

        first = target(port)
        others = [target(port, n, f"127.0.0.{n}") for n in range(2, BURST + 2)]
        sweep = sweeper.sweep([first, *others], pass_time)
    sweeper.close()
    assert isinstance(sweep.outcomes[ME], Reading)
    assert (sweep.stats.late, sweep.stats.answered, sweep.stats.sent) == (1, 1, BURST + 1)


def test_a_closed_port_is_a_result_with_a_reason(sweeper: Sweeper) -> None:
    with agent(lambda _: []) as port:
        pass
    with agent(lambda request: [good(request)]) as alive:
        sweep = sweeper.sweep([target(port), target(alive, 2)])
    assert sweep.outcomes[ME] == Silence("Connection refused")
    assert isinstance(sweep.outcomes[DeviceId("23557-L02")], Reading)


def test_an_address_that_cannot_be_reached_is_a_result(sweeper: Sweeper) -> None:
    """From a loopback address there is no way out; the kernel says so on the send itself."""
    with agent(lambda request: [good(request)]) as alive:
        sweep = sweeper.sweep([target(161, 1, "192.0.2.1"), target(alive, 2)])
    outcome = sweep.outcomes[ME]
    assert isinstance(outcome, Silence)
    assert isinstance(sweep.outcomes[DeviceId("23557-L02")], Reading)


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda data: data[:-1], "malformed"),
        (lambda data: data + b"\x00", "malformed"),
        (lambda data: data.replace(b"\x04\x03loa", b"\x04\x03lob"), "community"),
        (lambda data: data.replace(b"\x02\x01\x01", b"\x02\x01\x00", 1), "version"),
        (lambda data: b"\x00" * 4096, "malformed"),
    ],
)
def test_a_wrong_answer_is_a_refusal_not_silence(sweeper: Sweeper, spoil: Callable[[bytes], bytes], word: str) -> None:
    with agent(lambda request: [spoil(good(request))]) as port:
        sweep = sweeper.sweep([target(port)])
    outcome = sweep.outcomes[ME]
    assert isinstance(outcome, Refusal)
    assert outcome.reason.startswith(word)
    assert sweep.stats.refused == 1


def test_a_forged_answer_does_not_hide_the_true_one(sweeper: Sweeper) -> None:
    with agent(lambda request: [b"\x30\x00", good(request)]) as port:
        assert isinstance(sweeper.sweep([target(port)]).outcomes[ME], Reading)


def test_an_answer_with_another_id_or_from_another_address_is_nobodys(sweeper: Sweeper) -> None:
    def other_id(request: bytes) -> list[bytes]:
        question = read_get(request)
        head, tail = response(question, [number(1, 0x43), text("7")])
        return [head + bytes([question.request_id[0] ^ 1]) + question.request_id[1:] + tail]

    with agent(other_id) as port:
        sweep = sweeper.sweep([target(port)])
    assert sweep.outcomes[ME] == Silence("timeout")
    assert sweep.stats.stray == 2

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))
        local = sweeper.address

        def elsewhere(request: bytes) -> list[bytes]:
            stranger.sendto(good(request), local)
            return []

        with agent(elsewhere) as port:
            sweep = sweeper.sweep([target(port)])
    assert sweep.outcomes[ME] == Silence("timeout")
    assert sweep.stats.stray == 2


def test_a_second_copy_of_an_answer_is_counted_and_ignored(sweeper: Sweeper) -> None:
    with agent(lambda request: [good(request)] * 2) as port, agent(lambda _: []) as mute:
        sweep = sweeper.sweep([target(port), target(mute, 2)])
    assert isinstance(sweep.outcomes[ME], Reading)
    assert sweep.stats.stray == 1


def test_a_changed_profile_is_not_read_with_what_was_learnt_of_the_old_one(sweeper: Sweeper) -> None:
    """The agent goes on answering the old question; that is no answer to the new one."""
    old = Target(ME, "127.0.0.1", 0, Community(b"loa"), PROFILE)

    def stubborn(request: bytes) -> list[bytes]:
        question = replace(read_get(request), oids=(UPTIME, CELL))
        head, tail = response(question, [number(1, 0x43), text("7")])
        return [head + question.request_id + tail]

    with agent(stubborn) as port:
        assert isinstance(sweeper.sweep([replace(old, port=port)]).outcomes[ME], Reading)
        narrower = replace(PROFILE, columns=PROFILE.columns[:1])
        sweep = sweeper.sweep([replace(old, port=port, profile=narrower)])
    assert sweep.outcomes[ME] == Refusal("bindings: more than 1 bindings")


def test_a_cancelled_sweep_ends_without_outcomes(sweeper: Sweeper) -> None:
    with agent(lambda _: []) as port:
        assert dict(sweeper.sweep([target(port)], lambda: True).outcomes) == {}


def test_two_targets_at_one_address_are_a_programming_error(sweeper: Sweeper) -> None:
    with pytest.raises(ValueError, match="share an address"):
        sweeper.sweep([target(1), target(1, 2)])


def test_replies_the_kernel_drops_are_counted() -> None:
    """While the sweep does not read, more comes than the smallest buffer holds."""
    small = Sweeper("127.0.0.1", timeout=0.3, retries=0, buffer=1)
    flood = iter([True])

    def drown() -> bool:
        if next(flood, False):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
                for _ in range(50):
                    source.sendto(bytes(400), small.address)
        return False

    with agent(lambda _: []) as port:
        sweep = small.sweep([target(port)], drown)
    assert sweep.stats.granted == small.granted < 10_000
    assert sweep.stats.dropped + sweep.stats.stray == 50
    assert sweep.stats.dropped > 40
    small.close()


def test_a_community_is_never_printed() -> None:
    assert "loa" not in repr(target(1)).replace("23557", "")
