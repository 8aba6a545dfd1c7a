"""The demonstration: the main job on a simulated rig, on real wires, with the embedded broker."""
