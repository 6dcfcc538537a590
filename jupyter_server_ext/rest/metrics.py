"""Figures for Prometheus: what the gateway's signals tell is counted, what it knows is asked at each scrape."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from warp_magics.gateway import observe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client import Metric

    from warp_magics.gateway import Gateway

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OTHER: Final = "other"
"""Stands for whatever is not known before, so that callers cannot make new series."""
_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300)
_STATES: Final = ("ready", "cooling", "probing")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"})
_TROUBLES: Final = frozenset(
    {
        "answer_not_cached",
        "lease_lost",
        "lease_not_renewed",
        "no_embedded_server",
        "orphan_settled",
        "sessions_not_listed",
        "store_unavailable",
        "stream_unlogged",
        "turn_not_stored",
        "usage_not_counted",
    }
)


class Metrics:
    """The figures of one gateway, in a registry of their own, until ``close``.

    ``models`` are the configured ones: each other is counted as ``other``. Signals are the process's: where it has
    several gateways, each one's figures tell of the answers of all.
    """

    def __init__(self, models: Iterable[str]) -> None:
        self._models = frozenset(models)
        self._registry = CollectorRegistry()
        self._running = 0
        self._count_what_is_told()
        self._ask_what_is_known()
        self._stop = observe(self._see)

    def _count_what_is_told(self) -> None:
        self._answers = self._counter("warp_answers", "Answers that have ended.", "model", "status")
        self._answer_seconds = self._histogram("warp_answer_seconds", "From the prompt to the end of its answer.")
        self._first_token = self._histogram("warp_first_token_seconds", "From the prompt to the first word.")
        self._tokens = self._counter("warp_tokens", "Tokens, as providers counted them.", "model", "direction")
        self._cost = self._counter("warp_cost_dollars", "US dollars, where the price is known.", "model")
        self._attempts = self._counter("warp_attempts", "Tries, by `ok` or the error's code.", "model", "outcome")
        self._cooldowns = self._counter("warp_cooldowns", "Times a model began to be passed over.", "model", "reason")
        self._limits = self._counter("warp_limits_reached", "Times an own limit passed a model over.", "model")
        self._hits = self._counter("warp_cache_hits", "Answers that were given again.", "model")
        self._troubles = self._counter("warp_troubles", "Warnings and errors, by the event's name.", "event")
        self._requests = self._counter("warp_http_requests", "Requests, by route.", "path", "method", "status")

    def _ask_what_is_known(self) -> None:
        self._live = self._gauge("warp_live_answers", "Answers that are being made.")
        self._live.set_function(lambda: self._running)
        self._state = self._gauge("warp_model_state", "1 for the state that a model is in.", "model", "state")
        self._restores = self._gauge("warp_model_restore_seconds", "For how long it is still passed over.", "model")
        self._reachable = self._gauge("warp_store_reachable", "1 where the store answers.", "type")
        self._degraded = self._gauge("warp_degraded", "1 where health/ready says `degraded`.")

    async def text(self, gateway: Gateway) -> bytes:
        """Return all figures, those of ``gateway`` as they are now."""
        for state in await gateway.models():
            model = self._model(state.model)
            for name in _STATES:
                self._state.labels(model, name).set(state.state == name)
            self._restores.labels(model).set(state.restores_in or 0)
        status = await gateway.status()
        self._reachable.labels(str(status.storage.get("type"))).set(bool(status.storage.get("reachable")))
        self._degraded.set(not status.ok)
        return generate_latest(_WithoutBirths(self._registry))

    def request(self, path: str | None, method: str | None, status: int) -> None:
        """Count an HTTP request; ``path`` is its route's, None where there is none."""
        self._requests(path or OTHER, method if method in _METHODS else OTHER, str(int(status))).inc()

    def close(self) -> None:
        """Count no longer."""
        self._stop()

    def _see(self, name: str, fields: Mapping[str, Any]) -> None:
        if name in _TROUBLES:
            self._troubles(name).inc()
        elif count := _COUNTS.get(name):
            count(self, self._model(fields.get("model")), fields)

    def _started(self, _: str, __: Mapping[str, Any]) -> None:
        self._running += 1

    def _ended(self, model: str, fields: Mapping[str, Any]) -> None:
        self._running = max(0, self._running - 1)  # one that began before anything was counted ends, too
        self._answers(model, fields["status"]).inc()
        self._answer_seconds(model).observe(fields["seconds"])
        if fields["first_token"] is not None:
            self._first_token(model).observe(fields["first_token"])
        for direction in ("input", "output"):
            self._tokens(model, direction).inc(fields[f"{direction}_tokens"])
        if fields["cost"] is not None:
            self._cost(model).inc(fields["cost"])

    def _tried(self, model: str, fields: Mapping[str, Any]) -> None:
        self._attempts(model, fields.get("code", "ok")).inc()

    def _cools(self, model: str, fields: Mapping[str, Any]) -> None:
        self._cooldowns(model, fields["reason"]).inc()

    def _limited(self, model: str, _: Mapping[str, Any]) -> None:
        self._limits(model).inc()

    def _again(self, model: str, _: Mapping[str, Any]) -> None:
        self._hits(model).inc()

    def _model(self, said: object) -> str:
        """Return a model's label; "" where nobody had begun to answer."""
        model = "" if said is None else str(said)
        return model if model in self._models or not model else OTHER

    def _counter(self, name: str, text: str, *labels: str) -> Callable[..., Counter]:
        """Return what finds a series by its labels, of which there are few, so that each is looked for once."""
        return cache(Counter(name, text, labels, registry=self._registry).labels)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str) -> Callable[..., Histogram]:
        return cache(Histogram(name, text, ("model",), registry=self._registry, buckets=_SECONDS).labels)


_COUNTS: Final = {
    "answer_started": Metrics._started,  # noqa: SLF001 - the class's own table
    "answer_ended": Metrics._ended,  # noqa: SLF001
    "attempt_ended": Metrics._tried,  # noqa: SLF001
    "attempt_failed": Metrics._tried,  # noqa: SLF001
    "model_cooling": Metrics._cools,  # noqa: SLF001
    "limit_reached": Metrics._limited,  # noqa: SLF001
    "cache_hit": Metrics._again,  # noqa: SLF001
}


class _WithoutBirths:
    """A registry without the times at which its series began, which would double them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
