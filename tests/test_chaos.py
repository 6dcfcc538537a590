"""Half a minute of trouble; `make chaos` is the long run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.run import Plan, run
from tests.fakes.valkey_cluster import BINARY

if TYPE_CHECKING:
    from pathlib import Path

FAULTS = {
    "kill a gateway",
    "kill a primary",
    "freeze a primary shortly",
    "freeze a primary",
    "stop a replica",
}


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.skipif(BINARY is None, reason="there is no Valkey that can be a cluster")
def test_no_conversation_is_harmed_while_gateways_and_stores_are_killed(tmp_path: Path) -> None:
    outcome = run(Plan(seconds=28, conversations=8, rest=1.0, seed=7), tmp_path)
    verdict = outcome.verdict
    assert verdict.clean, verdict.faults
    assert set(outcome.happened) == FAULTS
    fates = {what: count for what, count in verdict.counts.items() if what.startswith(("turns", "answers"))}
    assert fates["turns acknowledged"] > sum(fates.values()) / 2, fates
    assert verdict.counts["streams with several readers"] > 0
    assert verdict.counts["readers cut off"] > 0
    assert not verdict.given_up
