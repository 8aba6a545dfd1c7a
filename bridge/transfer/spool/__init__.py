"""A durable spool of sample blocks: segments on disk, from which any range of a stream can be read again.

The loop appends and goes on; a thread puts together what follows each other, writes it and syncs it every
`SpoolOptions.commit_s`. What `Spool.durable` says survives a power cut. See `format` for the files and `recovery` for
what is done with them at a start.
"""

from .catalogue import StreamRange
from .faults import HINTS, FaultKind, SpoolFailed
from .files import Files, OsFiles
from .options import SpoolOptions
from .reader import Stored
from .recovery import Recovery
from .segment import Missing
from .spool import Spool, SpoolMetrics

__all__ = [
    "HINTS",
    "FaultKind",
    "Files",
    "Missing",
    "OsFiles",
    "Recovery",
    "Spool",
    "SpoolFailed",
    "SpoolMetrics",
    "SpoolOptions",
    "Stored",
    "StreamRange",
]
