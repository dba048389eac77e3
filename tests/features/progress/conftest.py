"""Progress features on a real database."""

import pytest

from csn_rt.db.pool import Database
from tests.features.progress.couch import Couch


@pytest.fixture
def couch(db: Database) -> Couch:
    return Couch(db)


@pytest.fixture
def other_node(db: Database) -> Couch:
    """The same database through another node."""
    return Couch(db)


@pytest.fixture
async def video(couch: Couch) -> str:
    """Ten minutes: started from 18 s on, completed from 9:30 on."""
    return await couch.video()
