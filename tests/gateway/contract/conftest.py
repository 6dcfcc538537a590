import pytest
import pytest_asyncio

from tests.fakes.provider import FakeProvider
from tests.gateway.contract.world import KINDS, new_id, world


@pytest.fixture(scope="module")
def lab():
    with FakeProvider.in_thread() as provider:
        yield provider


@pytest.fixture(
    scope="module",
    params=[kind if kind == "local-memory" else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS],
)
def there(request, lab, tmp_path_factory):
    """Where the gateway is; its servers are started once for a module's tests."""
    with world(request.param, lab, tmp_path_factory.mktemp(request.param)) as found:
        yield found


@pytest_asyncio.fixture
async def gateway(there):
    """A gateway of the kind, on this test's loop."""
    opened = there.open()
    try:
        yield opened
    finally:
        await opened.aclose()


@pytest.fixture
def sid():
    """The id of a session that no other test has."""
    return new_id()
