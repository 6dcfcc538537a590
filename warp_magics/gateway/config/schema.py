"""The shape of ``warp.toml``: its tables, their keys and values, and what to say where one is wrong.

The only door to pydantic for the configuration. Names are snake_case in TOML, camelCase in JSON.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo

from ..providers import dialects
from ..types import Window
from .values import Expanded, Secret, Wrong, number, origin, seconds, size, to_camel

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PROVIDER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_PREFIX: Final = re.compile(r"[A-Za-z0-9_.:/-]+")


def _seconds(value: object, info: ValidationInfo) -> float:
    return seconds(value, milliseconds=bool(info.context and info.context["camel"]))


def _positive(value: float) -> float:
    if value < 0.001:  # noqa: PLR2004  the store counts in milliseconds
        raise Wrong('is too short a duration; "1ms" is the least', echo=True)
    return value


def _whole(value: object) -> int:
    value = number(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Wrong("is not a whole number", echo=True)
    return value


def _switch(value: object) -> bool:
    value = {"true": True, "false": False}.get(value, value) if isinstance(value, Expanded) else value
    if not isinstance(value, bool):
        raise Wrong("is not true or false", echo=True)
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Wrong("is not a text")
    if not value.strip():
        raise Wrong("is empty")
    return str(value)


def _spec(value: object) -> str:
    if not isinstance(value, str):
        raise Wrong('is not a text of the form "provider:model"; what describes a model goes under [[model]]')
    return _text(value)


def _matching(pattern: re.Pattern[str], what: str) -> BeforeValidator:
    def check(value: object) -> str:
        if not pattern.fullmatch(text := _text(value)):
            raise Wrong(what, echo=True)
        return text

    return BeforeValidator(check)


def _alias(value: object) -> str:
    text = _text(value)
    if ":" in text or text == "auto":
        raise Wrong('cannot be an alias: "auto" and names with a colon mean something else', echo=True)
    return text


def _dialect(value: object) -> str:
    if (text := _text(value)) not in dialects():
        raise Wrong(f"is not a dialect; there are {', '.join(dialects())}", echo=True)
    return text


def _password(value: object) -> Secret:
    return Secret(_text(value))


def _key(value: object) -> Secret:
    text = _text(value).strip()
    if not (text.isascii() and text.isprintable()):
        raise Wrong("holds a character that cannot be sent in a header")
    return Secret(text)


def http_url(value: object) -> str:
    """An http(s) URL without user, password or query: those would be shown wherever the URL is."""
    text = _text(value).rstrip("/")
    parts = _split(text)
    if parts.username is not None or parts.password is not None:
        raise Wrong("holds a user or a password; a key goes into api_key or headers")
    if parts.query or parts.fragment:
        raise Wrong("holds a query or a fragment; write the URL without it")
    return text


def _some(value: object) -> object:
    if value in ([], ()):
        raise Wrong("is empty")
    return value


def _sentinel_host(value: object) -> str:
    text = _text(value).strip()
    try:
        parts = urlsplit(f"//{text}")
        fine = bool(parts.hostname) and parts.netloc == text and parts.port != 0 and "@" not in text
    except ValueError:
        fine = False
    if not fine:
        raise Wrong('is not a sentinel; write "host" or "host:port"')
    return text


def _proxy(value: object) -> Secret:
    _split(text := _text(value))
    return Secret(text)


def _split(text: str) -> Any:
    try:
        parts = urlsplit(text)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine:
        raise Wrong("is not a URL that begins with http:// or https:// and names a host")
    return parts


class Table(BaseModel):
    """A table of the file; frozen, and unknown keys are faults."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
        alias_generator=to_camel,
    )


Seconds: TypeAlias = Annotated[float, BeforeValidator(_seconds)]
Positive: TypeAlias = Annotated[float, AfterValidator(_positive), BeforeValidator(_seconds)]
Natural: TypeAlias = Annotated[int, Field(ge=0), BeforeValidator(_whole)]
Count: TypeAlias = Annotated[int, Field(ge=1), BeforeValidator(_whole)]
Port: TypeAlias = Annotated[int, Field(ge=0, le=65535), BeforeValidator(_whole)]
Bytes: TypeAlias = Annotated[int, Field(ge=1), BeforeValidator(size)]
Switch: TypeAlias = Annotated[bool, BeforeValidator(_switch)]
Text: TypeAlias = Annotated[str, BeforeValidator(_text)]
Spec: TypeAlias = Annotated[str, BeforeValidator(_spec)]
Key: TypeAlias = Annotated[Secret, BeforeValidator(_key)]
Password: TypeAlias = Annotated[Secret, BeforeValidator(_password)]
Url: TypeAlias = Annotated[str, BeforeValidator(http_url)]
SentinelHost: TypeAlias = Annotated[str, BeforeValidator(_sentinel_host)]
Origin: TypeAlias = Annotated[str, BeforeValidator(lambda value: origin(_text(value)))]
Alias: TypeAlias = Annotated[str, BeforeValidator(_alias)]
Header: TypeAlias = Annotated[str, _matching(_TOKEN, "is not the name of a header")]
ProviderName: TypeAlias = Annotated[str, _matching(_PROVIDER, "is not a name; write letters, digits, - _ or .")]


