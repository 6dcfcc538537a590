"""A key that its provider quotes half masked is in no answer of ours, error or history."""

import pytest

from tests.fakes.provider import Reply
from tests.server.conftest import KEY


@pytest.mark.parametrize("masked", [f"{KEY[:8]}********{KEY[-4:]}", "{masked}", "{key}"])
@pytest.mark.parametrize("path", ["prompt", "stream"])
async def test_no_body_holds_the_ends_of_a_masked_key(rest, fake, masked, path):
    fake.script("ok", Reply.failing(401, f"Incorrect API key provided: {masked}. Find yours at x."))
    answers = [await rest(path, {"prompt": "hi", "sessionId": "s1", "createSession": True})]
    answers += [await rest(path) for path in ("sessions/s1/history", "models", "status")]
    told = "".join(answer.whole() for answer in answers)
    assert answers[0].body.count(b"Incorrect API key provided: ***") >= 2  # what is said, and in its details
    assert b"Incorrect API key provided: ***" in answers[1].body
    assert KEY[:8] not in told
    assert KEY[-4:] not in told
