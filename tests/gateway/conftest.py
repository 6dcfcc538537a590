import pytest
import pytest_asyncio

from tests.fakes.provider import FakeProvider
from tests.gateway.kit import Clock, configured


@pytest_asyncio.fixture
async def fake():
    async with FakeProvider() as provider:
        yield provider


@pytest.fixture
def config(tmp_path, fake):
    """A factory: the configuration whose chain is these models of the fake provider."""
    return lambda *models, **tables: configured(tmp_path, fake.base_url, *models, **tables)


@pytest.fixture
def clock():
    return Clock()
