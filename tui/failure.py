"""How a hub process says that it cannot run, or not any longer."""

from __future__ import annotations

from inventory.diagnostics import Diagnostic


class StartError(Exception):
    """The hub cannot run; ``diagnostics`` say what to mend."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        super().__init__("; ".join(d.code for d in diagnostics))
        self.diagnostics = diagnostics
