"""The open USB thin-film-battery potentiostat: TDstatv3 and MYSTAT."""

from .driver import Tdstat, TdstatOptions

__all__ = ["Tdstat", "TdstatOptions"]
