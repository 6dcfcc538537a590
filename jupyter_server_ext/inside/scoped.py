"""The token that this server's kernels use: good for the gateway's paths, where ``wrap`` is, and for no other."""

from __future__ import annotations

import hmac
import json
import os
import re
from typing import TYPE_CHECKING, Any, Final

from jupyter_server.auth import User

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jupyter_server.auth import IdentityProvider
    from tornado.web import RequestHandler

USERNAME: Final = "warp-kernel"
_HEADER: Final = re.compile(r"\s*(?:token|bearer)\s+(\S+)\s*", re.IGNORECASE)


class KernelUser(User):
    """Who runs this server's kernels. To JupyterHub's authorizer, which asks a user for scopes, it is the server's user."""

    @property
    def hub_user(self) -> dict[str, Any]:
        """What the Hub would say of it: it may use this server."""
        scopes = json.loads(os.environ.get("JUPYTERHUB_OAUTH_ACCESS_SCOPES") or "[]")
        return {"kind": "user", "name": os.environ.get("JUPYTERHUB_USER", ""), "scopes": scopes}


class Scoped:
    """``owner`` tells whose sessions the token's user means; asked at each request, for the configuration may say."""

    def __init__(self, token: str, owner: Callable[[], str]) -> None:
        self._token: bytes | None = token.encode()
        self.owner = owner
        self.user = KernelUser(USERNAME)

    def wrap(self, identity_provider: IdentityProvider) -> IdentityProvider:
        """Return a provider that knows the token's user, and everybody else as ``identity_provider`` does."""
        return _Wrapped(self, identity_provider)  # type: ignore[return-value] # it has all that one has

    def is_user(self, user: object) -> bool:
        """Return whether ``user`` came by the token; another provider's user of this name did not."""
        return user is self.user

    def revoke(self) -> None:
        """Know the token no more."""
        self._token = None

    def knows(self, handler: RequestHandler) -> bool:
        """Return whether the request carries the token, in its header and nowhere else."""
        said = _HEADER.fullmatch(handler.request.headers.get("Authorization", ""))
        return bool(self._token and said and hmac.compare_digest(said[1].encode(), self._token))


class _Wrapped:
    def __init__(self, scoped: Scoped, inner: IdentityProvider) -> None:
        self._scoped = scoped
        self._inner = inner

    def get_user(self, handler: RequestHandler) -> User | Awaitable[User | None] | None:
        return self._scoped.user if self._scoped.knows(handler) else self._inner.get_user(handler)

    def is_token_authenticated(self, handler: RequestHandler) -> bool:
        return self._scoped.knows(handler) or self._inner.is_token_authenticated(handler)

    def should_check_origin(self, handler: RequestHandler) -> bool:
        """A page of elsewhere has no token to send: as with Jupyter's own, its origin does not matter."""
        return not self._scoped.knows(handler) and self._inner.should_check_origin(handler)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
