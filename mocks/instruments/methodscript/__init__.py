"""PalmSens MethodSCRIPT instruments, with an interpreter of the script language of their own."""

from .instrument import MethodScriptMock

__all__ = ["MethodScriptMock"]
