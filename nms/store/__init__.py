"""What is: device state, events, bulletins, receipts, audit, kept by exactly one process."""

from nms.store.engine import Store
from nms.store.failure import StoreError
from nms.store.tables import (
    AiringRow,
    ApprovalRow,
    AuditRow,
    Base,
    BulletinRow,
    ContentRow,
    DeviceStateRow,
    EventRow,
    NowEntryRow,
    ReceiptRow,
    SequenceRow,
    add_once,
)
from nms.store.types import from_milliseconds, to_milliseconds

__all__ = [
    "AiringRow",
    "ApprovalRow",
    "AuditRow",
    "Base",
    "BulletinRow",
    "ContentRow",
    "DeviceStateRow",
    "EventRow",
    "NowEntryRow",
    "ReceiptRow",
    "SequenceRow",
    "Store",
    "StoreError",
    "add_once",
    "from_milliseconds",
    "to_milliseconds",
]
