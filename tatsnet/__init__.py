"""Controllable image restoration networks: search, extraction, use."""

__version__ = "0.1.0"
