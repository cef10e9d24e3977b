"""What ``loa serve`` is told to do, and what it says when that cannot be."""

from __future__ import annotations

import pytest

from nms.monitor.shards import WHOLE, Shard
from nms.store.ownership import role, shard
from tests.tui.loa_command import Shell
from tui.roles import ALL, Misuse, Role, Work, work


def test_without_anything_it_does_everything() -> None:
    todo = work(None, None)
    assert todo == Work(ALL, WHOLE)
    assert todo.everything
    assert {c.name for c in todo.claims()} == {"shard 1/1", "playout", "socket", "exporter"}


def test_a_part_is_polled_by_itself() -> None:
    todo = work("monitor", "2/4")
    assert todo == Work(frozenset({Role.MONITOR}), Shard(2, 4))
    assert todo.claims() == (shard(2, 4),)
    assert not todo.sees_all


def test_who_does_not_poll_claims_no_part() -> None:
    todo = work("playout, exporter,socket", None)
    assert isinstance(todo, Work)
    assert set(todo.claims()) == {role("playout"), role("exporter"), role("socket")}
    assert not todo.sees_all


@pytest.mark.parametrize(
    ("only", "part", "part_of_message"),
    [
        ("monitr", None, "monitr"),
        ("", None, "no role"),
        ("socket", None, "'socket' needs 'playout'"),
        ("monitor", "5/4", "5/4"),
        ("monitor", "", "no part of the fleet"),
        ("playout", "1/4", "--shard"),
    ],
)
def test_what_makes_no_sense_is_said(only: str, part: str | None, part_of_message: str) -> None:
    found = work(only, part)
    assert isinstance(found, Misuse)
    assert part_of_message in found.message.format_map(found.fields)


def test_a_mistake_in_the_roles_is_a_mistake_of_usage(shell: Shell) -> None:
    answer = shell.loa("--lang", "en", "serve", "--only", "monitor", "--shard", "4/3")
    assert answer.code == 2
    assert "4/3" in answer.err


@pytest.mark.parametrize("arguments", [("--only", "monitor"), ("--shard", "1/4"), ("--only", "exporter")])
def test_a_file_is_for_one_process(shell: Shell, arguments: tuple[str, ...]) -> None:
    answer = shell.loa("serve", *arguments)
    assert answer.code == 1
    assert "STO010" in answer.err
