"""In which order a chain's models are asked: the pure orders, and what is seen of them through the gateway."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.provider import Reply
from tests.fakes.valkey_server import server_binaries
from tests.gateway.kit import KEY, instances, opened, route, until
from warp_magics.gateway.errors import RequestRefused
from warp_magics.gateway.routing import by_cost, by_latency, expected, rotated
from warp_magics.gateway.types import ChatRequest as Ask
from warp_magics.gateway.types import Model, Pace

BINARY = next(iter(server_binaries().values()), None)
HI = Ask("hi", store=False)
HALF_LIFE = 300.0
A, B, C = (Model("lab", name) for name in "abc")

chains = st.lists(
    st.builds(Model, st.just("lab"), st.text("abcdefghij", min_size=1, max_size=2)), min_size=1, unique=True
)
seconds = st.floats(0, 1e6)
paces = st.builds(Pace, seconds, st.floats(0, 3600))


def some(chain, values):
    """Values of some of the models."""
    return st.dictionaries(st.sampled_from(chain), values)


def strategy(name, **more):
    return {"routing": {"strategy": name}, **more}


# -- the orders ------------------------------------------------------------------------------------


@given(st.data(), chains)
def test_an_order_is_the_whole_chain_and_nothing_else(data, chain):
    orders = (
        by_cost(chain, data.draw(some(chain, seconds))),
        by_latency(chain, data.draw(some(chain, paces))),
        rotated(chain, data.draw(st.integers(0, 10**9))),
    )
    before = list(chain)
    for order in orders:
        assert sorted(order, key=str) == sorted(chain, key=str)
    assert chain == before


@given(st.data(), chains)
def test_what_costs_nobody_knows_what_comes_last_in_its_old_order(data, chain):
    costs = data.draw(some(chain, seconds))
    order = by_cost(chain, costs)
    assert order[len(costs) :] == [model for model in chain if model not in costs]
    told = [costs[model] for model in order[: len(costs)]]
    assert told == sorted(told)


@given(chains)
def test_what_costs_the_same_keeps_its_order(chain):
    assert by_cost(chain, dict.fromkeys(chain, 0.5)) == by_cost(chain, {}) == chain


def test_what_costs_nothing_is_cheaper_than_what_nobody_knows():
    assert by_cost([A, B, C], {B: 0.0, C: 1.0}) == [B, C, A]


@given(st.data(), chains)
def test_who_was_not_measured_comes_first_and_the_others_by_what_is_expected(data, chain):
    measured = data.draw(some(chain, st.builds(Pace, st.floats(0.001, 1e6), st.floats(0, 3600))))
    order = by_latency(chain, measured)
    new = len(chain) - len(measured)
    assert order[:new] == [model for model in chain if model not in measured]
    waits = [expected(measured[model]) for model in order[new:]]
    assert waits == sorted(waits)


@given(paces)
def test_a_measurement_loses_half_its_weight_in_a_half_life(pace):
    older = Pace(pace.first_token, pace.age + HALF_LIFE)
    assert expected(older) == pytest.approx(expected(pace) / 2)
    assert expected(Pace(pace.first_token, 0)) == pace.first_token


def test_a_slow_one_comes_back_after_some_half_lives():
    def order(age):
        return by_latency([A, B], {A: Pace(8.0, age), B: Pace(1.5, 0.0)})

    assert [order(times * HALF_LIFE)[0] for times in (0, 1, 2, 3, 4)] == [B, B, B, A, A]


@given(chains, st.integers(0, 10**6), st.integers(1, 5))
def test_in_turn_each_is_the_first_equally_often_and_the_rest_follow_in_order(chain, begin, rounds):
    orders = [rotated(chain, turn) for turn in range(begin, begin + rounds * len(chain))]
    firsts = [order[0] for order in orders]
    assert {model: firsts.count(model) for model in chain} == dict.fromkeys(chain, rounds)
    for order in orders:
        at = chain.index(order[0])
        assert order == chain[at:] + chain[:at]


# -- through the gateway ---------------------------------------------------------------------------


async def priced(gateway, *models):
    """Wait until the prices of these are there."""

    async def known():
        return {state.model for state in await gateway.models() if state.price} >= set(models)

    await until(known, within=60)


@pytest.mark.asyncio
async def test_as_written_is_what_is_asked_where_nothing_is_said(fake, config):
    async with opened(config("a", "b")) as gateway:
        answers = [await gateway.ask(HI) for _ in range(4)]
    assert {answer.model for answer in answers} == {"lab:a"}


@pytest.mark.asyncio
async def test_the_cheapest_is_asked_first_and_one_without_a_price_last(fake, config):
    dear, cheap = "openai:gpt-4o", "openai:gpt-4o-mini"
    rows = {"openai": {"base_url": fake.base_url, "api_key": KEY}}
    async with opened(config("a", dear, cheap, **strategy("cost", providers=rows))) as gateway:
        await priced(gateway, dear, cheap)
        answers = [await gateway.ask(HI)]
        fake.script("gpt-4o-mini", Reply.failing(503))
        answers.append(await gateway.ask(HI))
        fake.script("gpt-4o", Reply.failing(503))
        answers.append(await gateway.ask(HI))
    failed = "PROVIDER_RESPONSE_ERROR"
    assert [route(answer.route) for answer in answers] == [
        [(cheap, "ok")],
        [(cheap, failed), (dear, "ok")],
        [(cheap, "cooling"), (dear, failed), ("a", "ok")],
    ]


@pytest.mark.asyncio
async def test_the_cheapest_of_those_a_prompt_names_is_asked(fake, config):
    dear, cheap = "openai:gpt-4o", "openai:gpt-4o-mini"
    rows = {"openai": {"base_url": fake.base_url, "api_key": KEY}}
    async with opened(config("a", **strategy("cost", providers=rows))) as gateway:

        async def cheapest():
            return (await gateway.ask(Ask("hi", store=False, models=(dear, cheap)))).model == cheap

        await until(cheapest, within=60)
        assert (await gateway.ask(HI)).model == "lab:a"


@pytest.mark.asyncio
async def test_models_without_prices_are_asked_as_written(fake, config):
    async with opened(config("b", "a", **strategy("cost"))) as gateway:
        assert (await gateway.ask(HI)).model == "lab:b"


def opening(fake, clock, **models):
    """Models whose first word comes after so many seconds."""

    def after(wait):
        def reply(_):
            clock.now += wait
            return Reply()

        return reply

    for model, wait in models.items():
        fake.script(model, after(wait))


@pytest.mark.asyncio
async def test_once_each_was_measured_the_quick_one_is_asked(fake, config, clock):
    opening(fake, clock, a=8.0, b=1.0, c=3.0)
    async with opened(config("a", "b", "c", **strategy("latency")), clock=clock) as gateway:
        asked = [(await gateway.ask(HI)).model for _ in range(6)]
        assert asked == ["lab:a", "lab:b", "lab:c", "lab:b", "lab:b", "lab:b"]
        fake.script("b", Reply.failing(503))
        answer = await gateway.ask(HI)
    assert route(answer.route) == [("b", "PROVIDER_RESPONSE_ERROR"), ("c", "ok")]


@pytest.mark.asyncio
async def test_a_slow_one_is_tried_again_one_day_and_kept_when_it_has_become_quick(fake, config, clock):
    opening(fake, clock, a=8.0, b=1.0)
    async with opened(config("a", "b", **strategy("latency")), clock=clock) as gateway:

        async def asked():
            clock.now += HALF_LIFE / 5
            return (await gateway.ask(HI)).model

        assert [await asked() for _ in range(4)] == ["lab:a", "lab:b", "lab:b", "lab:b"]
        opening(fake, clock, a=0.1, b=1.0)
        later = [await asked() for _ in range(40)]
    first = later.index("lab:a")
    assert first > 2
    assert "lab:a" in later[first + 1 :]


@pytest.mark.asyncio
async def test_a_prompt_that_failed_is_no_measurement(fake, config, clock):
    opening(fake, clock, b=5.0)
    fake.script("a", Reply.failing(400))
    async with opened(config("a", "b", **strategy("latency")), clock=clock) as gateway:
        for _ in range(2):
            with pytest.raises(RequestRefused):
                await gateway.ask(HI)
        opening(fake, clock, a=1.0)
        asked = [(await gateway.ask(HI)).model for _ in range(3)]
    assert asked == ["lab:a", "lab:b", "lab:a"]


@pytest.mark.asyncio
async def test_each_is_asked_in_turn(fake, config):
    async with opened(config("a", "b", "c", **strategy("round_robin"))) as gateway:
        asked = [(await gateway.ask(HI)).model.removeprefix("lab:") for _ in range(6)]
        fake.script("b", Reply.failing(503))
        answers = [await gateway.ask(HI) for _ in range(3)]
    assert asked == ["a", "b", "c", "a", "b", "c"]
    assert [route(answer.route)[-1][0] for answer in answers] == ["a", "c", "c"]


@pytest.mark.asyncio
async def test_each_chain_has_a_turn_of_its_own(fake, config):
    async with opened(config("a", "b", **strategy("round_robin"))) as gateway:
        other = Ask("hi", store=False, models=("lab:b", "lab:a"))
        asked = [(await gateway.ask(one)).model[-1] for one in (HI, other, HI, other)]
        alone = [(await gateway.ask(Ask("hi", store=False, models=("lab:b",)))).model for _ in range(2)]
    assert asked == ["a", "b", "b", "a"]
    assert alone == ["lab:b"] * 2


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.skipif(BINARY is None, reason="this machine has no server to start")
async def test_instances_take_turns_together(fake, config, server, here):
    async with instances(config("a", "b", "c", **strategy("round_robin")), server.url, **here) as gateways:
        for n in range(6):
            await gateways[n % 2].ask(HI)
        assert [call.model for call in fake.requests] == ["a", "b", "c", "a", "b", "c"]
        await asyncio.gather(*(gateway.ask(HI) for gateway in gateways for _ in range(12)))
    assert [len(fake.calls(model)) for model in "abc"] == [10, 10, 10]


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.skipif(BINARY is None, reason="this machine has no server to start")
async def test_what_one_instance_measured_the_other_knows(fake, config, server, here):
    fake.script("a", Reply(opening=[1.0]))
    async with instances(config("a", "b", **strategy("latency")), server.url, **here) as (one, other):
        asked = [(await gateway.ask(HI)).model for gateway in (one, other, one, other)]
    assert asked == ["lab:a", "lab:b", "lab:b", "lab:b"]
