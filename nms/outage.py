"""An outage is told when it begins and when it ends, however often what it keeps from working is tried meanwhile."""

from __future__ import annotations

import logging


class Outage:
    """One thing that may stop working, and the log that hears of it."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._failing = False

    @property
    def lasts(self) -> bool:
        return self._failing

    def begun(self, message: str, *values: object) -> None:
        """It does not work: a warning, if it worked before."""
        if not self._failing:
            self._log.warning(message, *values)
        self._failing = True

    def over(self, message: str, *values: object) -> None:
        """It works: said if it did not before."""
        if self._failing:
            self._log.info(message, *values)
        self._failing = False
