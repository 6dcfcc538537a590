"""AI Warp's and Platformatic's files."""

from warp_magics.gateway.config import Secret
from warp_magics.gateway.types import Window

PLATFORMATIC = {
    "$schema": "https://schemas.platformatic.dev/@platformatic/ai-warp/1.0.0.json",
    "module": "@platformatic/ai-warp",
    "server": {"hostname": "{HOSTNAME}", "port": "{PORT}", "logger": {"level": "{LEVEL}"}},
    "auth": {"required": True, "jwt": {"secret": "{JWT_SECRET}"}},
    "ai": {
        "headerSessionIdName": "x-conversation",
        "promptPath": "/api/v1/prompt",
        "streamPath": "/elsewhere",
        "providers": {"openai": {"apiKey": "{PLT_OPENAI_API_KEY}"}, "deepseek": {"apiKey": "{PLT_DEEPSEEK_API_KEY}"}},
        "models": [
            {
                "provider": "openai",
                "model": "gpt-4o-mini",
                "limits": {"maxTokens": 500, "rate": {"max": 10, "timeWindow": 5000}},
                "restore": {"rateLimit": "2m", "retry": 1, "providerCommunicationError": 1500},
            },
            {"provider": "deepseek", "model": "deepseek-chat"},
        ],
        "storage": {"type": "valkey", "valkey": {"host": "{VALKEY}", "port": "{VALKEY_PORT}", "password": "p@ss/word"}},
        "limits": {
            "maxTokens": 1000,
            "rate": {"max": 20, "timeWindow": "1m"},
            "requestTimeout": 12_000,
            "retry": {"max": 2, "interval": 500},
            "historyExpiration": "2d",
        },
        "restore": {"timeout": 90_000, "providerExceededError": "1h", "retry": "1m"},
    },
}
PLATFORMATIC_ENV = {
    "PLT_OPENAI_API_KEY": "sk-1",
    "PLT_DEEPSEEK_API_KEY": "12345",
    "VALKEY": "valkey.lan",
    "VALKEY_PORT": "6380",
    "PORT": "8080",
}


def test_a_platformatic_file_loads_unchanged(load):
    config = load(PLATFORMATIC, PLATFORMATIC_ENV, "platformatic.json")
    assert [str(model) for model in config.chain] == ["openai:gpt-4o-mini", "deepseek:deepseek-chat"]
    assert config.session_header == "x-conversation"
    assert config.providers["openai"].api_key == Secret("sk-1")
    assert config.providers["deepseek"].api_key == Secret("12345")
    mini, chat = (config.settings(model) for model in config.chain)
    assert (mini.max_tokens, mini.rate) == (500, Window(10, 5.0))
    assert (chat.max_tokens, chat.rate) == (1000, Window(20, 60.0))
    assert mini.restore == {"rate_limit": 120.0, "timeout": 90.0, "provider_error": 1.5, "quota": 3600.0}
    assert chat.restore == {"rate_limit": 60.0, "timeout": 90.0, "provider_error": 60.0, "quota": 3600.0}
    limits = config.limits
    assert (limits.timeout.first_token, limits.timeout.stall, limits.timeout.total) == (12.0, 12.0, 600.0)
    assert (limits.retry.max, limits.retry.interval, limits.history_expiration) == (2, 0.5, 172_800.0)
    assert config.storage.address() == "redis://:p%40ss%2Fword@valkey.lan:6380/0"
    assert (config.server.host, config.server.port) == ("127.0.0.1", 8080)
    assert config.warnings == (
        "auth is Platformatic's and has no effect here",
        "streamPath has no effect: the paths are fixed",
        "restore.retry has no effect, as in AI Warp: no model is passed over for that reason",
        "server.hostname has no effect: the environment variable HOSTNAME is not set",
    )


def test_ai_warps_names_stand_beside_ours(load):
    config = load(
        {
            "limits": {"requestTimeout": 5000, "timeout": {"stall": "9s"}},
            "restore": {"providerCommunicationError": 1000, "providerError": 2000, "providerExceededError": 3000},
        }
    )
    assert (config.limits.timeout.first_token, config.limits.timeout.stall) == (5.0, 9.0)
    assert (config.restore["provider_error"], config.restore["quota"]) == (2.0, 3.0)
    assert config.restore_set == {"provider_error", "quota"}
