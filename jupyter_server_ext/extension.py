"""WarpExtension: the gateway inside a Jupyter Server; opened when first used, closed with the server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jupyter_core.application import JupyterApp
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.utils import url_path_join
from traitlets import Bool, Unicode
from traitlets.config import Application

from warp_magics.gateway import KEYS_HIDDEN, SERVER_ID, Announcement, Environment, announce, errors, hide_keys, withdraw

from .inside.scoped import Scoped

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from jupyter_server.serverapp import ServerApp

    from warp_magics.gateway import LocalGateway, WarpConfig

    from .inside.passing import Passing
    from .rest.endpoints import Endpoints
    from .rest.metrics import Metrics

_LOOPBACK: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - listened on, not called


class WarpExtension(ExtensionApp):
    """Serves ``{base_url}warp/``."""

    name = "warp"
    load_other_extensions = True
    open_browser = Bool(default_value=False).tag(config=True)  # Jupyter's `--no-browser` is said to every application
    config_file = Unicode("", help="The warp.toml to read; empty: $WARP_CONFIG, else the one in a config folder.").tag(
        config=True
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._config: WarpConfig | None = None
        self._gateway: LocalGateway | None = None
        self._endpoints: Endpoints | None = None
        self._passing: Passing | None = None
        self._opening = asyncio.Lock()
        self._server_id = secrets.token_hex(8)
        self._token = secrets.token_urlsafe(32)
        self._scoped = Scoped(self._token, self.kernel_owner)
        self._announced: Path | None = None
        self._counts: Metrics | None = None
        self._env: Mapping[str, str] = os.environ
        self._complained = ""

    @classmethod
    def section_names(cls) -> list[str]:
        """Leave JupyterApp's section out: its ``config_file`` is Jupyter's own."""
        return [name for name in super().section_names() if name != JupyterApp.__name__]

    def load_config_file(self, suppress_errors: bool = True) -> None:  # type: ignore[override] # noqa: ARG002, FBT001, FBT002
        """Load Jupyter's files, of which ``config_file`` is none: JupyterApp would run the Python file of its name."""
        for name in ("jupyter_config", self.config_file_name):
            Application.load_config_file(self, name, path=self.config_file_paths)

    def initialize_settings(self) -> None:
        """Give the handlers their way to the gateway, and kernels to be started the id they know this server by."""
        self.settings.update(
            warp_endpoints=self.endpoints,
            warp_passing=self.passing,
            warp_body_size=self.body_size,
            warp_owner=self.fixed_owner,
            warp_scoped=self._scoped,
            warp_count=self.count,
        )
        os.environ[SERVER_ID] = self._server_id
        os.environ.pop(KEYS_HIDDEN, None)  # of a server in whose terminal this one was started
        self._hide_keys()

    def _hide_keys(self) -> None:
        """Keep keys from whatever this server starts, and in memory for its own configuration; CONFIG.md says when.

        On the thread that starts kernels: they copy the environment, which must not change meanwhile.
        """
        before = self._env if isinstance(self._env, Environment) else None
        hidden = hide_keys(os.environ, *self._places(), before)
        if hidden is None:
            return
        self._env = hidden
        os.environ[KEYS_HIDDEN] = ", ".join(hidden.taken) or "none"
        if before is None or before.taken != hidden.taken:
            names = ", ".join(hidden.taken) or "none are set"
            self.log.info(
                "warp: keys kept from kernels and terminals: %s (hide_keys under [server] of warp.toml)", names
            )

    def _places(self) -> tuple[Path | None, list[Path]]:
        """Return the file that is named here, and the folders in which one is looked for."""
        from jupyter_core.paths import jupyter_config_path

        return Path(self.config_file) if self.config_file else None, [Path(one) for one in jupyter_config_path()]

    def initialize_handlers(self) -> None:
        """Put the paths below ``{base_url}warp/``."""
        from .inside.handlers import ROUTES

        self.handlers.extend((url_path_join("/warp", path), handler) for path, handler in ROUTES)

    def fixed_owner(self) -> str | None:
        """Return the owner that the configuration sets over whoever asks."""
        return self._config.storage.owner if self._config else None

    def kernel_owner(self) -> str:
        """Return whose sessions a kernel of this server means: those it would mean by a gateway of its own."""
        return self.fixed_owner() or os.environ.get("JUPYTERHUB_USER") or "local"

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """Tell the kernels where the gateway is, now that the server listens there."""
        from warp_magics import __version__

        url = kernel_url(serverapp)
        if url is None:
            return
        said = Announcement(url, self._token, os.getpid(), self._server_id, __version__)
        try:
            self._announced = announce(Path(serverapp.runtime_dir), said)
        except OSError as error:
            self.log.warning("warp: kernels are not told of this server's gateway: %s", error)

    async def endpoints(self) -> Endpoints:
        """Return the endpoints, opening the gateway first; raises ConfigError."""
        if self._endpoints is not None:
            return self._endpoints
        async with self._settling() as config:
            if self._endpoints is None:
                self._endpoints = self._open(config)
            return self._endpoints

    async def body_size(self) -> int:
        """Return how many bytes a body may have, reading the configuration first; raises ConfigError."""
        if self._config is not None:
            return self._config.limits.body_size
        async with self._settling() as config:
            return config.limits.body_size

    async def passing(self) -> Passing | None:
        """Return the way to the gateway that answers instead; None where this one does. Raises ConfigError."""
        if self._passing is not None or self._endpoints is not None:
            return self._passing
        async with self._settling() as config:
            if self._passing is None and config.gateway:
                self._passing = self._way(config, config.gateway.url, config.gateway.auth)
            return self._passing

    @contextlib.asynccontextmanager
    async def _settling(self) -> AsyncGenerator[WarpConfig, None]:
        """Hold the configuration, read when first needed; if nothing can be made of it, it is read anew next time."""
        async with self._opening:
            try:
                if self._config is None:
                    self._hide_keys()  # the file may name others by now
                    self._config = await asyncio.to_thread(self._read_config)
                yield self._config
            except errors.WarpError as error:
                self._config = None
                if error.message != self._complained:
                    self._complained = error.message
                    self.log.warning("warp: %s", error.message)
                raise

    def _open(self, config: WarpConfig) -> Endpoints:
        from warp_magics import __version__
        from warp_magics.gateway import LocalGateway

        from .rest.endpoints import Endpoints
        from .rest.metrics import Metrics

        if self._counts is not None:  # of an opening that failed
            self._counts.close()
        self._counts = Metrics(map(str, config.described))  # first: opening tells of troubles, too
        self._gateway = LocalGateway(config, version=__version__)
        for warning in self._gateway.warnings:
            self.log.warning("warp: %s", warning)
        size = config.limits.body_size
        return Endpoints(self._gateway, session_header=config.session_header, body_size=size, counts=self._counts)

    def count(self, path: str | None, method: str | None, status: int) -> None:
        """Count a request, once the gateway is open."""
        if self._endpoints is not None:
            self._endpoints.count(path, method, status)

    def _way(self, config: WarpConfig, url: str, auth: str | None) -> Passing:
        from warp_magics import ways

        from .inside.passing import Passing

        place = ways.configured(url, auth, self._env)
        for warning in (*config.warnings, *place.warnings):
            self.log.warning("warp: %s", warning)
        longest = config.limits.timeout.total + config.limits.session_wait
        return Passing(url, place.token, body_size=config.limits.body_size, longest=longest)

    def _read_config(self) -> WarpConfig:
        from warp_magics.gateway import load_config

        named, folders = self._places()
        return load_config(path=named, folders=folders, env=self._env)

    async def stop_extension(self) -> None:
        """Take back what kernels were told; stop live answers, keep their parts, close connections."""
        self._scoped.revoke()
        if os.environ.get(SERVER_ID) == self._server_id:
            del os.environ[SERVER_ID]
            os.environ.pop(KEYS_HIDDEN, None)
        if self._announced is not None:
            withdraw(self._announced)
            self._announced = None
        async with contextlib.AsyncExitStack() as closing:
            if self._counts is not None:
                closing.callback(self._counts.close)
                self._counts = None
            for one in (self._passing, self._gateway):
                if one is not None:
                    closing.push_async_callback(one.aclose)


def kernel_url(serverapp: ServerApp) -> str | None:
    """Return the gateway's base URL as this machine reaches it; None where the server listens on a Unix socket."""
    if serverapp.sock or not serverapp.port:
        return None
    scheme = "https" if serverapp.certfile else "http"
    host = _LOOPBACK.get(serverapp.ip, serverapp.ip)
    if ":" in host:
        host = f"[{host}]"
    return f"{scheme}://{host}:{serverapp.port}{url_path_join(serverapp.base_url, 'warp')}"
