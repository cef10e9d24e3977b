"""The one way in which a verb changes a file of the inventory; the person commits it."""

from __future__ import annotations

import stat
from collections.abc import Collection, Mapping
from pathlib import Path

from inventory.diagnostics import Place
from inventory.edit import put
from nms.provision.authority import write


def amend(inventory: Path, record: Place, values: Mapping[str, str], remove: Collection[str] = ()) -> Path:
    """Sets and removes these keys of one record; every other character stays, and the file is never half written.

    Raises OSError, and ValueError when the file is no longer the one that was read.
    """
    path = inventory / record.file
    text = put(path.read_bytes().decode(), record, values, remove)
    write(path, text.encode(), stat.S_IMODE(path.stat().st_mode))
    return path
