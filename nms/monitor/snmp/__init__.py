"""The SNMP poll engine."""
