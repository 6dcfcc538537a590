"""A gateway to ask: in a Jupyter Server or alone, with a fake provider behind it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.server.alone_process import running_alone
from tests.server.process import running_jupyter

from .run import Target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVERS = ("jupyter", "alone")
TOML = """
models = ["fake:ok", "fake:also"]
[providers.fake]
dialect = "openai"
base_url = "{base_url}"
api_key = "sk-fake-0123456789-uvwxyz"
[limits]
retry = {{ max = 0 }}
[storage]
type = "memory"
"""


@contextmanager
def target(server: str, base_url: str, folder: Path) -> Iterator[Target]:
    """Start `server`, which asks the provider at `base_url`."""
    config = folder / "warp.toml"
    config.write_text(TOML.format(base_url=base_url), "utf-8")
    env = {"WARP_CONFIG": str(config)}
    if server == "jupyter":
        with running_jupyter(folder / "one", env, counted=False) as jupyter:
            yield Target(jupyter.warp, jupyter.token)
    else:
        with running_alone(folder / "one", env) as alone:
            yield Target(alone.url, alone.token)
