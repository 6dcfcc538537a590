"""Router: many models, one answer. The one loop over models and tries, for streams and whole answers alike."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from . import policy, prompt
from .client import ModelClient, Timeouts
from .errors import NoModelConfigured, NoModelsAvailable, OwnLimit, ProviderError, StoreUnavailable
from .form import value_of
from .types import Attempt, ChatResponse, Conversation, Ended, ModelState, Result, Started, Text, Window

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from .base import Chances
    from .config import WarpConfig
    from .stores.base import Store
    from .types import ChatRequest, Cooldown, Event, Model, Parameters, Turn

_T = TypeVar("_T")
log = logging.getLogger("warp_magics.router")

HOW_TO_CONFIGURE = (
    "No model is configured. Set OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY, or run `jupyter warp init` to write "
    "a warp.toml."
)


@dataclass(slots=True)
class _Course:
    """What one answer has been through so far."""

    since: float
    route: list[Attempt] = field(default_factory=list)
    errors: list[ProviderError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    first_token: float | None = None


class Router:
    """``spare`` keeps cooldowns and windows while ``store`` is down."""

    def __init__(self, config: WarpConfig, client: ModelClient, store: Store, spare: Store, chances: Chances) -> None:
        self._config = config
        self._client = client
        self._store = store
        self._spare = spare
        self._chances = chances

    def chain(self, request: ChatRequest) -> tuple[Model, ...]:
        """Return the models that may answer, in order; raises UnknownModel, or NoModelConfigured."""
        chain = tuple(self._config.resolve(spec) for spec in request.models) or self._config.chain
        if not chain:
            raise NoModelConfigured(HOW_TO_CONFIGURE)
        return chain

    async def answer(self, request: ChatRequest, turns: Sequence[Turn], holder: str) -> AsyncGenerator[Event, None]:
        """Yield the events of one answer, an Ended with text and route last.

        Falls back until a model has begun to answer. Raises ProviderError or NoModelsAvailable, the route in
        ``details["route"]``; after a Started that means that the answer broke off.
        """
        course = _Course(self._chances.clock())
        chain = self.chain(request)
        cooling = await self._either(lambda store: store.cooling(chain))
        models = policy.candidates(chain, cooling)
        course.route += [_passed_over(model, rest) for model, rest in cooling.items() if model not in models]
        for model in models:
            asked = self._asked(request, turns, model, course)
            tries = self._tries(asked, course, holder, last=model == models[-1])
            async with contextlib.aclosing(tries) as events:
                async for event in events:
                    yield event
            if course.first_token is not None:
                if model in cooling:
                    await self._either(lambda store, m=model: store.restore(m))  # type: ignore[misc]
                return
        raise _exhausted(course)

    async def states(self) -> tuple[ModelState, ...]:
        """Return each described model's state, from the store where it answers."""
        models = self._config.described
        cooling = await self._either(lambda store: store.cooling(models))
        return tuple([await self._state(model, cooling.get(model)) for model in models])

    async def _state(self, model: Model, rest: Cooldown | None) -> ModelState:
        windows = self._windows(model)
        room = await self._either(lambda store: store.room(model, windows))
        return ModelState(
            model=str(model),
            alias=self._config.settings(model).alias,
            in_chain=model in self._config.chain,
            state="cooling" if rest else "ready",
            reason=rest.reason if rest else None,
            restores_in=rest.seconds if rest else None,
            window=windows.get("model"),
            left=room.left,
        )

    async def _tries(
        self, asked: Conversation, course: _Course, holder: str, *, last: bool
    ) -> AsyncGenerator[Event, None]:
        """Ask one model until it answers, must not be asked again or has broken off; notes each try in ``course``."""
        retry, made = self._config.limits.retry, 0
        while True:
            made += 1
            began = self._chances.clock()
            try:
                await self._admit(asked.model, f"{holder}.{len(course.route)}")
                async with contextlib.aclosing(self._client.attempt(asked, self._timeouts(last=last))) as events:
                    async for event in events:
                        yield self._told(event, asked, course, began)
            except ProviderError as error:
                begun = course.first_token is not None
                pause = policy.pause_before_retry(error, made, retry.max, retry.interval, self._chances.random())
                out = begun or pause is None
                rest = await self._cool(asked.model, error) if out else None
                self._note(asked.model, error, course, began, rest)
                if begun or not error.fall_back:
                    error.details["route"] = tuple(course.route)
                    raise
                if pause is None:
                    return
            else:
                return
            await self._chances.sleep(pause)

    def _told(self, event: Event, asked: Conversation, course: _Course, began: float) -> Event:
        """Add to a model's event what only the course knows."""
        now = self._chances.clock()
        if isinstance(event, Started):
            course.first_token = now - course.since
            return replace(event, warnings=tuple(course.warnings))
        if isinstance(event, Text):
            course.text.append(event.text)
        elif isinstance(event, Ended):
            said: ChatResponse = event.response
            course.route.append(Attempt(said.model, "ok", now - began))
            text = "".join(course.text)
            warnings = [*course.warnings, *said.warnings]
            value = None
            if asked.form.schema is not None and said.result is Result.COMPLETE:
                value, wrong = value_of(text)
                warnings += [wrong] if wrong else []
            whole = replace(
                said,
                text=text,
                route=tuple(course.route),
                warnings=tuple(warnings),
                first_token=course.first_token,
                value=value,
            )
            return replace(event, response=whole)
        return event

    async def _admit(self, model: Model, holder: str) -> None:
        """Take a request from the model's own windows; raises OwnLimit where one is full."""
        windows = self._windows(model)
        if not windows:
            return
        room = await self._either(lambda store: store.take(model, windows, holder))
        if room.wait:
            raise OwnLimit(f"The configured limit of {model} is reached.", retry_after=room.wait)

    async def _cool(self, model: Model, error: ProviderError) -> Cooldown | None:
        """Pass ``model`` over after ``error``, where its health is touched."""
        rest = policy.cooldown(error, self._config.settings(model).restore)
        if rest:
            log.info("model_cooling model=%s reason=%s seconds=%.1f", model, rest.reason, rest.seconds)
            await self._either(lambda store: store.cool(model, rest))
        return rest

    def _note(self, model: Model, error: ProviderError, course: _Course, began: float, rest: Cooldown | None) -> None:
        back = rest.seconds if rest else error.retry_after
        spent = self._chances.clock() - began
        course.errors.append(error)
        course.route.append(Attempt(str(model), error.code, spent, error.status, error.message, back))
        log.info("attempt_failed model=%s code=%s status=%s seconds=%.3f", model, error.code, error.status, spent)

    def _asked(self, request: ChatRequest, turns: Sequence[Turn], model: Model, course: _Course) -> Conversation:
        """Return what ``model`` is sent: as much of the conversation as fits, within the configured caps."""
        settings, limits = self._config.settings(model), self._config.limits
        parameters = _capped(request.parameters, settings.max_tokens, model, course)
        room = parameters.max_tokens or prompt.ROOM_FOR_ANSWER
        fits = [limits.history_tokens, settings.context_tokens and settings.context_tokens - room]
        budget = min((size for size in fits if size is not None), default=None)
        messages, left_out = prompt.conversation(request, turns, model, budget)
        if left_out:
            course.warnings.append(f"the oldest {left_out} turns did not fit into what {model} was sent")
        return Conversation(model, messages, parameters, request.form, settings.stream, settings.body)

    def _windows(self, model: Model) -> dict[str, Window]:
        named = {
            "model": self._config.settings(model).rate,
            "provider": self._config.providers[model.provider].limits.rate,
        }
        return {name: window for name, window in named.items() if window}

    def _timeouts(self, *, last: bool) -> Timeouts:
        given = self._config.limits.timeout
        return Timeouts(given.connect, None if last else given.first_token, given.stall)

    async def _either(self, ask: Callable[[Store], Awaitable[_T]]) -> _T:
        """Ask the store, or the spare while the store is down."""
        try:
            return await ask(self._store)
        except StoreUnavailable:
            return await ask(self._spare)


def _passed_over(model: Model, rest: Cooldown) -> Attempt:
    return Attempt(str(model), "cooling", 0.0, reason=rest.reason, restores_in=rest.seconds)


def _capped(given: Parameters, cap: int | None, model: Model, course: _Course) -> Parameters:
    if cap is None or (given.max_tokens is not None and given.max_tokens <= cap):
        return given
    if given.max_tokens is not None:
        course.warnings.append(f"max_tokens was lowered to {cap}, the configured most for {model}")
    return replace(given, max_tokens=cap)


def _exhausted(course: _Course) -> ProviderError | NoModelsAvailable:
    """Return what the caller is told when no model is left: a lone model's own error, else one that names all."""
    route = tuple(course.route)
    if len({attempt.model for attempt in route}) == 1 and course.errors:
        error = course.errors[-1]
        error.details["route"] = route
        return error
    waits = [attempt.restores_in for attempt in route if attempt.restores_in is not None]
    told = "; ".join(f"{one.model}: {one.reason or one.outcome}" for one in route)
    return NoModelsAvailable(
        f"No model could answer ({told}).",
        retry_after=min(waits, default=None),
        details={"route": route},
    )
