"""Previews: what a prompt would send and cost, with nothing sent, kept or counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import policy, prompt
from .branches import asked_on, placed
from .errors import SessionNotFound
from .turns import check_session_id
from .types import Preview, SessionKey

if TYPE_CHECKING:
    from .prices import Prices
    from .router import Router
    from .stores.base import Store
    from .types import ChatRequest, Turn


class Previews:
    """Looks where ``router`` would ask."""

    def __init__(self, router: Router, store: Store, prices: Prices) -> None:
        self._router = router
        self._store = store
        self._prices = prices

    async def preview(self, request: ChatRequest) -> Preview:
        """See Gateway."""
        policy.check(request)
        turns = await turns_before(request, self._store)
        place = placed(request, turns)
        asked, turns = asked_on(request, turns, place)
        conversation, warnings = await self._router.first(asked, turns)
        usage = prompt.expected(conversation.tokens, conversation.parameters.max_tokens, conversation.form)
        await self._prices.ready([conversation.model])
        return Preview(
            model=str(conversation.model),
            messages=conversation.messages,
            usage=usage,
            cost=self._prices.cost(conversation.model, usage),
            warnings=(*place.warnings, *warnings),
        )


async def turns_before(request: ChatRequest, store: Store) -> tuple[Turn, ...]:
    """Return the turns that ``request`` would be asked behind; raises SessionNotFound."""
    if request.session_id is None:
        return prompt.told(request.history)
    try:
        return await store.turns(SessionKey(request.owner, check_session_id(request.session_id)))
    except SessionNotFound:
        if request.create_session:
            return ()
        raise
