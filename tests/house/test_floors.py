"""The floors of docs/contracts/ARCHITECTURE.md, held: who may import whom, and which foreign library has which door."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("warp_magics", "jupyter_server_ext")
DOOR = "warp_magics/gateway/__init__.py"
OFFERED = {("warp_magics.gateway", "errors"), ("warp_magics.gateway", "wire")}  # modules that the door hands out whole
NUMBER = ("warp_magics", "__version__")  # Python runs that file before any other of the package, so it is no climb

# From the ground up. A file imports from floors below, and from files named before it in its own group. Files of one
# pattern are peers: they may import each other, but not in a circle. Groups of one floor do not know each other.
FLOORS: tuple[tuple[str, dict[str, tuple[str, ...]]], ...] = (
    (
        "ground",
        {
            "ground": (
                "gateway/types/prompts",
                "gateway/types/answers",
                "gateway/types/states",
                "gateway/types/__init__",
                "gateway/errors/base",
                "gateway/errors/own",
                "gateway/errors/provider",
                "gateway/errors/__init__",
                "gateway/plugins",
                "gateway/signals",
                "gateway/turnstile",
                "gateway/sse",
            )
        },
    ),
    (
        "parts",
        {
            "settings": (
                "gateway/providers",
                "gateway/finding",
                "gateway/hiding",
                "gateway/config/[a-z]*",
                "gateway/config/__init__",
                "gateway/form",
                "gateway/prompt",
                "gateway/policy",
                "gateway/routing",
                "gateway/splice",
            ),
            "wire": ("gateway/wire/[a-z]*", "gateway/wire/__init__"),
            "announced": ("gateway/announced",),
            "dialects": (
                "gateway/dialects/base",
                "gateway/dialects/reading",
                "gateway/dialects/refusals",
                "gateway/dialects/[a-z]*_errors",
                "gateway/dialects/[a-z]*_stream",
                "gateway/dialects/demo_values",
                "gateway/dialects/openai",
                "gateway/dialects/[a-z]*",
                "gateway/dialects/__init__",
            ),
            "stores": (
                "gateway/stores/keeper",
                "gateway/stores/places",
                "gateway/stores/shared",
                "gateway/stores/base",
                "gateway/stores/records",
                "gateway/stores/logs",
                "gateway/stores/memory_[a-z]*",
                "gateway/stores/memory",
                "gateway/stores/valkey/keys",
                "gateway/stores/valkey/clients",
                "gateway/stores/valkey/pipe",
                "gateway/stores/valkey/place",
                "gateway/stores/valkey/cluster",
                "gateway/stores/valkey/link",
                "gateway/stores/valkey/[a-z]*",
                "gateway/stores/valkey/__init__",
                "gateway/stores/embedded",
                "gateway/stores/__init__",
            ),
        },
    ),
    ("one call", {"one call": ("gateway/prices", "gateway/connections", "gateway/client")}),
    (
        "conduct",
        {
            "conduct": (
                "gateway/base",
                "gateway/exports",
                "gateway/feeds",
                "gateway/terms",
                "gateway/branches",
                "gateway/orphans",
                "gateway/turns",
                "gateway/live",
                "gateway/tails",
                "gateway/course",
                "gateway/outcome",
                "gateway/health",
                "gateway/router",
                "gateway/cache",
                "gateway/previews",
                "gateway/streams",
                "gateway/sessions",
                "gateway/stored",
                "gateway/local",
                "gateway/remote/line",
                "gateway/remote/progress",
                "gateway/remote/gateway",
                "gateway/remote/__init__",
                "gateway/tape/shape",
                "gateway/tape/entries",
                "gateway/tape/secrets",
                "gateway/tape/reel",
                "gateway/tape/misses",
                "gateway/tape/gateway",
                "gateway/tape/__init__",
            )
        },
    ),
    ("door", {"door": ("gateway/__init__",)}),
    ("bridge", {"bridge": ("portal", "kernel_loop", "ways", "taping", "opening", "connect")}),
    (
        "fronts",
        {
            "notebook": (
                "words",
                "terminal",
                "tables",
                "advice",
                "brief",
                "grammar",
                "formats",
                "reply",
                "interpolate",
                "frames",
                "plain",
                "images",
                "attach",
                "nearby",
                "suggestions",
                "schema",
                "repairs",
                "cells",
                "display",
                "markdown",
                "saved",
                "views",
                "answers",
                "asking",
                "completion",
                "commands",
                "verbs",
                "news",
                "switchboard",
                "mirror",
                "panels",
                "panel",
                "api",
                "magics",
                "pytest_plugin",
            ),
            "rest": (
                "jupyter_server_ext/rest/__init__",
                "jupyter_server_ext/rest/bounds",
                "jupyter_server_ext/rest/chunks",
                "jupyter_server_ext/rest/messages",
                "jupyter_server_ext/rest/feeds",
                "jupyter_server_ext/rest/operations",
                "jupyter_server_ext/rest/openai_operations",
                "jupyter_server_ext/rest/openapi",
                "jupyter_server_ext/rest/page",
                "jupyter_server_ext/rest/metrics",
                "jupyter_server_ext/rest/askings",
                "jupyter_server_ext/rest/endpoints",
                "jupyter_server_ext/rest/shapes",
                "jupyter_server_ext/rest/overlap",
                "jupyter_server_ext/rest/openai_api",
                "jupyter_server_ext/rest/routes",
                "jupyter_server_ext/inside/__init__",
                "jupyter_server_ext/inside/scoped",
                "jupyter_server_ext/inside/bodies",
                "jupyter_server_ext/inside/arrivals",
                "jupyter_server_ext/inside/passing",
                "jupyter_server_ext/inside/handlers",
                "jupyter_server_ext/setup/__init__",
                "jupyter_server_ext/setup/toml_text",
                "jupyter_server_ext/setup/private_files",
                "jupyter_server_ext/setup/trial",
                "jupyter_server_ext/setup/wizard",
                "jupyter_server_ext/extension",
                "jupyter_server_ext/apart/__init__",
                "jupyter_server_ext/apart/cors",
                "jupyter_server_ext/apart/guards",
                "jupyter_server_ext/apart/hub",
                "jupyter_server_ext/apart/token_file",
                "jupyter_server_ext/apart/asgi",
                "jupyter_server_ext/apart/patience",
                "jupyter_server_ext/apart/serve",
                "jupyter_server_ext/alone",
            ),
        },
    ),
    ("faces", {"notebook": ("__init__",), "rest": ("jupyter_server_ext/__init__",)}),
)

# Besides the standard library.
LIBRARIES = {
    "pydantic": (
        "gateway/config/schema",
        "gateway/config/faults",
        "gateway/wire/bodies",
        "gateway/wire/requests",
        "gateway/wire/answers",
        "gateway/wire/schemas",
        "gateway/wire/openai_answers",
        "gateway/wire/openai_requests",
        "schema",
    ),
    "jsonschema": ("schema",),
    "referencing": ("schema",),
    "typing_extensions": ("schema",),
    "PIL": ("images",),
    "pypdf": ("attach",),
    "orjson": ("gateway/wire/*", "gateway/dialects/*", "gateway/stores/*"),
    "redis": tuple(f"gateway/stores/valkey/{name}" for name in ("place", "clients", "cluster", "link")),
    "genai_prices": ("gateway/prices",),
    "hiredis": ("gateway/stores/valkey/clients",),
    "httpx": ("gateway/remote/line",),
    "certifi": ("gateway/connections",),
    "aiohttp": (
        "gateway/connections",
        "gateway/remote/line",
        "jupyter_server_ext/inside/passing",
        "jupyter_server_ext/apart/hub",
    ),
    "yarl": ("gateway/connections", "jupyter_server_ext/inside/passing"),
    "jupyterhub": ("jupyter_server_ext/apart/hub",),
    "httpx_aiohttp": ("gateway/remote/line",),
    "anyio": ("portal", "connect"),
    "nest_asyncio2": ("kernel_loop",),
    "jupyter_core": (
        "opening",
        "jupyter_server_ext/setup/wizard",
        "jupyter_server_ext/extension",
        "jupyter_server_ext/apart/token_file",
        "jupyter_server_ext/apart/serve",
        "jupyter_server_ext/alone",
    ),
    "IPython": ("__init__", "cells", "display", "answers", "completion", "panel", "api", "magics"),
    "anywidget": ("panel",),
    "mistune": ("markdown",),
    "traitlets": ("panel", "magics", "jupyter_server_ext/extension"),
    "pytest": ("pytest_plugin",),
    "prometheus_client": ("jupyter_server_ext/rest/metrics",),
    "uvicorn": ("jupyter_server_ext/apart/serve", "jupyter_server_ext/apart/patience"),
    "tornado": (
        "jupyter_server_ext/inside/bodies",
        "jupyter_server_ext/inside/arrivals",
        "jupyter_server_ext/inside/handlers",
        "jupyter_server_ext/inside/scoped",
        "jupyter_server_ext/extension",
        "jupyter_server_ext/apart/hub",  # whose library raises its errors, and aiohttp's
    ),
    "jupyter_server": (
        "jupyter_server_ext/inside/arrivals",
        "jupyter_server_ext/inside/handlers",
        "jupyter_server_ext/inside/scoped",
        "jupyter_server_ext/extension",
    ),
}


@dataclass(frozen=True)
class Place:
    floor: int
    group: str
    rank: int

    @property
    def named(self):
        return f"floor {FLOORS[self.floor][0]!r}"


def short(path: str) -> str:
    """What the table calls a file."""
    return path.removesuffix(".py").removeprefix("warp_magics/")


def place_of(path: str) -> Place | None:
    for floor, (_, groups) in enumerate(FLOORS):
        for group, patterns in groups.items():
            for rank, pattern in enumerate(patterns):
                if fnmatchcase(short(path), pattern):
                    return Place(floor, group, rank)
    return None


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


class Tree:
    def __init__(self, root: Path):
        self.root = root
        self.files = sorted(
            path.relative_to(root).as_posix() for package in PACKAGES for path in (root / package).rglob("*.py")
        )
        self.modules = {
            path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in self.files
        }

    def imports(self, path: str) -> list[tuple[int, str, str]]:
        """Each import wherever it stands, type-only and late ones too: line, module, name ("" for a whole module)."""
        found = []
        for node in ast.walk(parsed(self.root / path)):
            if isinstance(node, ast.Import):
                found += [(node.lineno, alias.name, "") for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                module = absolute(path, node.level, node.module)
                found += [(node.lineno, module, alias.name) for alias in node.names]
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in {
                "importlib.import_module",
                "import_module",
                "__import__",
            }:
                match node.args:
                    case [ast.Constant(value=str(name)), *_]:
                        dots = len(name) - len(name.lstrip("."))
                        found.append((node.lineno, absolute(path, dots, name.lstrip(".")), ""))
        return found

    def target(self, module: str, name: str) -> str | None:
        """The file of ours that an import means, be it there or not; None for a foreign one."""
        if module.split(".", maxsplit=1)[0] not in PACKAGES:
            return None
        return self.modules.get(f"{module}.{name}") or self.modules.get(module) or f"{module.replace('.', '/')}.py"


def absolute(path: str, level: int, module: str | None) -> str:
    if not level:
        return module or ""
    package = path.split("/")[:-1]
    return ".".join([*package[: len(package) - level + 1], *([module] if module else [])])


def check(root: Path) -> list[str]:
    """Everything in the tree that the table does not allow, as sentences."""
    tree = Tree(root)
    faults = [
        f"{path}: has no floor; place it in FLOORS and in ARCHITECTURE.md" for path in tree.files if not place_of(path)
    ]
    peers: dict[str, set[str]] = {}
    for path in tree.files:
        for line, module, name in tree.imports(path):
            target = tree.target(module, name)
            if target is None:
                fault = foreign(path, module)
            elif target not in tree.files:
                fault = f"imports {target}, which is not there"
            elif target == path or not (here := place_of(path)) or not (there := place_of(target)):
                continue
            elif here == there:
                peers.setdefault(path, set()).add(target)
                continue
            else:
                fault = climb(path, here, target, there, (module, name))
            if fault:
                faults.append(f"{path}:{line}: {fault}")
    try:
        TopologicalSorter(peers).prepare()
    except CycleError as circle:
        faults.append(f"import each other in a circle: {' -> '.join(circle.args[1])}")
    return faults


def foreign(path: str, module: str) -> str | None:
    library = module.split(".", maxsplit=1)[0]
    doors = LIBRARIES.get(library, ())
    if library in sys.stdlib_module_names or any(fnmatchcase(short(path), door) for door in doors):
        return None
    return f"imports {library}, which has its door in {', '.join(doors) or 'no file'}"


def climb(path: str, here: Place, target: str, there: Place, what: tuple[str, str]) -> str | None:
    inside = path.startswith("warp_magics/gateway/")
    fault = None
    if what == NUMBER and not inside:
        pass
    elif {here.group, there.group} == {"notebook", "rest"}:
        fault = "the two fronts never import each other"
    elif not inside and target.startswith("warp_magics/gateway/") and target != DOOR:
        if what not in OFFERED:
            fault = "that is past the door, warp_magics.gateway"
    elif there.floor > here.floor:
        fault = f"{there.named} is above its own {here.named}"
    elif there.floor == here.floor and there.group != here.group:
        fault = f"the groups {here.group} and {there.group} do not know each other"
    elif there.floor == here.floor and there.rank > here.rank:
        fault = f"that is named after it on {here.named}"
    return fault and f"imports {target}: {fault}"


def test_every_import_goes_down():
    faults = check(ROOT)
    assert not faults, "\n" + "\n".join(faults)


def test_there_is_something_to_check():
    assert len(Tree(ROOT).files) > 20


GOOD = {
    "warp_magics/__init__.py": "__version__ = '1'\ndef load_ipython_extension(shell):\n    from .magics import load\n",
    "warp_magics/magics.py": "import IPython\nfrom .gateway import errors, LocalGateway\nfrom . import __version__, connect\n",
    "warp_magics/connect.py": "import anyio.from_thread\nfrom warp_magics.gateway import Gateway\nfrom .portal import Portal\n",
    "warp_magics/portal.py": "import threading\n",
    "warp_magics/gateway/__init__.py": "from .router import Router\nfrom . import errors, wire\n",
    "warp_magics/gateway/router.py": "from .client import ModelClient\nfrom .stores.base import Store\n",
    "warp_magics/gateway/client.py": "from .connections import Connections\nfrom .dialects import dialect\nfrom . import policy\n",
    "warp_magics/gateway/connections.py": "import aiohttp\nfrom .dialects.base import WireRequest\n",
    "warp_magics/gateway/config/schema.py": "import pydantic\n",
    "warp_magics/gateway/config/a.py": "from ..types import X\n",
    "warp_magics/gateway/config/b.py": "from .a import X\n",
    "warp_magics/gateway/policy.py": "from .types import Turn\n",
    "warp_magics/gateway/wire/__init__.py": "import orjson\nfrom ..types import Turn\n",
    "warp_magics/gateway/dialects/__init__.py": "from . import openai\n",
    "warp_magics/gateway/dialects/base.py": "from ..types import Turn\n",
    "warp_magics/gateway/dialects/openai.py": "from .base import Dialect\n",
    "warp_magics/gateway/stores/__init__.py": "",
    "warp_magics/gateway/stores/base.py": "from warp_magics.gateway.types import Turn\n",
    "warp_magics/gateway/errors/__init__.py": "",
    "warp_magics/gateway/types/__init__.py": "from .prompts import Turn\n",
    "warp_magics/gateway/types/prompts.py": "from dataclasses import dataclass\n",
    "jupyter_server_ext/__init__.py": "from .extension import WarpExtension\n",
    "jupyter_server_ext/extension.py": "import tornado.web\nfrom warp_magics import __version__\nfrom warp_magics.gateway import wire\n",
}
BAD = {
    "a higher floor": (
        "warp_magics/gateway/types/prompts.py",
        "from ..router import Router",
        "above its own floor 'ground'",
    ),
    "a type-only import": (
        "warp_magics/gateway/types/prompts.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..router import Router",
        "above its own floor 'ground'",
    ),
    "a late import": (
        "warp_magics/gateway/types/prompts.py",
        "def f():\n    import warp_magics.gateway.router",
        "above its own",
    ),
    "an import by name": (
        "warp_magics/gateway/types/prompts.py",
        "import importlib\nimportlib.import_module('..router', __package__)",
        "above its own",
    ),
    "the door from inside": (
        "warp_magics/gateway/router.py",
        "from . import Gateway",
        "floor 'door' is above",
    ),
    "the number from inside": ("warp_magics/gateway/router.py", "from .. import __version__", "floor 'faces' is above"),
    "a later file": (
        "warp_magics/gateway/types/prompts.py",
        "from ..errors import WarpError",
        "named after it on floor 'ground'",
    ),
    "another group": (
        "warp_magics/gateway/wire/__init__.py",
        "from ..policy import wait",
        "groups wire and settings do not know",
    ),
    "a store in a dialect": (
        "warp_magics/gateway/dialects/base.py",
        "from ..stores import base",
        "dialects and stores do not",
    ),
    "a circle of peers": ("warp_magics/gateway/config/a.py", "from .b import Y", "in a circle"),
    "past the door": ("warp_magics/magics.py", "from .gateway.errors import WarpError", "past the door"),
    "an inner module at the door": ("warp_magics/magics.py", "from .gateway import router", "past the door"),
    "past the door by REST": ("jupyter_server_ext/extension.py", "import warp_magics.gateway.types", "past the door"),
    "a front in the other": ("jupyter_server_ext/extension.py", "from warp_magics import magics", "two fronts never"),
    "and the other way": ("warp_magics/magics.py", "import jupyter_server_ext.extension", "two fronts never"),
    "a face in the other": ("warp_magics/__init__.py", "import jupyter_server_ext", "two fronts never"),
    "a library elsewhere": (
        "warp_magics/gateway/router.py",
        "import redis.asyncio",
        "imports redis, which has its door in",
    ),
    "a type of a library": (
        "warp_magics/gateway/router.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from httpx import Response",
        "imports httpx, which has its door in",
    ),
    "an unknown library": ("warp_magics/portal.py", "import numpy", "imports numpy, which has its door in no file"),
    "a file that is not there": (
        "warp_magics/magics.py",
        "from .nowhere import x",
        "warp_magics/nowhere.py, which is not there",
    ),
    "a file without a floor": ("warp_magics/helpers.py", "", "warp_magics/helpers.py: has no floor; place it"),
}


def plant(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return root


def test_a_house_in_order_has_no_faults(tmp_path):
    assert check(plant(tmp_path, GOOD)) == []


@pytest.mark.parametrize("kind", BAD)
def test_each_kind_of_fault_is_found(kind, tmp_path):
    path, text, said = BAD[kind]
    faults = check(plant(tmp_path, GOOD | {path: GOOD.get(path, "") + text + "\n"}))
    assert len(faults) == 1, faults
    assert said in faults[0]
