import pytest
import pytest_asyncio

from tests.fakes.provider import FakeProvider
from tests.fakes.valkey_server import running_server, server_binaries
from tests.gateway.kit import Clock, configured


@pytest_asyncio.fixture
async def fake():
    async with FakeProvider() as provider:
        yield provider


@pytest.fixture
def config(tmp_path, fake):
    """A factory: the configuration whose chain is these models of the fake provider."""
    return lambda *models, **tables: configured(tmp_path, fake.base_url, *models, **tables)


@pytest.fixture(scope="module")
def server():
    """A Valkey, or what this machine has in its place."""
    servers = server_binaries()
    with running_server(servers.get("valkey") or next(iter(servers.values()))) as running:
        yield running


@pytest.fixture
def here(request):
    """Settings of a store that is this test's own."""
    return {"prefix": request.node.nodeid.rpartition("::")[2]}


@pytest.fixture
def clock():
    return Clock()
