"""What several of these tests name."""

from warp_magics.gateway.types import Model

OPENAI = {"OPENAI_API_KEY": "sk-openai-1234567890"}
KEYS = OPENAI | {"DEEPSEEK_API_KEY": "sk-deepseek-1234567890", "GEMINI_API_KEY": "gm-gemini-1234567890"}
MINI = Model("openai", "gpt-4o-mini")

PLANTED = """
models = ["openai:a", "lab:b", "mistral:c", "deepseek:d", "groq:e"]
[providers.openai]
api_key = "PLANTED-literal-key"
headers = { "x-key" = "PLANTED-header", "x-other" = "${PLANT_HEADER}" }
proxy = "http://u:PLANTED-proxy@proxy:1"
[providers.lab]
dialect = "openai"
base_url = "http://h"
api_key = "${PLANT_KEY}"
[providers.mistral]
api_key_file = "mistral.key"
[storage]
url = "valkey://PLANTED-user:PLANTED-password@h:1/0"
"""
PLANTS = {
    "DEEPSEEK_API_KEY": "PLANTED-env",
    "GROQ_API_KEY": "PLANTED-env-2",
    "PLANT_KEY": "PLANTED-placeholder",
    "PLANT_HEADER": "PLANTED-env-header",
}
