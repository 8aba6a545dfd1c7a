"""A sheet of cells as numbers: where they are, what is good, what the bad ones have in common. Pure functions."""
