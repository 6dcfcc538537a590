from __future__ import annotations

import time

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from .store_proxy import StoreProxy
from .valkey_server import running_server, server_binaries


def client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=0.3, socket_connect_timeout=0.3, retry=Retry(NoBackoff(), 0))


@pytest.mark.parametrize("binary", server_binaries().values(), ids=server_binaries())
def test_a_real_server_freezes_dies_and_comes_back(binary):
    with running_server(binary, password="secret") as server, client(server.url) as store:
        store.set("a", 1)
        server.freeze()
        with pytest.raises(redis.TimeoutError):
            store.get("a")
        server.thaw()
        assert store.get("a") == b"1"
        server.kill()
        with pytest.raises(redis.ConnectionError):
            store.get("a")
        server.restart()
        assert store.get("a") is None
        with pytest.raises(redis.AuthenticationError), client(server.url.replace("secret", "wrong")) as stranger:
            stranger.ping()
    assert not server.answers()


def test_a_durable_server_keeps_its_data_over_a_crash():
    with running_server(next(iter(server_binaries().values())), durable=True) as server, client(server.url) as store:
        store.set("a", 1)
        server.restart()
        store.connection_pool.disconnect()
        assert store.get("a") == b"1"


def test_the_proxy_goes_away_and_comes_back():
    with running_server(next(iter(server_binaries().values()))) as server, StoreProxy(server.url) as proxy:
        store = client(proxy.url)
        store.set("a", 1)
        proxy.refuse()
        with pytest.raises(redis.ConnectionError):
            store.get("a")
        proxy.freeze()
        proxy.back()
        assert store.get("a") == b"1"
        proxy.freeze()
        with pytest.raises(redis.TimeoutError):
            store.get("a")
        proxy.back()
        proxy.drop()
        assert store.get("a") == b"1"
        proxy.freeze(replies_only=True)
        with pytest.raises(redis.TimeoutError):
            store.incr("a")
        assert client(server.url).get("a") == b"2"
        proxy.back()
        proxy.delay = 0.05
        start = time.monotonic()
        assert store.get("a") == b"2"
        assert time.monotonic() - start >= 0.1
        assert proxy.connections > 3
        store.close()


def test_the_proxy_goes_away_at_a_word():
    with running_server(next(iter(server_binaries().values()))) as server, StoreProxy(server.url) as proxy:
        store = client(proxy.url)
        store.set("a", 1)
        proxy.freeze_at(b"fatal")
        store.set("a", 2)
        with pytest.raises(redis.TimeoutError):
            store.set("a", "fatal")
        assert client(server.url).get("a") == b"2"
        proxy.back()
        assert store.set("a", "fatal")
