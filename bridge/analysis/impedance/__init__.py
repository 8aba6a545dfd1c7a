"""Spectra: do they hold together, what of them is the cable's, which circuit fits. Pure functions on arrays.

Everywhere `frequency_hz` (n,) and `z_ohm` (n,) complex, in any order, frequencies above zero.
"""
