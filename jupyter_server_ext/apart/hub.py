"""The gateway as a service that a JupyterHub runs: where it listens, and whose a Hub's token is."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from warp_magics.gateway import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger("jupyter_server_ext")

KNOWN_SECONDS: Final = 30
"""How long what the Hub has said of a token holds: a token that was revoked is good for so long at most."""
HUB_SECONDS: Final = 10.0
"""How long the Hub may take to say whose a token is."""
NAME: Final = "JUPYTERHUB_SERVICE_NAME"
"""Only a service has it: the servers of users have the other variables, too."""
_ADDRESS: Final = "JUPYTERHUB_SERVICE_URL"
_PREFIX: Final = "JUPYTERHUB_SERVICE_PREFIX"
_NEEDED: Final = (_ADDRESS, _PREFIX, "JUPYTERHUB_API_URL", "JUPYTERHUB_API_TOKEN")
_NOT_NOW: Final = "JupyterHub does not say now whose this token is. Try again later."
_FIELDS: Final = {"kind", "name", "scopes"}
_TOKEN: Final = re.compile(r"[!-~]{1,1024}")


@dataclass(frozen=True, slots=True)
class Service:
    """What the Hub says to the service that it starts: where to listen, and the path that it is reached below."""

    host: str
    port: int
    below: str


def service(env: Mapping[str, str]) -> Service | None:
    """Return what the Hub says in ``env``; None where no Hub has started this as a service. Raises ConfigError."""
    if not env.get(NAME):
        return None
    if missing := [name for name in _NEEDED if not env.get(name)]:
        raise errors.ConfigError(
            f"{NAME} is set, as for a service of a JupyterHub, but {' and '.join(missing)} is not:"
            ' give the service a "url" in jupyterhub_config.py, or unset it.'
        )
    host, port = _address(env[_ADDRESS])
    return Service(host, port, f"/{env[_PREFIX].strip('/')}/")


def _address(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or port is None or parts.scheme != "http":
        raise errors.ConfigError(
            f"{_ADDRESS} is {url!r}: this listens at http://HOST:PORT only (TLS within the Hub, internal_ssl, is not supported)."
        )
    return host, port


class HubTokens:
    """Lets in whom the Hub's API confirms and who holds a scope for this service; ``fixed`` is the owner of all, if set.

    A user's sessions are the name's. A service's are those of ``service/NAME``, which is no user's name. Raises ConfigError
    where jupyterhub is not installed.
    """

    def __init__(self, fixed: str | None = None) -> None:
        try:
            from jupyterhub.services.auth import HubAuth
        except ImportError:
            raise errors.ConfigError(
                "As a service of a JupyterHub this needs the package jupyterhub: pip install 'warp-magics[hub]'."
            ) from None
        self._auth = HubAuth(cache_max_age=KNOWN_SECONDS)
        self._fixed = fixed
        access = sorted(self._auth.access_scopes)
        self.scopes = " or ".join([scope for scope in access if "!" in scope] or access)  # the narrow one is enough
        self.hint = f"It takes a token of the Hub that holds the scope {self.scopes}."

    async def owner(self, token: str) -> str | None:
        """Ask the Hub; raises Forbidden for want of a scope, and HubUnavailable."""
        if not _TOKEN.fullmatch(token):
            return None
        user = await self._user(token)
        if user is None:
            return None
        if not self._auth.check_scopes(self._auth.access_scopes, user):
            raise errors.Forbidden(f"This token of the Hub lacks the scope {self.scopes}.")
        name = str(user["name"])
        return self._fixed or (name if user["kind"] == "user" else f"{user['kind']}/{name}")

    async def _user(self, token: str) -> dict[str, Any] | None:
        import aiohttp
        from tornado.web import HTTPError

        try:
            async with asyncio.timeout(HUB_SECONDS):
                user: dict[str, Any] | None = await self._auth.user_for_token(token, sync=False)
        except (HTTPError, aiohttp.ClientError, OSError, ValueError) as error:
            log.warning("hub_unavailable: %s: %s", self._auth.api_url, error)
            raise errors.HubUnavailable(_NOT_NOW) from None
        if user is not None and not (isinstance(user, dict) and user.keys() >= _FIELDS):
            self._auth.cache.clear()  # it has kept that, too
            log.warning("hub_unavailable: %s: it answers, but not as a Hub does", self._auth.api_url)
            raise errors.HubUnavailable(_NOT_NOW)
        return user
