"""A raw value as text, and back: ``-71``, ``"Telia"``, ``0x0700000000``, ``OID 1.3.6.1``, nothing for an absent one."""

from __future__ import annotations

import json

from nms.monitor.snmp.asn1 import Value, oid_text, parse_oid


def literal(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return _octets(value)
    return f"OID {oid_text(value)}" if isinstance(value, tuple) else str(value)


def _octets(value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return f"0x{value.hex()}"
    return json.dumps(text, ensure_ascii=False) if text.isprintable() else f"0x{value.hex()}"


def parse_literal(text: str) -> Value:
    """The value that ``literal`` shows so. ValueError for anything else."""
    if not text:
        return None
    if text.startswith("OID "):
        if (oid := parse_oid(text[4:])) is None:
            raise ValueError(text)
        return oid
    if text.startswith("0x"):
        return bytes.fromhex(text[2:])
    return str(json.loads(text)).encode() if text.startswith('"') else int(text)
