"""What a procedure sees of the daemon: its devices, and someone to tell how far it is."""

from __future__ import annotations

from typing import Any, Protocol

from drivers.interfaces import Device


class Context(Protocol):
    """Handed to a procedure by the daemon; a script or a test can bring its own.

    Devices are the interfaces of `drivers.interfaces`. Blocks that a procedure takes from `Potentiostat.run` are
    published as they pass, so a procedure never publishes. Aborting a run cancels the procedure's task: it cleans up in
    `finally`.
    """

    run: str

    def device(self, role: str) -> Device:
        """The device that plays `role` in this run. Raises `InvalidValue` if the run was started without it."""

    def progress(self, step: str, fraction: float | None = None, **values: Any) -> None:
        """Say which step it is, how far the run is (0 to 1, None if unknown), and numbers worth showing (SI, JSON)."""

    def note(self, text: str, **values: Any) -> None:
        """Say something that a person should read, as an event."""
