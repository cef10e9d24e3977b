"""The hub's socket with the real client and with clients that do not keep to the protocol."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import tui.hub
from inventory.diagnostics import Diagnostic, Place
from inventory.model import Network, Person, PersonId, Role, Tier, Unit, UnitId, UnitType
from tui.gateway import HubError, SocketGateway, ask
from tui.hub import Caller, Handler, HubSocket, Refusal, refuse
from tui.methods import MAX_LINE, PROTOCOL, Method, Nothing, Problem

ME = pwd.getpwuid(os.getuid()).pw_name


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    times: int = 1


@dataclass(frozen=True, slots=True)
class Who:
    user: str
    person: str


ECHO = Method("echo", Word, Word)
WHO = Method("who", Nothing, Who)
ACT = Method("act", Nothing, Nothing)
REFUSE = Method("refuse", Nothing, Nothing)
CRASH = Method("crash", Nothing, Nothing)
COUNT = Method("count", Word, Word, stream=True)
MEET = Method("meet", Nothing, Nothing)
GONE = Method("gone", Nothing, Nothing)


@dataclass
class Service:
    """Small handlers; ``ended`` tells that a stream's own end ran."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)
    meeting: asyncio.Barrier = field(default_factory=lambda: asyncio.Barrier(2))

    async def echo(self, caller: Caller, word: Word) -> Word:
        return word

    async def who(self, caller: Caller, _: Nothing) -> Who:
        return Who(caller.user, caller.person.name if caller.person else "")

    async def act(self, caller: Caller, _: Nothing) -> Nothing:
        caller.known()
        return Nothing()

    async def refuse(self, caller: Caller, _: Nothing) -> Nothing:
        place = Place("people.yaml", 3, 7)
        raise refuse(
            (
                Diagnostic("BUL021", place, "the author of '{unit}'", "ask {boss}", {"unit": "Ia Pa", "boss": "Lê"}),
                Diagnostic("BUL004", Place("units.yaml"), "outside"),
            )
        )

    async def crash(self, caller: Caller, _: Nothing) -> Nothing:
        raise RuntimeError("a secret of the inside")

    async def meet(self, caller: Caller, _: Nothing) -> Nothing:
        await self.meeting.wait()
        return Nothing()

    async def count(self, caller: Caller, word: Word) -> AsyncIterator[Word]:
        number = 0
        try:
            while True:
                if number == word.times:
                    raise Refusal(Problem("BUL001", "enough", "", {}))
                number += 1
                yield Word(word.text, number)
                await asyncio.sleep(0)
        finally:
            self.ended.set()

    def handlers(self) -> Mapping[str, Handler]:
        table = (
            Handler(ECHO, answer=self.echo),
            Handler(WHO, answer=self.who),
            Handler(ACT, answer=self.act),
            Handler(REFUSE, answer=self.refuse),
            Handler(CRASH, answer=self.crash),
            Handler(MEET, answer=self.meet),
            Handler(COUNT, stream=self.count),
        )
        return {handler.method.name: handler for handler in table}


def network() -> Network:
    province = Unit(UnitId("64"), "64", "Tỉnh Gia Lai", Tier.PROVINCE, UnitType.PROVINCE, None)
    people = (
        Person(PersonId("an"), "Nguyễn An", "an", (Role.EDITOR,), province.id),
        Person(PersonId("me"), "Chính tôi", ME, (Role.OPERATOR,), province.id),
    )
    return Network(
        province.id,
        "Gia Lai",
        date(2024, 10, 1),
        "127",
        {province.id: province},
        {},
        {},
        {},
        people={p.id: p for p in people},
    )


@dataclass
class Hub:
    path: Path
    service: Service

    def gateway(self, claim: str = "") -> SocketGateway:
        return SocketGateway(self.path, claim)

    @asynccontextmanager
    async def raw(self, greet: bool = True) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_unix_connection(str(self.path), limit=MAX_LINE)
        try:
            if greet:
                assert json.loads(await reader.readline()) == {"loa": PROTOCOL}
                writer.write(json.dumps({"loa": PROTOCOL}).encode() + b"\n")
            yield reader, writer
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


def ready(path: Path) -> bool:
    return path.exists() and stat.S_IMODE(path.stat().st_mode) == 0o660


