"""What can go wrong with the disk below a spool."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from enum import StrEnum

from drivers.errors import PicobridgeError


class FaultKind(StrEnum):
    """The kinds of which `on_fault` tells."""

    DISK = "disk"
    """Nothing can be written (full, read-only, broken): samples wait in memory, and it is tried again."""
    SYNC = "disk_sync"
    """The disk refused to make something durable. The file was left and what was not durable written into a new one."""
    DAMAGE = "disk_damage"
    """Something that was durable cannot be read any more; it is reported as missing."""
    EXHAUSTED = "spool_exhausted"
    """`max_bytes` or `reserve_bytes` is reached."""
    BLOCK = "spool_block"
    """A block could not be encoded; its samples are a gap. A driver's mistake, not the disk's."""


class SpoolFailed(PicobridgeError):
    """Samples cannot be made durable now. They wait in memory."""

    default_hint = "Is the disk full, read-only or broken? Make room or mount it again: writing goes on by itself."


#: What a person is to do about each kind.
HINTS: Mapping[FaultKind, str] = {
    FaultKind.DISK: SpoolFailed.default_hint,
    FaultKind.SYNC: "What was not durable was written again into another file. Such a disk may fail soon: look at "
    "`journalctl -k`, and replace it.",
    FaultKind.DAMAGE: "Recorders are told which samples are missing; the file is kept. Check the disk.",
    FaultKind.EXHAUSTED: "Make room on the disk, or set [spool] max_gb, or when_full, or have recorders acknowledge.",
    FaultKind.BLOCK: "It is a mistake in a driver, not of the disk: please report it with this text.",
}


def explain(error: OSError) -> str:
    """The operating system's words, and its short name for them."""
    name = errno.errorcode.get(error.errno or 0, "")
    return f"{error.strerror or error}" + (f" ({name})" if name else "")


def is_full(error: OSError) -> bool:
    """Whether there is no room, rather than something broken."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def no_room(error: OSError) -> bool:
    """Whether fewer bytes might have been taken: a full disk, or a limit on the length of files."""
    return is_full(error) or error.errno == errno.EFBIG
