"""Modems with a configuration language of their own: one driver for each language, one edge that talks to all."""
