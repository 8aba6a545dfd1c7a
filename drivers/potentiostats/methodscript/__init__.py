"""PalmSens MethodSCRIPT instruments."""

from .driver import MethodScript, MethodScriptOptions

__all__ = ["MethodScript", "MethodScriptOptions"]
