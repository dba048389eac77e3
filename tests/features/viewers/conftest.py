"""Two stages: one whose time passes when a test says so, and one on real Redis in real time."""

import time
from collections.abc import AsyncIterator

import pytest

from csn_rt.bus.leases_memory import MemoryLeases, MemoryLeaseStore
from csn_rt.bus.leases_redis import RedisLeases
from csn_rt.db.pool import Database
from tests.features.viewers.stage import Stage
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(1_800_000_000.0)


@pytest.fixture
def lease_store(clock: Clock) -> MemoryLeaseStore:
    return MemoryLeaseStore(clock=clock)


@pytest.fixture
async def stage(db: Database, lease_store: MemoryLeaseStore, clock: Clock) -> AsyncIterator[Stage]:
    stage = Stage(db, lambda: MemoryLeases(lease_store), clock)
    yield stage
    await stage.close()


@pytest.fixture
async def real_stage(db: Database, redis_url: str) -> AsyncIterator[Stage]:
    stage = Stage(db, lambda: RedisLeases(redis_url), time.monotonic)
    yield stage
    await stage.close()
