"""What is: device state, events, bulletins, receipts, audit, kept by exactly one process."""

from nms.store.engine import Store
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
    "SimUsageRow",
    "SnmpEngineRow",
    "Store",
    "StoreError",
    "add_once",
    "from_milliseconds",
    "to_milliseconds",
]