@asynccontextmanager
async def serving(path: Path, inventory: Callable[[], Network]) -> AsyncIterator[Hub]:
    """A running hub; it is ready when its socket has the mode that it is given last."""
    service = Service()
    running = asyncio.create_task(HubSocket(path, service.handlers(), inventory).run())
    while not ready(path):
        assert not running.done()
        await asyncio.sleep(0)
    try:
        yield Hub(path, service)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    province = network()
    async with serving(tmp_path / "state" / "hub.sock", lambda: province) as running:
        yield running


def codes(error: HubError) -> list[str]:
    return [problem.code for problem in error.problems]


async def refused(question: Awaitable[Any]) -> HubError:
    with pytest.raises(HubError) as caught:
        await question
    return caught.value


async def test_a_question_and_its_answer_come_through_whole(hub: Hub) -> None:
    word = Word('Làng Mơ Năng 2\n"khẩn cấp" \\ 🔊', 3)
    assert await hub.gateway().ask(ECHO, word) == word


async def test_a_program_that_is_not_asynchronous_asks_too(hub: Hub) -> None:
    assert await asyncio.to_thread(ask, hub.gateway(), ECHO, Word("a")) == Word("a")


async def test_only_owner_and_group_may_open_the_socket(hub: Hub) -> None:
    mode = hub.path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


async def test_a_socket_left_by_a_killed_hub_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    for _ in range(2):
        async with serving(path, network) as hub:
            assert await hub.gateway().ask(ECHO, Word("here")) == Word("here")
        assert path.exists(), "the file stays behind, as that of a killed hub does"
        path.chmod(0o600)


async def test_both_sides_greet_with_the_version(hub: Hub) -> None:
    async with hub.raw(greet=False) as (reader, writer):
        assert json.loads(await reader.readline()) == {"loa": PROTOCOL}
        writer.write(b'{"loa": 2}\n{"id": 1, "method": "echo", "params": {"text": "a", "times": 1}}\n')
        assert await reader.read() == b"", "a client of another version gets no answer"


@asynccontextmanager
async def something_else(path: Path, says: bytes) -> AsyncIterator[SocketGateway]:
    """A server that is not a hub: it says its sentence, listens to one question and goes."""
    served = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        await reader.readline()
        await reader.readline()
        writer.close()
        await writer.wait_closed()
        served.set()

    async with await asyncio.start_unix_server(serve, str(path)):
        yield SocketGateway(path)
        await asyncio.wait_for(served.wait(), 60)


ODD_HUBS: Mapping[str, tuple[bytes, str]] = {
    "silent": (b"", "CFG103"),
    "greets and goes": (b'{"loa": 1}\n', "CFG103"),
    "half an answer": (b'{"loa": 1}\n{"id": 1, "resu', "CFG103"),
    "another version": (b'{"loa": 99}\n', "CFG102"),
    "no JSON": (b"SSH-2.0-OpenSSH_9.2\n", "CFG102"),
    "no object": (b'{"loa": 1}\n[1]\n', "CFG102"),
    "no result": (b'{"loa": 1}\n{"id": 1}\n', "CFG102"),
    "an error of another form": (b'{"loa": 1}\n{"id": 1, "error": "no"}\n', "CFG102"),
    "an answer of another form": (b'{"loa": 1}\n{"id": 1, "result": {"new": 1}}\n', "CFG102"),
}


@pytest.mark.parametrize("kind", ODD_HUBS)
async def test_whatever_answers_the_client_says_so_with_a_code(tmp_path: Path, kind: str) -> None:
    says, code = ODD_HUBS[kind]
    async with something_else(tmp_path / "s", says) as gateway:
        assert codes(await refused(gateway.ask(ECHO, Word("a")))) == [code]


async def test_no_hub_is_cfg101_with_the_way_to_start_one(tmp_path: Path) -> None:
    missing = tmp_path / "hub.sock"
    left = tmp_path / "left.sock"
    server = await asyncio.start_unix_server(lambda r, w: None, str(left))
    server.close()
    await server.wait_closed()
    plain = tmp_path / "plain"
    plain.write_text("")
    for path in (missing, left, plain):
        error = await refused(SocketGateway(path).ask(ECHO, Word("a")))
        (problem,) = error.problems
        assert problem.code == "CFG101"
        assert str(path) in problem.message.format_map(problem.fields)
        assert "loa serve" in problem.fix


