"""Motion stopped on the way out of a step that failed or was aborted."""

from __future__ import annotations

from drivers.errors import PicobridgeError
from drivers.interfaces import Manipulator, Stage
from drivers.uninterrupted import to_the_end

from .context import Context


async def halt(context: Context, device: Manipulator | Stage) -> None:
    """Stop it, even while the run is being aborted. That it could not be stopped is noted, and hides no first error."""
    try:
        await to_the_end(device.stop())
    except PicobridgeError as error:
        context.note(f"{device.name} could not be proven at rest: {error}", error=error.to_dict())
