"""How a hub is put together, where no other test would notice."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audio import trust
from audio.playout import Playout
from nms.moments import to_milliseconds
from nms.monitor.snmp.usm import Community
from nms.settings import Loaded, Settings, load
from tests.audio.province import EVENING, ON, Clock, Keys
from tui.commands.keys import BUNDLE
from tui.roles import Work
from tui.serve import _assemble

PHRASE = "mật khẩu dài"


def prepared(folder: Path) -> tuple[Settings, Keys]:
    """Everything that a hub needs before it begins."""
    keys = Keys.make(folder / "keys")
    root, trusted = trust.load_key(folder / "keys", trust.ROOT, PHRASE), keys.network.trust
    assert isinstance(root, Ed25519PrivateKey)
    assert trusted is not None
    frames = trust.policies(keys.network, ON, trusted, root, to_milliseconds(EVENING))
    trust.write_bundle(folder / "keys" / BUNDLE, frames)
    flags = {"state_dir": str(folder), "snmp_bind": "127.0.0.1", "snmp_trap_port": "0"}
    loaded = load(flags, {"HOME": str(folder)}, uid=1000, system=folder / "none")
    assert isinstance(loaded, Loaded), loaded
    return loaded.settings, keys


async def test_a_hub_whose_clock_has_jumped_tells_its_devices_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, keys = prepared(tmp_path)
    clock = Clock()
    monkeypatch.setattr(Settings, "make_clock", lambda self: clock)
    monkeypatch.setattr("tui.polling.security_of", lambda settings: Community(b"loa"))  # nobody is polled here
    async with AsyncExitStack() as stack:
        hub = _assemble(settings, keys.network, Work(), stack)
        playout = hub.tasks["playout"].__self__  # type: ignore[attr-defined]
        assert isinstance(playout, Playout)
        assert await playout._publisher.time()
        clock.skip(hours=1)
        assert not await playout._publisher.time()
