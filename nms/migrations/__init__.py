"""Alembic migrations of the store, oldest first in ``versions``; applied when the store is opened."""