class RateTable(Table):
    """So many in so long."""

    max: Count
    time_window: Positive

    def window(self) -> Window:
        """The same as the rest of the gateway knows it."""
        return Window(self.max, self.time_window)


if TYPE_CHECKING:
    Rate: TypeAlias = Window
else:
    Rate = Annotated[RateTable, AfterValidator(RateTable.window)]


class Restores(Table):
    """``[restore]``: how long a failed model is passed over, None where it is not said."""

    rate_limit: Seconds | None = None
    timeout: Seconds | None = None
    provider_error: Seconds | None = None
    quota: Seconds | None = None


class RateLimits(Table):
    """``limits`` of a provider, over all its models."""

    rate: Rate | None = None
    tokens: Rate | None = None


class ModelLimits(RateLimits):
    """``limits`` of one model."""

    max_tokens: Count | None = None


class ModelTable(Table):
    """``[[model]]``; ``stream`` false: it cannot; ``body`` is laid over each of its requests as it is."""

    provider: Text
    model: Text
    alias: Alias | None = None
    context_tokens: Count | None = None
    stream: Switch = True
    body: dict[str, Any] = {}
    limits: ModelLimits = ModelLimits()
    restore: Restores = Restores()


class ProviderTable(Table):
    """``[providers.NAME]``."""

    dialect: Annotated[str, BeforeValidator(_dialect)] | None = None
    base_url: Url | None = None
    api_key: Key | None = None
    api_key_file: Text | None = None
    headers: dict[Header, Key] = {}
    verify: Text | None = None
    proxy: Annotated[Secret, BeforeValidator(_proxy)] | None = None
    limits: RateLimits = RateLimits()


class Sentinel(Table):
    """``storage.sentinel``: who knows where the master is."""

    name: Text
    hosts: Annotated[tuple[SentinelHost, ...], BeforeValidator(_some)]
    username: Text | None = Field(default=None, repr=False)
    password: Password | None = None


class StorageTable(Table):
    """``[storage]``."""

    type: Literal["embedded", "valkey", "memory"] | None = None
    url: Password | None = None
    host: Text | None = None
    port: Port | None = None
    username: Text | None = None
    password: Password | None = None
    database: Natural | None = None
    tls: Switch | None = None
    cluster: Switch = False
    sentinel: Sentinel | None = None
    prefix: Annotated[str, _matching(_PREFIX, "is not a prefix; write letters, digits, - _ . : or /")] = "warp"
    wait_replicas: Natural = 0
    keep_running: Switch = False
    stream_expiration: Positive = 3600.0
    owner: Text | None = None


class Retry(Table):
    """``limits.retry``: tries after the first, exponential from ``interval`` seconds."""

    max: Natural = 1
    interval: Seconds = 1.0


class Timeouts(Table):
    """``limits.timeout``, in seconds."""

    connect: Positive = 5.0
    first_token: Positive = 30.0
    stall: Positive = 30.0
    total: Positive = 600.0


class Limits(Table):
    """``[limits]``; ``rate`` holds for each model that has none of its own, sizes are bytes."""

    rate: Rate = Window(200, 30.0)
    history_expiration: Positive = 86400.0
    session_wait: Seconds = 30.0
    body_size: Bytes = 10_000_000
    retry: Retry = Retry()
    timeout: Timeouts = Timeouts()
    history_tokens: Count | None = None
    max_tokens: Count | None = None


class Routing(Table):
    """``[routing]``."""

    strategy: Literal["order", "cost", "latency", "round_robin"] = "order"


class Cache(Table):
    """``[cache]``."""

    enabled: Switch = False
    ttl: Positive = 3600.0


class Server(Table):
    """``[server]``; ``hide_keys`` is None where the file does not say."""

    host: Text = "127.0.0.1"
    port: Port = 3042
    token_file: Text | None = None
    cors_origins: tuple[Origin, ...] = ()
    hide_keys: Switch | None = None


class GatewayTable(Table):
    """``[gateway]``: another gateway that answers instead of this one."""

    url: Url
    auth: Literal["hub"] | None = None


class File(Table):
    """The whole file."""

    models: tuple[Spec, ...] = ()
    session_header: Header = "x-session-id"
    allow: tuple[Spec, ...] | None = None
    on_disconnect: Literal["finish", "cancel"] = "finish"
    model: tuple[ModelTable, ...] = ()
    providers: dict[ProviderName, ProviderTable] = {}
    storage: StorageTable = StorageTable()
    limits: Limits = Limits()
    restore: Restores = Restores()
    routing: Routing = Routing()
    cache: Cache = Cache()
    server: Server = Server()
    gateway: GatewayTable | None = None


def check(data: Mapping[str, Any], *, camel: bool) -> File | list[dict[str, Any]]:
    """The file's tables, or pydantic's words for what is wrong with them, without the values."""
    try:
        return File.model_validate(data, context={"camel": camel}, by_alias=camel, by_name=not camel)
    except ValidationError as error:
        return [dict(detail) for detail in error.errors(include_url=False, include_input=False)]
