"""GET metrics: what a Prometheus sees after prompts that were answered, failed, cached and refused."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.provider import Fault, Reply
from tests.server.alone_process import running_alone
from tests.server.conftest import KEY

EVENTS = (Path(__file__).parents[2] / "docs" / "events.md").read_text("utf-8")
CACHE = "[cache]\nenabled = true\n"


def read(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """The samples by name, and by the values of their labels in the labels' order."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sample.labels[name] for name in sorted(sample.labels))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


async def scrape(rest):
    said = await rest("metrics", below="warp/")
    assert said.status == 200
    assert said.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return read(said.body.decode())


async def test_answers_are_counted_with_their_tokens_and_times(rest):
    await rest("prompt", {"prompt": "One", "sessionId": "s", "createSession": True})
    await rest("stream", {"prompt": "Two", "sessionId": "s"})
    told = await scrape(rest)
    assert told["warp_answers_total"] == {("fake:ok", "complete"): 2}
    assert told["warp_attempts_total"] == {("fake:ok", "ok"): 2}
    assert told["warp_answer_seconds_count"] == {("fake:ok",): 2}
    assert told["warp_first_token_seconds_count"] == {("fake:ok",): 2}
    assert 0 < told["warp_first_token_seconds_sum"]["fake:ok",] <= told["warp_answer_seconds_sum"]["fake:ok",]
    usage = (await rest("usage")).json["usage"][0]["usage"]
    tokens = {("input", "fake:ok"): usage["inputTokens"], ("output", "fake:ok"): usage["outputTokens"]}
    assert told["warp_tokens_total"] == tokens
    assert told["warp_live_answers"] == {(): 0}
    assert told["warp_store_reachable"] == {("memory",): 1}
    assert told["warp_degraded"] == {(): 0}


async def test_no_answer_is_told_as_live_that_is_not(rest, fake):
    fake.script("ok", Reply(chunks=["Half ", Fault.CUT]), Reply(chunks=["an answer."]))
    broken = await rest("stream", {"prompt": "One", "sessionId": "s", "createSession": True, "onBreak": "error"})
    assert b"event: error" in broken.body
    (turn,) = (await rest("sessions/s/history")).json["turns"]
    assert (await rest("prompt", {"prompt": "", "continue": turn["turnId"], "sessionId": "s"})).status == 200
    await rest("stream", {"prompt": "Two", "store": False})
    assert (await scrape(rest))["warp_live_answers"] == {(): 0}


async def test_a_model_that_fails_is_counted_and_shown_as_cooling(configure, rest):
    configure("fail-503", "ok")
    await rest("prompt", {"prompt": "One"})
    told = await scrape(rest)
    assert told["warp_attempts_total"] == {("fake:fail-503", "PROVIDER_RESPONSE_ERROR"): 1, ("fake:ok", "ok"): 1}
    assert told["warp_cooldowns_total"] == {("fake:fail-503", "503"): 1}
    assert told["warp_model_state"]["fake:fail-503", "cooling"] == 1
    assert told["warp_model_state"]["fake:fail-503", "ready"] == 0
    assert told["warp_model_state"]["fake:ok", "ready"] == 1
    assert told["warp_model_restore_seconds"]["fake:fail-503",] > 0
    assert told["warp_degraded"] == {(): 1}


async def test_an_answer_that_nobody_began_has_no_model(configure, rest):
    configure("fail-401")
    assert (await rest("prompt", {"prompt": "One"})).status == 502
    told = await scrape(rest)
    assert told["warp_answers_total"] == {("", "failed"): 1}


async def test_limits_and_answers_given_again_are_counted(configure, rest):
    config = configure("ok", "also")
    text = config.read_text().replace("[limits]", CACHE + "[limits]")
    model = '[[model]]\nprovider = "fake"\nmodel = "ok"\nlimits.rate = { max = 1, time_window = "1h" }\n'
    config.write_text(text + model)
    for _ in range(2):
        assert (await rest("prompt", {"prompt": "Same"})).status == 200
    assert (await rest("prompt", {"prompt": "Another"})).json["model"] == "fake:also"
    told = await scrape(rest)
    assert told["warp_cache_hits_total"] == {("fake:ok",): 1}
    assert told["warp_limits_reached_total"] == {("fake:ok",): 1}


async def test_what_callers_name_makes_no_series(rest):
    for name in ("fail-404", "fail-400", "anything"):
        await rest("prompt", {"prompt": "One", "models": [f"fake:{name}"]})
    await rest("nowhere-at-all")
    await rest("prompt", {"prompt": "A secret", "sessionId": "a-session", "createSession": True})
    said = (await rest("metrics", below="warp/")).body.decode()
    models = set(re.findall(r'model="([^"]*)"', said))
    assert models <= {"fake:ok", "other", ""}
    for word in ("anything", "fail-404", "nowhere", "a-session", "secret", "local", KEY):
        assert word not in said


async def test_requests_are_counted_by_route(rest):
    await rest("sessions/never")
    await rest("sessions/never-either")
    await rest("nowhere")
    await rest("prompt", {"prompt": "One"})
    counts = (await scrape(rest))["warp_http_requests_total"]
    assert counts["GET", "api/v1/sessions/{sessionId}", "404"] >= 1
    assert counts["POST", "api/v1/prompt", "200"] == 1
    assert counts["GET", "other", "404"] == 1


async def test_a_stranger_is_told_nothing(rest):
    await rest("prompt", {"prompt": "One"})
    said = await rest("metrics", below="warp/", headers={})
    assert said.status == 403
    assert b"warp_" not in said.body


@pytest.mark.slow
def test_the_gateway_alone_tells_the_same(configure, tmp_path):
    configure("ok")
    with running_alone(tmp_path / "one", {}) as alone, alone.client() as rest:
        assert rest.post("prompt", json={"prompt": "One"}).is_success
        assert rest.get("sessions/never").status_code == 404
        assert httpx.get(f"{alone.url}/metrics").status_code == 401
        assert rest.put("sessions/never").status_code == 405
        assert rest.get(f"{alone.url}/nowhere").status_code == 404
        told = read(rest.get(f"{alone.url}/metrics").text)
    assert told["warp_answers_total"] == {("fake:ok", "complete"): 1}
    assert told["warp_http_requests_total"] == {
        ("POST", "api/v1/prompt", "200"): 1,
        ("GET", "api/v1/sessions/{sessionId}", "404"): 1,
        ("GET", "metrics", "401"): 1,
        ("PUT", "other", "405"): 1,
        ("GET", "other", "404"): 1,
    }


async def test_every_figure_is_in_the_documentation(rest):
    said = (await rest("metrics", below="warp/")).body.decode()
    families = {family.name for family in text_string_to_metric_families(said)}
    described = {name.removesuffix("_total") for name in re.findall(r"^\| `(warp_\w+)`", EVENTS, re.MULTILINE)}
    assert families == described
