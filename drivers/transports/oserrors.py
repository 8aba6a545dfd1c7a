"""What the operating system says about a port, in picobridge's words: the only place where it is translated."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from ..errors import DeviceLost, InvalidValue, LinkError, PermissionDenied, PortBusy

_BUSY = {errno.EBUSY, errno.EAGAIN}
_DENIED = {errno.EACCES, errno.EPERM}


def explain(error: Exception, name: str, path: str | None = None) -> LinkError | InvalidValue:
    """The picobridge error for an `OSError`, `SerialException`, `termios.error` or `EOFError` about `name`.

    `path` is the device node, if there is one: its holder (for busy) or its owner and mode (for denied) are then named.
    """
    number = error_number(error)
    reason = os.strerror(number) if number else str(error) or type(error).__name__
    if number in _BUSY:
        holder = _holder(path) if path else ""
        return PortBusy(f"{name} is held by {holder or 'another program'} ({reason})")
    if number in _DENIED:
        return PermissionDenied(f"{name} may not be opened: {reason}{_ownership(path) if path else ''}")
    if number in (errno.ENOTTY, errno.EINVAL):
        return InvalidValue(f"{name} is not a serial port that can be set up like this: {reason}")
    if number == errno.ENOENT:
        return DeviceLost(f"{name} is not there: {reason}")
    return DeviceLost(f"{name} is gone: {reason}")


def error_number(error: Exception) -> int | None:
    """errno, also of a `termios.error`, which is no `OSError`, and of a `SerialException` that only wraps one."""
    number = getattr(error, "errno", None)
    if isinstance(number, int):
        return number
    if error.args and isinstance(error.args[0], int):
        return error.args[0]
    return error_number(error.__context__) if isinstance(error.__context__, Exception) else None


def _holder(path: str) -> str:
    """ "pid 1234 (minicom)" for another process that has the device node open, as far as /proc shows it."""
    try:
        wanted = os.stat(path).st_rdev
    except OSError:
        return ""
    own = os.getpid()
    mine = False
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            found = any(_is_device(descriptor, wanted) for descriptor in (process / "fd").iterdir())
            if found and int(process.name) != own:
                return f"pid {process.name} ({(process / 'comm').read_text().strip()})"
            mine = mine or found
        except OSError:
            continue  # the process ended, or belongs to somebody else
    return f"this process (pid {own})" if mine else ""


def _is_device(descriptor: Path, wanted: int) -> bool:
    try:
        status = descriptor.stat()
    except OSError:
        return False
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == wanted


def _ownership(path: str) -> str:
    try:
        status = os.stat(path)
        node = Path(path)
        return f" ({path} belongs to {node.owner()}:{node.group()}, mode {stat.filemode(status.st_mode)})"
    except (OSError, KeyError):
        return ""
