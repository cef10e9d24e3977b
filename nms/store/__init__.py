"""What is: device state, events, bulletins, receipts, audit. A SQLite file has one process, PostgreSQL several."""

from nms.store.engine import Store, shared
from nms.store.failure import StoreError
from nms.store.tables import (
    AiringRow,
    AlarmRow,
    ApprovalRow,
    AuditRow,
    Base,
    BulletinRow,
    ContentRow,
    DeviceStateRow,
    EventRow,
    MaintenanceRow,
    NowEntryRow,
    ReceiptRow,
    RepairRow,
    SequenceRow,
    ShardRow,
    SimUsageRow,
    SnmpEngineRow,
    add_once,
)
from nms.store.types import from_milliseconds, to_milliseconds

__all__ = [
    "AiringRow",
    "AlarmRow",
    "ApprovalRow",
    "AuditRow",
    "Base",
    "BulletinRow",
    "ContentRow",
    "DeviceStateRow",
    "EventRow",
    "MaintenanceRow",
    "NowEntryRow",
    "ReceiptRow",
    "RepairRow",
    "SequenceRow",
    "ShardRow",
    "SimUsageRow",
    "SnmpEngineRow",
    "Store",
    "StoreError",
    "add_once",
    "from_milliseconds",
    "shared",
    "to_milliseconds",
]
