"""Widgets know values and do no I/O."""
