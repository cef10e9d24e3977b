"""SNMPv3 engines kept in the hub's store, so that a restart costs no discovery."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from inventory.model import DeviceId
from nms.monitor.snmp.peers import Engine, EngineMemory
from nms.store import SnmpEngineRow, Store, StoreError

__all__ = ["Engine", "EngineMemory", "StoreEngines"]

log = logging.getLogger("loa.monitor")


class StoreEngines:
    """The memory in the hub's store; what the store does not take now is offered again after the next sweep."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self) -> Mapping[DeviceId, Engine]:
        rows = self._store.read_sync(lambda s: s.scalars(select(SnmpEngineRow)).all())
        return {DeviceId(r.device): Engine(r.engine_id, r.boots, r.time, r.at) for r in rows}

    def save(self, engines: Mapping[DeviceId, Engine]) -> bool:
        try:
            self._store.write_sync(lambda s: _write(s, engines))
        except StoreError as error:
            log.error("%d SNMP engines wait for the store: %s", len(engines), error)
            return False
        return True


def _write(session: Session, engines: Mapping[DeviceId, Engine]) -> None:
    for device, engine in engines.items():
        row = SnmpEngineRow(
            device=device, engine_id=engine.engine_id, boots=engine.boots, time=engine.time, at=engine.at
        )
        session.merge(row)
