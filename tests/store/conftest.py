"""Databases in files of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.store.database import Database
from bridge.store.migrations import MIGRATIONS, Migration


@asynccontextmanager
async def opened(path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> AsyncIterator[Database]:
    database = Database(path, migrations)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    async with opened(path) as made:
        yield made
