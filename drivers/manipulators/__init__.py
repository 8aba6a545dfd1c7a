"""Micromanipulators."""

from .newfocus_axes import Picomotor8742Options
from .picomotor8742 import Picomotor8742

__all__ = ["Picomotor8742", "Picomotor8742Options"]
