"""What workers tell the screens."""

from __future__ import annotations

from textual.message import Message

from tui.methods import Overview, Problem


class News(Message):
    """A new overview arrived; an older one that waits is dropped."""

    def __init__(self, overview: Overview) -> None:
        super().__init__()
        self.overview = overview

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, News)


class Silence(Message):
    """The hub gave no answer."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__()
        self.problems = problems
