"""A real JupyterHub, set up as docs/jupyterhub.md says: `with running_hub(folder, store_url, provider_url) as hub`.

It runs the page's own blocks of configuration. What differs is where things are, and who users are: anybody who says a
name (dummy authenticator), all servers under one system user (simple spawner).
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.server.process import poll

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "jupyterhub.md"
PROXY = Path(__file__).with_name("node_modules") / ".bin" / "configurable-http-proxy"
KEY = "sk-of-the-service-0123456789-uvwxyz"
SECONDS = 90.0
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SERVICE, USERS, ADDRESS, PUBLIC = "/srv/warp", "/etc/warp", "127.0.0.1:10101", "https://hub.example.org"
SERVICE_TOML = """
models = ["fake:ok"]
[providers.fake]
dialect = "openai"
base_url = "{provider}"
api_key_file = "fake.key"
[limits]
retry = {{ max = 0 }}
[storage]
type = "valkey"
url = "${{WARP_STORE_URL}}"
"""
HERE = """
import os
load_subconfig("page.py")

c.JupyterHub.services[0]["environment"] = {{"WARP_STORE_URL": "{store}"}}
c.JupyterHub.services.append({{"name": "tests", "api_token": "{admin}"}})
c.JupyterHub.services.append({{"name": "ada", "api_token": "{robot}"}})
c.JupyterHub.load_roles += [
    {{"name": "tests", "services": ["tests"], "scopes": ["admin:users", "admin:servers", "tokens", "read:services"]}},
    {{"name": "robots", "services": ["ada"], "scopes": ["access:services!service=warp"]}},
    {{"name": "visitors", "users": ["visitor"], "scopes": ["access:servers!user=ada", "access:servers!user=old"]}},
]
c.JupyterHub.bind_url = "{url}"
c.JupyterHub.hub_port = {hub_port}
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.DummyAuthenticator.password = "open"
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = "{homes}/{{username}}"
c.Spawner.args = ["--allow-root"]
c.Spawner.poll_interval = 3
c.Spawner.start_timeout = c.Spawner.http_timeout = 90

def older_kind(spawner):
    if spawner.user.name == "old":
        spawner.environment = spawner.environment | {{"JUPYTERHUB_SINGLEUSER_EXTENSION": "0"}}

c.Spawner.pre_spawn_hook = older_kind
c.ConfigurableHTTPProxy.command = ["{proxy}"]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.auth_token = "{admin}"
"""


@dataclass
class Hub:
    """What runs; `url` is the proxy's, `folder` holds all of its files. `robot` is the token of a service named as ada."""

    url: str
    admin: str = field(repr=False)
    robot: str = field(repr=False)
    folder: Path
    process: subprocess.Popen[bytes]

    def api(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"token {self.admin}"}
        return httpx.request(method, f"{self.url}/hub/api/{path}", headers=headers, timeout=60, **more)

    def user(self, name: str) -> User:
        """Make a user, start the server, and give the user a token."""
        self.api("POST", f"users/{name}").raise_for_status()
        self.api("POST", f"users/{name}/server").raise_for_status()
        poll(lambda: self.api("GET", f"users/{name}").json()["servers"].get("", {}).get("ready"), SECONDS)
        return User(self, name, self.token(name)["token"])

    def token(self, name: str, **more: Any) -> dict[str, Any]:
        """Make a token of a user's; `scopes` says which, else all of the user's."""
        return dict(
            self.api("POST", f"users/{name}/tokens", json={"note": "a test's", **more}).raise_for_status().json()
        )

    def service(self, token: str | None, **headers: str) -> httpx.Client:
        """A client of the service itself, as curl would be."""
        known = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=f"{self.url}/services/warp/api/v1/", headers=known | headers, timeout=60)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")


@dataclass
class User:
    """A user whose server runs."""

    hub: Hub
    name: str
    token: str = field(repr=False)

    @property
    def url(self) -> str:
        """The user's server, as `ServedKernel` wants it."""
        return f"{self.hub.url}/user/{self.name}/"

    @property
    def home(self) -> Path:
        return self.hub.folder / "homes" / self.name

    def server(self, token: str | None = None) -> httpx.Client:
        """A client of the gateway's paths in the user's own server; by another's `token` where one is given."""
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return httpx.Client(base_url=f"{self.url}warp/api/v1/", headers=headers, timeout=60)

    def curl(self) -> httpx.Client:
        return self.hub.service(self.token)

    def browser(self) -> httpx.Client:
        """A client that has signed in to the Hub and gone to the user's server, as a browser does: with cookies alone."""
        client = httpx.Client(base_url=f"{self.url}warp/api/v1/", follow_redirects=True, timeout=60)
        page = client.get(f"{self.hub.url}/hub/login")
        said = {"username": self.name, "password": "open", "_xsrf": client.cookies.get("_xsrf", path="/hub/")}
        client.post(page.url, data=said).raise_for_status()
        client.get(f"{self.url}api/status").raise_for_status()
        return client


def blocks(kind: str) -> list[str]:
    """The page's blocks of a language."""
    return [text for language, text in BLOCK.findall(PAGE.read_text("utf-8")) if language == kind]


@contextmanager
def running_hub(folder: Path, store: str, provider: str) -> Iterator[Hub]:
    assert PROXY.exists(), "the Hub's proxy is not installed: make hub-proxy"
    hub_port, proxy_port, port, service_port = _free_ports(4)
    admin, robot, url = secrets.token_hex(16), secrets.token_hex(16), f"http://127.0.0.1:{port}"
    places = {
        SERVICE: str(_made(folder / "service")),
        USERS: str(_made(folder / "users")),
        ADDRESS: f"127.0.0.1:{service_port}",
        PUBLIC: url,
    }
    (page,) = blocks("python")
    (folder / "page.py").write_text(_placed(page, places))
    (folder / "service" / "warp.toml").write_text(SERVICE_TOML.format(provider=provider))
    (folder / "service" / "fake.key").write_text(KEY)
    (folder / "users" / "warp.toml").write_text(_placed(blocks("toml")[-1], places))
    more = {
        "robot": robot,
        "store": store,
        "admin": admin,
        "url": url,
        "hub_port": hub_port,
        "proxy_port": proxy_port,
        "proxy": PROXY,
    }
    (folder / "jupyterhub_config.py").write_text(HERE.format(homes=_made(folder / "homes"), **more))
    command = [sys.executable, "-m", "jupyterhub", "-f", folder / "jupyterhub_config.py"]
    bin_first = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": bin_first, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": KEY, "WARP_STORE_URL": store}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)
    hub = Hub(url, admin, robot, folder, process)
    try:
        poll(lambda: process.poll() is not None or _answers(hub), SECONDS)
        assert process.poll() is None, hub.log()[-5000:]
        yield hub
    finally:
        process.send_signal(signal.SIGTERM)  # the Hub ends its servers, its services and its proxy
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(hub: Hub) -> bool:
    """Whether the proxy knows the service, and that answers."""
    try:
        return hub.service(None).get("health/ready").is_success
    except httpx.TransportError:
        return False


def _placed(text: str, places: dict[str, str]) -> str:
    for there, here in places.items():
        assert there in text or there in "".join(blocks("python") + blocks("toml")), there
        text = text.replace(there, here)
    return text


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
