"""The world of a simulated rig: clock, wiring, cell, noise, chamber."""
