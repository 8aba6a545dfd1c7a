"""Microscope stages."""

from .remcon_options import ZeissRemconOptions
from .zeiss_remcon import ZeissRemcon

__all__ = ["ZeissRemcon", "ZeissRemconOptions"]
