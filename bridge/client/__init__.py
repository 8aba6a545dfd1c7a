"""The async client: what a script or a notebook imports. It talks MQTT and holds no driver code.

async with connect("mqtt://localhost") as lab:
    print(await lab.stage.position())
    async for block in lab.pstat.stream():
        print(block["voltage_v"])
"""

from .blocks import BlockStream
from .complete import CompleteStream
from .connecting import connect, connect_all
from .lab import Lab
from .labs import Change, Labs
from .past import Past
from .runs import Run
from .shared import SharedStream

__all__ = [
    "BlockStream",
    "Change",
    "CompleteStream",
    "Lab",
    "Labs",
    "Past",
    "Run",
    "SharedStream",
    "connect",
    "connect_all",
]
