import pytest
import pytest_asyncio

from tests.gateway.kit import Clock, valkey
from tests.stores.backends import KINDS, Backend, server_of
from warp_magics.gateway.stores.memory import MemoryStore
from warp_magics.gateway.stores.valkey import client_of, link


@pytest.fixture(
    scope="module", params=[kind if kind == "memory" else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)
def place(request):
    """A back end's kind and where it is; used by the tests before."""
    with server_of(request.param) as url:
        yield request.param, url


@pytest_asyncio.fixture
async def backend(place, monkeypatch):
    """A back end that is empty, and asked what it does, not how soon: a busy disk holds an embedded server up."""
    monkeypatch.setattr(link, "CALL_SECONDS", 10.0)
    kind, url = place
    if kind == "memory":
        clock = Clock(1_700_000_000.0)
        yield Backend(MemoryStore(clock), clock)
        return
    async with client_of(url) as client:
        await client.flushall()
    store = valkey(url, kind=kind)
    yield Backend(store, None, url)
    await store.aclose()
