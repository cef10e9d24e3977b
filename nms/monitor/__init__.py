"""Polling, profiles and health."""
