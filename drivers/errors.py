"""The one tree of errors that everything in picobridge raises.

Each error says in plain words what happened (`message`), on which device and during which operation, what was sent
and received, and what to do (`hint`). `to_dict` and `from_dict` carry an error over MQTT, so that a client re-raises
the class that the driver raised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar


class PicobridgeError(Exception):
    """Root of the tree. `detail` holds what only some errors have (a code, a position), as JSON values."""

    default_hint: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        device: str = "",
        operation: str = "",
        sent: bytes = b"",
        received: bytes = b"",
        hint: str = "",
        **detail: Any,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.device = device
        self.operation = operation
        self.sent = sent
        self.received = received
        self.hint = hint or self.default_hint
        self.detail = detail

    def annotate(self, *, device: str, operation: str, sent: bytes = b"", received: bytes = b"") -> None:
        """Fill in what a lower level could not know; what is already said stays."""
        self.device = self.device or device
        self.operation = self.operation or operation
        self.sent = self.sent or sent
        self.received = self.received or received

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.device, self.operation) if part)
        text = f"{where}: {self.message}" if where else self.message
        if self.sent or self.received:
            text += f" (sent {_shorten(self.sent)}, received {_shorten(self.received)})"
        return text

    def to_dict(self) -> dict[str, Any]:
        return {
            "error": type(self).__name__,
            "message": self.message,
            "device": self.device,
            "operation": self.operation,
            "sent": self.sent.hex(" "),
            "received": self.received.hex(" "),
            "hint": self.hint,
            "detail": self.detail,
        }

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> PicobridgeError:
        """The same class again; a class that this version does not know becomes a plain `PicobridgeError`.

        Never raises: what cannot be read of an error is left out, so that the rest reaches whoever must know.
        """
        classes = {cls.__name__: cls for cls in _tree(PicobridgeError)}
        cls = classes.get(str(fields.get("error", "")), PicobridgeError)
        error = cls(
            str(fields.get("message", "unknown error")),
            device=str(fields.get("device", "")),
            operation=str(fields.get("operation", "")),
            sent=_bytes(fields.get("sent")),
            received=_bytes(fields.get("received")),
            hint=str(fields.get("hint", "")),
        )
        detail = fields.get("detail")
        error.detail = dict(detail) if isinstance(detail, Mapping) else {}
        return error


def _tree(cls: type[PicobridgeError]) -> Iterator[type[PicobridgeError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _tree(child)


def _bytes(text: object) -> bytes:
    """Out of hexadecimal digits; none if it is no such text."""
    try:
        return bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        return b""


def _shorten(data: bytes, limit: int = 80) -> str:
    return repr(data) if len(data) <= limit else f"{data[:limit]!r} and {len(data) - limit} more bytes"


# --- what the user asked for ---------------------------------------------------------------------------------------


class InvalidValue(PicobridgeError, ValueError):
    """A value is of the wrong kind or out of bounds, and nothing was sent. Names field, value and what is accepted."""


class ConfigurationError(InvalidValue):
    """A configuration file is wrong; the message names file, key, value and what is accepted."""


class Unsupported(PicobridgeError):
    """The device cannot do this. Nothing was sent."""


class Refused(PicobridgeError):
    """The act is possible but was refused, with the reason. Nothing moved and nothing was energised."""


class Busy(Refused):
    """The device or the run is already doing something that excludes this."""


class InterlockViolated(Refused):
    """A rule of safety forbids the act now. `detail["rules"]` lists each rule that does: its inputs as they were seen,
    with their ages, and what would satisfy it."""


class LeaseLost(Refused):
    """Whoever asked does not hold what it controls any more: the lease ran out, was taken over, or is an older one."""

    default_hint = "Acquire the lease again, and look where things are before you go on."


class FaultLatched(Refused):
    """A fault forbids the act until a person has acknowledged it. `detail["faults"]` lists them."""

    default_hint = (
        "Find out why (`picobridge faults`), see that the cause is gone, then acknowledge it (`picobridge "
        "acknowledge`). Nothing restarts by itself."
    )


class AuditFailed(PicobridgeError):
    """The record of an act could not be made durable, so the act was not done. Nothing was sent to the device."""

    default_hint = "Is the disk full, or broken? Stopping and switching off work without the record."


# --- the wire ------------------------------------------------------------------------------------------------------


class LinkError(PicobridgeError):
    """Something is wrong between the host and the device."""


class DeviceLost(LinkError):
    """The wire is gone: unplugged, switched off, connection closed or refused."""

    default_hint = "Check the cable and the power; picobridge reconnects by itself when the device is back."


class PortBusy(LinkError):
    """Another program holds the port."""

    default_hint = "Close the other program that has the port open (lsof and fuser name it)."


class PermissionDenied(LinkError):
    """The operating system does not let us open the port."""

    default_hint = (
        "Install the udev rules with `sudo picobridge install-host`, add the user to the groups picobridge and "
        "dialout, and log in again."
    )


class DeviceTimeout(LinkError, TimeoutError):
    """No complete reply before the deadline. The link re-synchronises before the next exchange."""

    default_hint = "Is the device switched on, and are address and baud rate right?"


class ProtocolError(LinkError):
    """Bytes arrived that are not what the protocol allows here. The link re-synchronises before the next exchange."""

    default_hint = (
        "The link puts itself in step again. If it stays: check cable and baud rate, and whether another program "
        "talks to the device."
    )


class ChecksumError(ProtocolError):
    """A frame's checksum is wrong."""


class OutOfSync(LinkError):
    """Request and reply could not be paired again."""

    default_hint = (
        "Is the baud rate right? Another program may be talking to the device, or it streams by itself; power-cycle it "
        "if this stays."
    )


class WrongDevice(LinkError):
    """A device answered, but not the one that the configuration names. It gets no command."""

    default_hint = "Is the cable in the right instrument? `picobridge discover` shows what is plugged in where."


# --- the device ----------------------------------------------------------------------------------------------------


class DeviceError(PicobridgeError):
    """The device answered with an error of its own; `detail["code"]` is its number, the message its meaning."""

    default_hint = "Nothing was repeated. Put right what the device says, look where it stands, and ask again."


class MoveFailed(PicobridgeError):
    """A move ended elsewhere than at its target; `detail["position"]` is where (None if not known)."""

    default_hint = "Look what is in the way and where the device is before you move it again."


class CellNotOff(PicobridgeError):
    """The cell could not be proven disconnected."""

    default_hint = "Disconnect the cell by hand, now."


class Interrupted(PicobridgeError):
    """Somebody ended it (Ctrl-C, SIGTERM) before it had done what was asked."""

    default_hint = "The source was switched off and motion stopped; look where things are before you go on."


class RunFailed(PicobridgeError):
    """A run ended by a fault; the message says which."""

    default_hint = "What was recorded until then is kept: `picobridge runs` names its folder."


class HealthStop(RunFailed):
    """The health watch ended the run, with the source off; `detail["finding"]` is what it found."""


# --- the bridge ----------------------------------------------------------------------------------------------------


class BridgeUnreachable(PicobridgeError):
    """The broker cannot be reached, or no daemon answers on it."""

    default_hint = "Is `picobridge run` going, and do the broker's address and the prefix agree?"


class RequestExpired(PicobridgeError):
    """A request reached the daemon too late, twice, or retained; it was not executed."""

    default_hint = "Ask again with a new id, an expiry of a few seconds ahead, and without the retain flag."
