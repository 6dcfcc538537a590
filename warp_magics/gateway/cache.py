"""Cache: an answer that was given before is given again. Exact, per owner, and made once for all who ask at a time."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final

from . import policy, prompt
from .errors import StoreUnavailable
from .signals import tell
from .stores.logs import dump_event, load_events
from .types import Attempt, Ended, Model, Restarted, Result, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from .base import Chances
    from .config import WarpConfig
    from .course import Course, Outlook
    from .prices import Prices
    from .router import Router
    from .stores.base import Store
    from .types import ChatRequest, ChatResponse, Event, Turn

log = logging.getLogger("warp_magics.cache")

LEASE_SECONDS: Final = 6.0
"""How long the others wait for one who makes an answer and is not heard of."""
_FIRST_POLL: Final = 0.02
_LONGEST_POLL: Final = 0.25
_KEPT: Final = (Result.COMPLETE, Result.TOOL_CALLS)
HIT: Final = "cache"
"""The outcome in a route that says where the answer is from."""


class Cache:
    """Stands before ``router``; without its store it lets everything through."""

    def __init__(self, config: WarpConfig, router: Router, prices: Prices, store: Store, chances: Chances) -> None:
        self._config = config
        self._router = router
        self._prices = prices
        self._store = store
        self._chances = chances

    def expect(self, request: ChatRequest) -> Outlook:
        """See Answers; raises as ``Router.chain`` does."""
        chain = self._router.chain(request)
        self._prices.warm(chain)
        return self._router.look_ahead(chain)

    async def priced(self, said: ChatResponse) -> ChatResponse:
        """See Answers; an answer from the cache has its own cost."""
        if said.cost is not None:
            return said
        model = Model.parse(said.model)
        await self._prices.ready([model])
        return replace(said, cost=self._prices.cost(model, said.usage))

    def answer(
        self, request: ChatRequest, turns: Sequence[Turn], course: Course
    ) -> AsyncGenerator[Sequence[Event], None]:
        """Yield the events of one answer as ``Router.answer`` does, from the cache where that may be and holds it."""
        if policy.reads_cache(request, enabled=self._config.cache.enabled):
            return self._cached(request, turns, course)
        return self._router.answer(request, turns, course)

    async def _cached(
        self, request: ChatRequest, turns: Sequence[Turn], course: Course
    ) -> AsyncGenerator[Sequence[Event], None]:
        digest = self._digest(request, turns)
        held = await self._recalled(request.owner, digest, course.turn_id)
        if isinstance(held, bytes):
            events = self._again(held, course)
        elif held == "lead":
            events = self._made(request, turns, course, digest)
        else:
            events = self._router.answer(request, turns, course)
        async with contextlib.aclosing(events):
            async for batch in events:
                yield batch

    async def _recalled(self, owner: str, digest: str, holder: str) -> bytes | str | None:
        """Return the answer, or "lead" once it is ours to make; None without a store."""
        pause = _FIRST_POLL
        while True:
            try:
                held = await self._store.recall(owner, digest, holder, LEASE_SECONDS)
            except StoreUnavailable:
                return None
            if held != "wait":
                return held
            await self._chances.sleep(pause)
            pause = min(_LONGEST_POLL, 2 * pause)

    async def _again(self, held: bytes, course: Course) -> AsyncGenerator[Sequence[Event], None]:
        *events, last = load_events(held, 1, 0)
        now = self._chances.clock()
        yield [told for event in events if (told := course.seen(event, now)) is not None]
        if isinstance(last, Ended):
            said = last.response
            course.route.append(Attempt(said.model, HIT, now - course.since))
            tell(log, "cache_hit", model=said.model, turn=course.turn_id)
            again = replace(said, usage=Usage(), cost=0.0, route=tuple(course.route), first_token=course.first_token)
            yield [Ended(again)]

    async def _made(
        self, request: ChatRequest, turns: Sequence[Turn], course: Course, digest: str
    ) -> AsyncGenerator[Sequence[Event], None]:
        """Make the answer that others wait for; whoever is stopped before its end passes that on to them."""
        made: list[Event] = []
        whole = False
        try:
            async with (
                self._leading(request.owner, digest, course.turn_id),
                contextlib.aclosing(self._router.answer(request, turns, course)) as events,
            ):
                async for batch in events:
                    for event in batch:
                        made.append(event)
                        if isinstance(event, Restarted):
                            del made[1:]
                    *words, last = batch
                    if not (isinstance(last, Ended) and last.response.result in _KEPT):
                        yield batch
                        continue
                    if words:  # none waits for what comes now
                        yield words
                    whole = await self._remember(request.owner, digest, course.turn_id, made)
                    yield [last]
        finally:
            if not whole:
                with contextlib.suppress(StoreUnavailable):  # the lease ends by itself
                    await self._store.pass_on(request.owner, digest, course.turn_id)

    async def _remember(self, owner: str, digest: str, holder: str, events: Sequence[Event]) -> bool:
        value = b"[" + b",".join(map(dump_event, events)) + b"]"
        try:
            await self._store.remember(owner, digest, holder, value, self._config.cache.ttl)
        except StoreUnavailable as error:
            tell(log, "answer_not_cached", level=logging.WARNING, turn=holder, reason=error.message)
            return False
        return True

    @contextlib.asynccontextmanager
    async def _leading(self, owner: str, digest: str, holder: str) -> AsyncIterator[None]:
        """Stay the one who makes it."""

        async def stay() -> None:
            while True:
                await asyncio.sleep(LEASE_SECONDS / 3)
                with contextlib.suppress(StoreUnavailable):
                    await self._store.recall(owner, digest, holder, LEASE_SECONDS)

        staying = asyncio.create_task(stay())
        try:
            yield
        finally:
            staying.cancel()
            await asyncio.wait({staying})  # what it says last is not to be heard after the lead is passed on

    def _digest(self, request: ChatRequest, turns: Sequence[Turn]) -> str:
        """Return what everything that shapes the answer comes down to."""
        chain = self._router.chain(request)
        shapes = []
        for model in chain:
            settings, provider = self._config.settings(model), self._config.providers[model.provider]
            sent = prompt.conversation(request, turns, model, None)
            shapes.append(
                {
                    "model": str(model),
                    "at": [provider.dialect, provider.base_url],
                    "limits": [settings.max_tokens, settings.context_tokens, self._config.limits.history_tokens],
                    "body": dict(settings.body),
                    "messages": [asdict(message) for message in sent.messages],
                }
            )
        whole = {"shapes": shapes, "parameters": asdict(request.parameters), "form": asdict(request.form)}
        return hashlib.sha256(json.dumps(whole, sort_keys=True, default=str).encode()).hexdigest()
