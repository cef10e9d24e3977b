"""A device that somebody else has in his hands answers what he likes: that is its own failure, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from inventory.model import DeviceId
from nms.provision import facts as known
from nms.provision.ansible_words import Told, change_result, facts_of, told, with_ssh
from nms.provision.plan import changes_of
from nms.provision.reach import Target, Unreached
from nms.provision.values import Facts, Family, Kind, Manifest, Outcome, Resource, Result, digest_of
from nms.store import Store

DEVICE = DeviceId("24112-L01")
PLAIN = Resource(Kind.FILE, "/etc/x", "a\n", "root:root 0644")
KEY = Resource(Kind.FILE, "/etc/key", "k", "root:root 0600", secret=True)
MANIFEST = Manifest(DEVICE, Family.LINUX, {one.key: one for one in (PLAIN, KEY)})
TARGET = Target(DEVICE, "127.64.1.1", "root", "ssh-ed25519 AAAA", MANIFEST)
GOOD = digest_of("b\n")
NOW = datetime(2026, 11, 21, tzinfo=UTC)

BROKEN: dict[str, Any] = {
    "nothing": None,
    "no mapping": "facts",
    "found is a list": {"found": ["file:/etc/x"]},
    "a resource is a text": {"found": {"file:/etc/x": "there"}},
    "no digest": {"found": {"file:/etc/x": {"text": "a"}}},
    "a digest that is none": {"found": {"file:/etc/x": {"digest": "z" * 64}}},
    "a digest without end": {"found": {"file:/etc/x": {"digest": "0" * 10_000}}},
    "a kind that is none": {"found": {"door:/etc/x": {"digest": GOOD}}},
    "a kind that was never applied": {"applied": {"door:/etc/x": GOOD}},
    "applied without digests": {"applied": {"file:/etc/x": ["a"]}},
    "applied is a list": {"applied": [1]},
    "host is a list": {"host": [1]},
    "keys without end": {"found": {f"file:/etc/{n}": {"digest": GOOD} for n in range(20_000)}},
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "loa.db") as opened:
        yield opened


def event(answer: object) -> dict[str, Any]:
    result = {"facts": answer, "changed": True}
    return {"event": "runner_on_ok", "host": DEVICE, "task_action": "loa_state", "res": result}


def asked(answer: object) -> Facts | Unreached:
    what = told(event(answer))
    assert what is not None
    return facts_of(TARGET, what, NOW)


def changed(answer: object) -> Result:
    what = told(event(answer))
    assert what is not None
    return change_result(TARGET, what, NOW)


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_what_is_no_answer_is_this_devices_failure(answer: object) -> None:
    found = asked(answer)
    assert isinstance(found, Unreached)
    assert found.problem.code == "PLN326"
    assert (changed(answer).outcome, changed(answer).facts) == (Outcome.APPLIED, None)


@pytest.mark.parametrize("result", [["a"], "a", 7], ids=repr)
@pytest.mark.parametrize("kind", ["runner_on_ok", "runner_on_failed", "runner_on_unreachable"])
def test_an_answer_of_another_form_is_read(kind: str, result: object) -> None:
    what = told({"event": kind, "host": DEVICE, "task_action": "loa_state", "res": result})
    assert what is not None
    assert isinstance(facts_of(TARGET, what, NOW), Unreached)


WORDS = ["\ud800", "a\0b", "\x1b[2J\u202e", "x" * 100_000]


@pytest.mark.parametrize("word", WORDS, ids=["half a character", "zero", "steering", "long"])
def test_odd_words_can_be_kept_and_shown(store: Store, word: str) -> None:
    resource = {"digest": GOOD, "text": word}
    found = asked(
        {"found": {PLAIN.key: resource, KEY.key: resource}, "applied": {}, "host": {"model": word, word: "x"}}
    )
    assert isinstance(found, Facts)
    assert list(changes_of(MANIFEST, found))
    store.write_sync(lambda s: known.write(s, [found], NOW))
    kept = store.read_sync(lambda s: known.read(s, [DEVICE]))[DEVICE].facts
    assert kept is not None
    assert kept.digest == found.digest
    assert all(one.isprintable() and len(one) <= 300 for pair in kept.host.items() for one in pair)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("Host key verification failed.\r\n", "PLN301"),
        ("hub@x: Permission denied (publickey).\r\n", "PLN302"),
        ("", "PLN308"),
    ],
)
def test_ssh_is_heard_although_ansible_only_tells_of_its_own_broken_pipe(said: str, code: str) -> None:
    lost = Told(Outcome.LOST, reason='Data could not be sent to remote host "x": [Errno 32] Broken pipe')
    answer = facts_of(TARGET, with_ssh(lost, said), NOW)
    assert isinstance(answer, Unreached)
    assert answer.problem.code == code


def test_what_ssh_says_of_a_host_that_answered_is_nobodys_failure() -> None:
    answered = Told(Outcome.APPLIED, {"facts": {}})
    assert with_ssh(answered, "Connection closed by remote host") is answered
