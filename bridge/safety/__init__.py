"""What may move or energise now, who may say so, and what is left of it on paper.

Pure modules: time is handed in as monotonic seconds, inputs by `Observations.see`; no device, no broker, no daemon.
"""
