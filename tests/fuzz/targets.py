"""All targets, by name."""

from __future__ import annotations

from collections.abc import Mapping

from . import files, messages, motion, overview, page, potentiostats, spool, transports
from .target import Target

TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        *potentiostats.TARGETS,
        *motion.TARGETS,
        *transports.TARGETS,
        *messages.TARGETS,
        *page.TARGETS,
        *files.TARGETS,
        *overview.TARGETS,
        *spool.TARGETS,
    )
}
