"""Every fault of the suite at every door, and how soon a provider knows that nobody waits any more."""

import pytest

from tests.faults import cancel
from tests.faults.cases import CASES
from tests.faults.doors import doors, run, world

pytestmark = [pytest.mark.alone, pytest.mark.slow]


@pytest.fixture(scope="module")
def opened():
    with world() as place, doors(place) as open_doors:
        yield place, open_doors


@pytest.fixture(scope="module", params=["gateway", "REST", "%%warp"])
def rows(request, opened):
    place, open_doors = opened
    (door,) = [door for door in open_doors if door.name == request.param]
    return run(place, door, CASES)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_comes_of_a_fault(rows, case):
    """The whole answer of the right model or a clean error, in time; attempts as counted at the provider."""
    mine = [row for row in rows if row.case is case]
    assert mine
    assert [(row.door, row.dialect, row.wrong) for row in mine if row.wrong] == []


@pytest.mark.parametrize("way", cancel.WAYS)
def test_a_provider_soon_knows_that_nobody_waits(opened, way):
    place, (gateway, _, cell) = opened
    assert cancel.seconds(place, gateway, cell, way) < cancel.WITHIN
