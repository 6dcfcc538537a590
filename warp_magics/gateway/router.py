"""Router: many models, one answer. The one loop over models and tries, for streams and whole answers alike."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from . import policy, prompt
from .client import ModelClient, Timeouts
from .course import Course, Diverged, Outlook
from .errors import ContextTooLong, NoModelConfigured, NoModelsAvailable, ProviderError
from .signals import tell
from .types import Conversation, Ended, Started, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from .base import Chances
    from .config import WarpConfig
    from .health import Health
    from .types import ChatRequest, Cooldown, Event, Model, Parameters, Turn

log = logging.getLogger("warp_magics.router")

_OUTLOOK_SECONDS = 0.1  # a session that was waited for longer makes it too old

HOW_TO_CONFIGURE = (
    "No model is configured. Set OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY, or run `jupyter warp init` to write "
    "a warp.toml."
)
SHORTENED = "the older half of the conversation was left out: {model} finds it too long"


@dataclass(frozen=True, slots=True)
class _Asking:
    """Whom to ask next, and with which turns before the prompt; ``last`` where no other is left, ``once`` without retries."""

    model: Model
    turns: Sequence[Turn]
    last: bool
    once: bool = False
    failed_before: bool = False


class Router:
    """See ARCHITECTURE.md: it chooses a model and gets an answer."""

    def __init__(self, config: WarpConfig, client: ModelClient, health: Health, chances: Chances) -> None:
        self._config = config
        self._client = client
        self._health = health
        self._chances = chances
        self._looks: dict[tuple[Model, ...], Outlook] = {}

    def chain(self, request: ChatRequest) -> tuple[Model, ...]:
        """Return the models that may answer, in order; raises UnknownModel, or NoModelConfigured."""
        chain = tuple(self._config.resolve(spec) for spec in request.models) or self._config.chain
        if not chain:
            raise NoModelConfigured(HOW_TO_CONFIGURE)
        return chain

    def look_ahead(self, chain: tuple[Model, ...]) -> Outlook:
        """Ask for the health of ``chain`` while something else is waited for; who comes meanwhile is told the same."""
        outlook = self._looks.get(chain)
        if outlook is None:
            looking = asyncio.ensure_future(self._look_ahead(chain))
            looking.add_done_callback(lambda _: self._looks.pop(chain, None))
            self._looks[chain] = outlook = Outlook(chain, looking, self._chances.clock())
        return outlook

    async def _look_ahead(self, chain: Sequence[Model]) -> Mapping[Model, Cooldown]:
        for _ in range(2):  # behind the session, which is asked for now: who comes first finds out if a store is back
            await asyncio.sleep(0)
        return await self._health.cooling(chain)

    async def answer(
        self, request: ChatRequest, turns: Sequence[Turn], course: Course
    ) -> AsyncGenerator[Sequence[Event], None]:
        """Yield the events of one answer, those that have come together at a time; ``course`` tells how it goes.

        An Ended with text and route is the last.

        Falls back from model to model; one that breaks off in mid-answer is gone on with as ``course.on_break`` says.
        Raises ProviderError or NoModelsAvailable, the route in ``details["route"]``; after a Started that means
        that the answer broke off.
        """
        async with contextlib.aclosing(self._next(request, turns, course)) as askings:
            async for asking in askings:
                asked = self._asked(request, asking, course)
                async with contextlib.aclosing(self._tries(asked, asking, course)) as batches:
                    async for batch in batches:
                        yield batch
                if course.whole:
                    return
        raise _exhausted(course)

    async def first(self, request: ChatRequest, turns: Sequence[Turn]) -> tuple[Conversation, tuple[str, ...]]:
        """Return what the model that would be asked first would be sent, and what its asker would be warned of."""
        order = await self._ordered(self.chain(request), request, turns)
        model = next(iter(policy.candidates(order, await self._health.cooling(order))), order[0])
        course = Course("", 0.0)
        return self._asked(request, _Asking(model, turns, last=True), course), tuple(course.warnings)

    async def _next(self, request: ChatRequest, turns: Sequence[Turn], course: Course) -> AsyncGenerator[_Asking, None]:
        """Yield whom to ask next for as long as nobody has answered: one pass over the chain, then what hope is left."""
        chain = course.outlook.chain if course.outlook else self.chain(request)
        order = await self._ordered(chain, request, turns)
        cooling = await self._cooling(order, course.outlook)
        models = policy.candidates(order, cooling)
        hope = policy.last_hope(order, cooling, models)
        course.pass_over({m: rest for m, rest in cooling.items() if m not in models and (models or m != hope)})
        for model in models:
            if model in cooling and not await self._health.probe(model, course.turn_id):
                course.pass_over({model: replace(cooling[model], probing=True)})
                hope = hope or model
                continue
            try:
                yield _Asking(model, turns, last=model == models[-1], failed_before=model in cooling)
            finally:
                if model in cooling:  # however it went: what it has found out is told by now
                    await self._health.leave(model, course.turn_id)
        if hope is not None and course.broken is None:
            yield _Asking(hope, turns, last=True, failed_before=True)
        if course.broken is not None:
            yield _Asking(course.broken[0], turns, last=True, once=True, failed_before=True)
            return
        too_long = [model for model, error in course.failures if isinstance(error, ContextTooLong)]
        if not too_long:
            return
        model = too_long[-1]
        shorter = prompt.newer_half(turns, course.sent[model], at_least=1 if request.tool_results else 0)
        if shorter is not None:
            course.warnings.append(SHORTENED.format(model=model))
            yield _Asking(model, shorter, last=True, once=True)

    async def _cooling(self, order: Sequence[Model], outlook: Outlook | None) -> Mapping[Model, Cooldown]:
        if outlook is not None and self._chances.clock() - outlook.since < _OUTLOOK_SECONDS:
            return await asyncio.shield(outlook.cooling)  # others wait for it, too
        return await self._health.cooling(order)

    async def _ordered(self, chain: tuple[Model, ...], request: ChatRequest, turns: Sequence[Turn]) -> list[Model]:
        expected = Usage()
        if self._config.routing.strategy == "cost":
            sent = prompt.conversation(request, turns, chain[0], None)
            expected = prompt.expected(sent.tokens, request.parameters.max_tokens, request.form)
        return await self._health.ordered(chain, expected)

    async def _tries(
        self, asked: Conversation, asking: _Asking, course: Course
    ) -> AsyncGenerator[Sequence[Event], None]:
        """Ask one model until it answers or must not be asked again; notes each try in ``course``.

        Raises what ends the whole answer.
        """
        retry, made = self._config.limits.retry, 0
        while True:
            made += 1
            began = self._chances.clock()
            try:
                async with contextlib.aclosing(self._try(asked, asking, course, began)) as batches:
                    async for batch in batches:
                        yield batch
            except Diverged:
                course.diverged(asked.model, self._chances.clock() - began)
                raise _exhausted(course) from None
            except ProviderError as error:
                if course.whole:
                    raise
                most = 0 if asking.once or course.begun else retry.max
                pause = policy.pause_before_retry(error, made, most, retry.interval, self._chances.random())
                await self._failed(asked.model, error, course, began, out=pause is None)
                if course.begun and course.on_break == "error":
                    raise _exhausted(course) from error.__cause__
                policy.explain(error, asked)
                if not error.fall_back:
                    raise _routed(course.broken[1] if course.broken else error, course) from error.__cause__
                if pause is None:
                    return
            else:
                return
            await self._chances.sleep(pause)

    async def _try(
        self, asked: Conversation, asking: _Asking, course: Course, began: float
    ) -> AsyncGenerator[Sequence[Event], None]:
        """Ask one model once. Raises ProviderError, and Diverged where it was to go on with an answer and does not."""
        model, holder = asked.model, course.holder
        expected = prompt.expected(asked.tokens, asked.parameters.max_tokens, asked.form)
        await self._health.admit(model, holder, expected)
        tell(log, "attempt_started", model=model, turn=course.turn_id)
        used, first = Usage(), began
        try:
            async with contextlib.aclosing(self._client.attempt(asked, self._timeouts(last=asking.last))) as batches:
                async for batch in batches:
                    now = self._chances.clock()
                    if isinstance(batch[0], Started):
                        first, used = now, expected
                    told, diverged = course.told(batch, now, began, wants_value=asked.form.schema is not None)
                    if told and isinstance(said := told[-1], Ended):
                        used = said.response.usage if said.response.usage != Usage() else expected
                    if told:
                        yield told  # once it is whole its connection is read out, to serve again
                    if diverged is not None:
                        raise diverged
        except (asyncio.CancelledError, GeneratorExit):
            if not course.whole:
                course.stopped(model, self._chances.clock() - began)
            raise
        finally:
            await self._health.spent(model, holder, used)
        await self._health.answered(model, first - began, failed_before=asking.failed_before)
        tell(log, "attempt_ended", model=model, turn=course.turn_id, seconds=course.route[-1].seconds)

    async def _failed(self, model: Model, error: ProviderError, course: Course, began: float, *, out: bool) -> None:
        """Note a failed try; one after which the model is ``out`` touches its health."""
        seconds = self._chances.clock() - began
        rest = await self._health.failed(model, error) if out else None
        course.failed(model, error, seconds, rest)
        if out and (warning := policy.warning_of(model, error, rest)):
            course.warnings.append(warning)
        tell(
            log,
            "attempt_failed",
            model=model,
            turn=course.turn_id,
            code=error.code,
            status=error.status,
            seconds=seconds,
        )

    def _asked(self, request: ChatRequest, asking: _Asking, course: Course) -> Conversation:
        """Return what a model is sent: as much of the conversation as fits, within the configured caps."""
        model = asking.model
        settings, limits = self._config.settings(model), self._config.limits
        parameters = _capped(request.parameters, settings.max_tokens, model, course)
        room = parameters.max_tokens or prompt.ROOM_FOR_ANSWER
        fits = [limits.history_tokens, settings.context_tokens and settings.context_tokens - room]
        budget = min((size for size in fits if size is not None), default=None)
        sent = prompt.conversation(request, asking.turns, model, budget)
        course.sent[model] = sent.turns
        if sent.left_out:
            course.warnings.append(f"the oldest {sent.left_out} turns did not fit into what {model} was sent")
        return Conversation(
            model,
            sent.messages,
            parameters,
            request.form,
            settings.stream,
            course.pieces,
            settings.body,
            tokens=sent.tokens,
        )

    def _timeouts(self, *, last: bool) -> Timeouts:
        given = self._config.limits.timeout
        return Timeouts(given.connect, None if last else given.first_token, given.stall)


def _capped(given: Parameters, cap: int | None, model: Model, course: Course) -> Parameters:
    if cap is None or (given.max_tokens is not None and given.max_tokens <= cap):
        return given
    if given.max_tokens is not None:
        course.warnings.append(f"max_tokens was lowered to {cap}, the configured most for {model}")
    return replace(given, max_tokens=cap)


def _routed(error: ProviderError, course: Course) -> ProviderError:
    error.details["route"] = tuple(course.route)
    return error


def _exhausted(course: Course) -> ProviderError:
    """Return what the caller is told when no model is left.

    Why the answer broke off; or the error of a lone model, or of all alike where it is no model's fault; else one that
    names all.
    """
    if course.broken is not None:
        return _routed(course.broken[1], course)
    errors = [error for _, error in course.failures]
    waits = [attempt.restores_in for attempt in course.route if attempt.restores_in is not None]
    alike = len({type(error) for error in errors}) == 1 and errors[-1].restore is None
    if errors and (
        len({attempt.model for attempt in course.route}) == 1 or (alike and len(errors) == len(course.route))
    ):
        errors[-1].retry_after = min(waits, default=None) if alike else errors[-1].retry_after
        return _routed(errors[-1], course)
    last = {one.model: (one.reason or one.outcome).rstrip(".") for one in course.route}
    told = "; ".join(f"{model}: {reason}" for model, reason in last.items())
    error = NoModelsAvailable(f"No model could answer ({told}).", retry_after=min(waits, default=None))
    return _routed(error, course)