async def test_an_unknown_method_is_refused_and_the_connection_goes_on(hub: Hub) -> None:
    assert codes(await refused(hub.gateway().ask(GONE, Nothing()))) == ["CFG102"]
    async with hub.raw() as (reader, writer):
        writer.write(b'{"id": 7, "method": "gone", "params": {}}\n')
        writer.write(b'{"id": 8, "method": "echo", "params": {"text": "still here", "times": 1}}\n')
        first, second = json.loads(await reader.readline()), json.loads(await reader.readline())
    assert (first["id"], first["error"][0]["code"]) == (7, "CFG102")
    assert second == {"id": 8, "result": {"text": "still here", "times": 1}}


@pytest.mark.parametrize(
    "params",
    ["{}", '{"text": "a"}', '{"text": "a", "times": "1"}', '{"text": "a", "times": 1, "new": 0}', "[]", "null", "5"],
)
async def test_parameters_that_do_not_fit_are_refused_and_the_connection_goes_on(hub: Hub, params: str) -> None:
    async with hub.raw() as (reader, writer):
        writer.write(f'{{"id": 1, "method": "echo", "params": {params}}}\n'.encode())
        answer = json.loads(await reader.readline())
        (problem,) = answer["error"]
        assert (answer["id"], problem["code"]) == (1, "CFG102")
        assert problem["message"].format_map(problem["fields"])
        writer.write(b'{"id": 2, "method": "echo", "params": {"text": "a", "times": 1}}\n')
        assert "result" in json.loads(await reader.readline())


async def test_a_refusal_arrives_with_code_message_fix_and_place(hub: Hub) -> None:
    first, second = (await refused(hub.gateway().ask(REFUSE, Nothing()))).problems
    assert first == Problem(
        "BUL021", "the author of '{unit}'", "ask {boss}", {"unit": "Ia Pa", "boss": "Lê"}, "people.yaml:3:7"
    )
    assert (second.code, second.place) == ("BUL004", "units.yaml")


