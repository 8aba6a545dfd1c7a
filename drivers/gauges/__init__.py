"""Vacuum gauges."""

from .pfeiffer_tpg import PfeifferTpg, PfeifferTpgOptions

__all__ = ["PfeifferTpg", "PfeifferTpgOptions"]
