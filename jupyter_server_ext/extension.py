"""WarpExtension: the gateway inside a Jupyter Server; opened when first used, closed with the server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_core.application import JupyterApp
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.utils import url_path_join
from traitlets import Unicode
from traitlets.config import Application

if TYPE_CHECKING:
    from warp_magics.gateway import LocalGateway, WarpConfig

    from .endpoints import Endpoints


class WarpExtension(ExtensionApp):
    """Serves ``{base_url}warp/``."""

    name = "warp"
    load_other_extensions = True
    open_browser = False
    config_file = Unicode("", help="The warp.toml to read; empty: $WARP_CONFIG, else the one in a config folder.").tag(
        config=True
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._config: WarpConfig | None = None
        self._gateway: LocalGateway | None = None
        self._endpoints: Endpoints | None = None
        self._opening = asyncio.Lock()

    @classmethod
    def section_names(cls) -> list[str]:
        """Leave JupyterApp's section out: its ``config_file`` is Jupyter's own."""
        return [name for name in super().section_names() if name != JupyterApp.__name__]

    def load_config_file(self, suppress_errors: bool = True) -> None:  # type: ignore[override] # noqa: ARG002, FBT001, FBT002
        """Load Jupyter's files, of which ``config_file`` is none: JupyterApp would run the Python file of its name."""
        for name in ("jupyter_config", self.config_file_name):
            Application.load_config_file(self, name, path=self.config_file_paths)

    def initialize_settings(self) -> None:
        """Give the handlers their way to the gateway."""
        self.settings.update(warp_endpoints=self.endpoints, warp_owner=self.fixed_owner)

    def initialize_handlers(self) -> None:
        """Put the paths below ``{base_url}warp/``."""
        from .handlers import ROUTES

        self.handlers.extend((url_path_join("/warp", path), handler) for path, handler in ROUTES)

    def fixed_owner(self) -> str | None:
        """Return the owner that the configuration sets over whoever asks."""
        return self._config.storage.owner if self._config else None

    async def endpoints(self) -> Endpoints:
        """Return the endpoints, opening the gateway first; raises ConfigError."""
        async with self._opening:
            if self._endpoints is None:
                self._endpoints = await self._open()
            return self._endpoints

    async def _open(self) -> Endpoints:
        from warp_magics import __version__
        from warp_magics.gateway import LocalGateway

        from .endpoints import Endpoints

        config = await asyncio.to_thread(self._read_config)
        for warning in config.warnings:
            self.log.warning("warp: %s", warning)
        self._config = config
        self._gateway = LocalGateway(config, version=__version__)
        size = config.limits.body_size
        return Endpoints(self._gateway, session_header=config.session_header, body_size=size)

    def _read_config(self) -> WarpConfig:
        from jupyter_core.paths import jupyter_config_path

        from warp_magics.gateway import load_config

        named = Path(self.config_file) if self.config_file else None
        return load_config(path=named, folders=[Path(folder) for folder in jupyter_config_path()])

    async def stop_extension(self) -> None:
        """Stop live answers, keep their parts, close connections."""
        if self._gateway is not None:
            await self._gateway.aclose()