async def test_a_handler_that_fails_is_cfg105_tells_no_secrets_and_the_connection_goes_on(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    async with hub.raw() as (reader, writer):
        writer.write(b'{"id": 1, "method": "crash", "params": {}}\n')
        line = await reader.readline()
        assert [p["code"] for p in json.loads(line)["error"]] == ["CFG105"]
        assert b"secret" not in line
        writer.write(b'{"id": 2, "method": "echo", "params": {"text": "a", "times": 1}}\n')
        assert json.loads(await reader.readline())["id"] == 2
    assert "a secret of the inside" in caplog.text, "the hub's log has the traceback"


async def test_a_stream_gives_results_until_the_client_has_enough(hub: Hub) -> None:
    seen = []
    async with aclosing(hub.gateway().watch(COUNT, Word("tick", -1))) as news:
        async for word in news:
            seen.append(word.times)
            if len(seen) == 5:
                break
    assert seen == [1, 2, 3, 4, 5]
    await asyncio.wait_for(hub.service.ended.wait(), 60)


async def test_a_stream_that_is_refused_on_the_way_ends_with_the_reason(hub: Hub) -> None:
    news = hub.gateway().watch(COUNT, Word("tick", 3))
    assert [(await anext(news)).times for _ in range(3)] == [1, 2, 3]
    assert codes(await refused(anext(news))) == ["BUL001"]


async def test_a_client_that_hangs_up_in_mid_stream_ends_the_handler_and_hurts_nobody(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    async with hub.raw() as (reader, writer):
        writer.write(b'{"id": 1, "method": "count", "params": {"text": "x", "times": -1}}\n')
        await reader.readline()
        writer.transport.abort()
    await asyncio.wait_for(hub.service.ended.wait(), 60)
    assert await hub.gateway().ask(ECHO, Word("a")) == Word("a")
    assert not caplog.records


@pytest.mark.parametrize(
    "garbage",
    [
        b"hello\n",
        b"\xff\xfe\x00\n",
        b"{" * 100_000 + b"\n",
        b"[" * 100_000 + b"\n",
        b'{"id": 1, "method": \n',
        b"\n" * 5,
        b"half a line",
    ],
    ids=["text", "binary", "braces", "brackets", "half", "empty", "no end"],
)
async def test_garbage_ends_its_own_connection_only(hub: Hub, garbage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with hub.raw() as (reader, writer):
        writer.write(garbage)
        writer.write_eof()
        lines = (await reader.read()).splitlines()
    assert all("error" in json.loads(line) for line in lines)
    assert await hub.gateway().ask(ECHO, Word("a")) == Word("a")
    assert not caplog.records, "nothing that somebody else sends fills the hub's log"


async def test_garbage_instead_of_a_greeting_ends_the_connection(hub: Hub) -> None:
    for garbage in (b"GET / HTTP/1.1\r\n", b"[1]\n", b"\n", b"[" * 100_000 + b"\n"):
        async with hub.raw(greet=False) as (reader, writer):
            await reader.readline()
            writer.write(garbage)
            assert await reader.read() == b""
    assert await hub.gateway().ask(ECHO, Word("a")) == Word("a")


async def test_a_line_of_ten_megabytes_comes_through(hub: Hub) -> None:
    word = Word("loa " * 2_500_000)
    assert await hub.gateway().ask(ECHO, word) == word


async def test_a_line_longer_than_agreed_ends_the_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tui.hub, "MAX_LINE", 1000)
    async with serving(tmp_path / "hub.sock", network) as hub:
        assert codes(await refused(hub.gateway().ask(ECHO, Word("x" * 100_000)))) == ["CFG103"]
        assert await hub.gateway().ask(ECHO, Word("x")) == Word("x")


async def test_two_clients_are_served_at_once(hub: Hub) -> None:
    """Neither would get its answer if the hub took one question after the other."""
    first, second = hub.gateway(), hub.gateway()
    answers = asyncio.gather(first.ask(MEET, Nothing()), second.ask(MEET, Nothing()))
    assert tuple(await asyncio.wait_for(answers, 60)) == (Nothing(), Nothing())


async def test_a_client_that_says_nothing_holds_up_nobody(hub: Hub) -> None:
    async with hub.raw(greet=False):
        assert await hub.gateway().ask(ECHO, Word("a")) == Word("a")


async def test_the_asker_is_the_account_at_the_other_end(hub: Hub) -> None:
    assert await hub.gateway().ask(WHO, Nothing()) == Who(ME, "Chính tôi")
    assert await hub.gateway().ask(ACT, Nothing()) == Nothing()


async def test_the_hubs_own_user_may_act_as_somebody_else(hub: Hub) -> None:
    assert await hub.gateway("an").ask(WHO, Nothing()) == Who("an", "Nguyễn An")


async def test_root_may_act_as_somebody_else(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tui.hub, "_peer_uid", lambda writer: 0)
    assert await hub.gateway("an").ask(WHO, Nothing()) == Who("an", "Nguyễn An")


async def test_a_strangers_claim_is_refused(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = pwd.getpwnam("nobody")
    monkeypatch.setattr(tui.hub, "_peer_uid", lambda writer: nobody.pw_uid)
    error = await refused(hub.gateway("an").ask(WHO, Nothing()))
    (problem,) = error.problems
    assert problem.code == "CFG106"
    assert problem.fields == {"user": "nobody", "claim": "an"}
    assert await hub.gateway("nobody").ask(WHO, Nothing()) == Who("nobody", ""), "one may claim to be oneself"


async def test_reading_is_free_but_acting_needs_a_person(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tui.hub, "_peer_uid", lambda writer: 4_000_000)
    assert await hub.gateway().ask(WHO, Nothing()) == Who("4000000", "")
    (problem,) = (await refused(hub.gateway().ask(ACT, Nothing()))).problems
    assert (problem.code, problem.fields) == ("CFG104", {"user": "4000000"})


async def test_a_reloaded_inventory_counts_at_once(tmp_path: Path) -> None:
    current = replace(network(), people={})
    async with serving(tmp_path / "hub.sock", lambda: current) as hub:
        assert (await hub.gateway().ask(WHO, Nothing())).person == ""
        current = network()
        assert (await hub.gateway().ask(WHO, Nothing())).person == "Chính tôi"
