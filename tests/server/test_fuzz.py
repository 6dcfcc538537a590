"""What the API's description says, held against random and malformed requests at both servers; `make fuzz` takes longer."""

from __future__ import annotations

import pytest

from tests.fuzz import malformed, run
from tests.fuzz.world import SERVERS, target

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SECONDS = 15


@pytest.mark.parametrize("server", SERVERS)
def test_no_request_gets_an_answer_that_is_not_described(server, fake, tmp_path):
    with target(server, fake.base_url, tmp_path) as gateway:
        count, faults = malformed.fuzz(gateway)
        assert not faults, "\n".join(faults)
        assert count > 1000
        report = run.fuzz(gateway, SECONDS)
        assert not report.faults, "\n".join(report.lines())
        asked = {label for label, _ in report.asked}
        assert len(asked) == sum(map(len, gateway.document["paths"].values())), "an operation was never asked"
        assert {status // 100 for _, status in report.asked} >= {2, 4}
        assert gateway.session.get(f"{gateway.url}/api/v1/health/ready", timeout=30).json()["status"] == "ok"
