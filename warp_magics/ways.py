"""Where this process's gateway may be, as its user and its environment say: URLs and tokens. None is asked here."""

from __future__ import annotations

import contextlib
import functools
import getpass
import ipaddress
import re
import stat
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

URL: Final = "WARP_GATEWAY_URL"
TOKEN: Final = "WARP_GATEWAY_TOKEN"  # noqa: S105 - the variable's name
TOKEN_FILE: Final = "WARP_GATEWAY_TOKEN_FILE"  # noqa: S105
HUB_TOKEN: Final = "JUPYTERHUB_API_TOKEN"  # noqa: S105
GATEWAY: Final = "[gateway]"
_ALLOWED: Final = "Write http://HOST:PORT/warp or https://…; several, with spaces or commas between, are one gateway's."


@dataclass(frozen=True, slots=True)
class Place:
    """A gateway elsewhere: its instances' base URLs, and the token they all take. ``why`` ends a sentence."""

    urls: tuple[str, ...]
    token: Callable[[], str] | str = field(repr=False)
    why: str
    warnings: tuple[str, ...] = ()


def named(env: Mapping[str, str], ask: Callable[[str], str] | None = None) -> Place | None:
    """Return the gateway that the environment names, None where it names none; raises ConfigError.

    ``ask`` shows a prompt and returns what was typed without showing that.
    """
    said = env.get(URL, "").strip()
    return place([said], None, env, URL, ask) if said else None


def place(
    urls: Sequence[str], token: str | None, env: Mapping[str, str], who: str, ask: Callable[[str], str] | None = None
) -> Place:
    """Return the gateway at ``urls``, as ``who`` says; without a ``token`` that of the environment, else asked for.

    Raises ConfigError, in which nothing of a URL is shown that might be a secret.
    """
    found = checked(urls, who)
    warnings = tuple(
        f"The token goes to {url} in the clear, for all between to read; https:// hides it." for url in _bare(found)
    )
    why = f"{' and '.join(found)}, as {who} says"
    if token is not None:
        return Place(found, _checked_token(token, "The token"), why, warnings)
    if env.get(TOKEN):
        return Place(found, _checked_token(env[TOKEN], TOKEN), why, warnings)
    if env.get(TOKEN_FILE):
        path = Path(env[TOKEN_FILE]).expanduser()
        read = functools.partial(_read_token, path)
        read()  # what is wrong with it is said now; later ones are read anew, for tokens are renewed
        return Place(found, read, why, warnings + _readable(path))
    typed = (ask or asked)(f"Token for {found[0]}: ")
    return Place(found, _checked_token(typed, "The token"), why, warnings)


def configured(url: str, auth: str | None, env: Mapping[str, str]) -> Place:
    """Return the gateway that a configuration names under ``[gateway]``; raises ConfigError.

    With ``auth`` "hub" its token is the one that JupyterHub has given this server, read anew at each use.
    """
    if auth is None:
        return place([url], None, env, GATEWAY, unasked)
    found = place([url], _hub_token(env), env, GATEWAY)
    return replace(found, token=functools.partial(_hub_token, env))


def _hub_token(env: Mapping[str, str]) -> str:
    if not env.get(HUB_TOKEN):
        raise _error(
            f'{GATEWAY} auth = "hub" needs {HUB_TOKEN}, which a server started by JupyterHub has. Elsewhere leave auth'
            f" out and set {TOKEN} or {TOKEN_FILE}."
        )
    return _checked_token(env[HUB_TOKEN], HUB_TOKEN)


def checked(urls: Sequence[str], who: str) -> tuple[str, ...]:
    """Return the URLs that ``urls`` hold, each without its last slash, each once; raises ConfigError."""
    words = [word for said in urls for word in re.split(r"[\s,]+", said) if word]
    if not words:
        raise _fault(who, "no URL is given.")
    return tuple(dict.fromkeys(_checked_url(word, who) for word in words))


def asked(prompt: str) -> str:
    """Return what the user types, which nobody sees; raises ConfigError where there is nobody to ask."""
    # A kernel puts a way to its front end in getpass's place. The one of the standard library asks a terminal.
    routed = getattr(getpass.getpass, "__module__", None) != getpass.__name__
    if routed or (sys.stdin and sys.stdin.isatty()):
        with contextlib.suppress(EOFError, NotImplementedError):  # IPython's StdinNotImplementedError is one
            return getpass.getpass(prompt)
    return unasked(prompt)


def unasked(_prompt: str) -> NoReturn:
    """Ask nobody: raises ConfigError, which says how a token is given."""
    raise _error(f"The gateway needs a token and there is nobody to ask: set {TOKEN}, or {TOKEN_FILE} to a file of it.")


def _checked_url(url: str, who: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _fault(who, "a URL cannot be read.") from None
    if "@" in parts.netloc or "@" in url:
        raise _fault(who, f"a URL must not hold a password or a token; {TOKEN} takes it, or you are asked for it.")
    if "?" in url or "#" in url:
        raise _fault(who, f"a URL ends with its path. A token has no place in it; {TOKEN} takes it, or you are asked.")
    if parts.scheme not in ("http", "https"):
        raise _fault(who, f"{url!r} is not http:// or https://." if "://" in url else "a URL lacks its http://.")
    if not parts.hostname or port == 0 or not url.isascii() or not url.isprintable():
        raise _fault(who, f"{url!r} names no host and port that can be reached.")
    return _plain(parts)


def _plain(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def _bare(urls: Sequence[str]) -> list[str]:
    """Return the URLs over which a token can be read on its way."""
    return [url for url in urls if url.startswith("http:") and not is_loopback(urlsplit(url).hostname or "")]


def is_loopback(host: str) -> bool:
    """Return whether what is sent to ``host`` stays on this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read_token(path: Path) -> str:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        because = getattr(error, "strerror", None) or "it is not text"
        raise _error(f"{TOKEN_FILE}: {path} cannot be read: {because}.") from None
    return _checked_token(text, f"{TOKEN_FILE}: {path}")


def _readable(path: Path) -> tuple[str, ...]:
    if sys.platform == "win32" or not path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return ()
    return (f"{TOKEN_FILE}: {path} can be read by others; `chmod 600` makes it yours alone.",)


def _checked_token(token: str, what: str) -> str:
    token = token.strip()
    if not token:
        raise _error(f"{what} is empty.")
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise _error(f"{what} is not a token: one word of plain characters is.")
    return token


def _fault(who: str, message: str) -> Exception:
    return _error(f"{who}: {message} {_ALLOWED}")


def _error(message: str) -> Exception:
    from .gateway import errors

    return errors.ConfigError(message)
