"""Bindings are written before the language is known; their descriptions are put into it when a screen is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from textual.dom import DOMNode


def translate_bindings(node: DOMNode, translate: Callable[[str], str]) -> None:
    """The footer's words for the keys of an app or screen, in the user's language."""
    bindings: dict[str, Any] = node._bindings.key_to_bindings
    for key, found in bindings.items():
        bindings[key] = [replace(b, description=translate(b.description)) if b.description else b for b in found]
