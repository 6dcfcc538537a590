"""What a whole prompt and a 50-chunk stream cost a Jupyter Server in CPU time, and where it goes.

``python benchmarks/cpu.py [--rounds 5] [--json FILE]`` prints a Markdown table. Everything is on loopback and in a
temporary folder: a provider, the servers (one a store) and the load are processes of their own. The cases take turns
in each round, so that what else the machine does falls on all of them.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
CHUNKS, PAUSE = 50, 5
"""An answer's chunks, and the milliseconds between two: slow enough that each is read and sent by itself."""
TOML = """
models = ["bench:{chunks}x{pause}"]
[providers.bench]
dialect = "openai"
base_url = "{url}"
[limits]
rate = {{ max = 1000000, time_window = "1s" }}
[storage]
type = "{store}"
"""
STORES = ("memory", "embedded")
PACKAGES = ("jupyter_server", "tornado", "httpx", "httpx-aiohttp", "aiohttp", "redis", "orjson")


@dataclass(frozen=True)
class Case:
    """One thing to ask of the server with ``store``; ``times`` it is asked in a round."""

    kind: str
    name: str
    path: str
    body: dict[str, Any]
    store: str = "memory"
    times: int = 200


@dataclass(frozen=True)
class Server:
    url: str
    token: str
    pid: int

    def post(self, path: str, body: bytes) -> Any:
        headers = {"Authorization": f"token {self.token}"}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, body, headers), timeout=30) as answer:
            return json.load(answer)


def cases(streams: int, prompts: int) -> list[Case]:
    model = f"{CHUNKS}x{PAUSE}"
    asked = {"model": model, "messages": [{"role": "user", "content": "Hello there"}]}
    ours = {"prompt": "Hello there"}
    one = ours | {"models": ["bench:1x0"]}
    name = "ours, {}".format
    return [
        Case("prompt", "bare handler, nothing done", "bench/nothing", {}, times=prompts),
        Case("prompt", "bare handler, proxy over aiohttp", "bench/proxy", asked, times=prompts),
        *(Case("prompt", name(store), "warp/api/v1/prompt", ours, store, prompts) for store in STORES),
        *(
            Case("prompt", name(f"{store}, answer in 1 chunk"), "warp/api/v1/prompt", one, store, prompts)
            for store in STORES
        ),
        Case("stream", "bare handler, writes", f"bench/writes?chunks={CHUNKS}&pause={PAUSE}", {}, times=streams),
        Case("stream", "bare handler, proxy over aiohttp", "bench/proxy", asked | {"stream": True}, times=streams),
        *(Case("stream", name(store), "warp/api/v1/stream", ours, store, streams) for store in STORES),
    ]


@contextlib.contextmanager
def provider() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, str(HERE / "provider.py")], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def jupyter(folder: Path, url: str, store: str) -> Iterator[Server]:
    home = folder / store
    home.mkdir()
    (home / "warp.toml").write_text(TOML.format(chunks=CHUNKS, pause=PAUSE, url=url, store=store), "utf-8")
    token = secrets.token_hex(16)
    env = os.environ | {
        "BENCH_PROVIDER": url,
        "WARP_CONFIG": str(home / "warp.toml"),
        "WARP_DATA_DIR": str(folder / "data"),
        "WARP_RUN_DIR": str(folder / "run"),
        "PYTHONPATH": str(HERE),
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_DATA_DIR": str(home / "share"),
        "JUPYTER_TOKEN": token,
    }
    extensions = {"ServerApp": {"jpserver_extensions": {"jupyter_server_ext": True, "baseline": True}}}
    (home / "config").mkdir()
    (home / "config" / "jupyter_server_config.json").write_text(json.dumps(extensions), "utf-8")
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--ServerApp.port=0"]
    command += ["--ServerApp.ip=127.0.0.1", f"--notebook-dir={home}"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, env=env, cwd=home, stdout=log, stderr=log)
    try:
        yield Server(await_url(process, home), token, process.pid)
    finally:
        process.terminate()
        process.wait(30)


def await_url(process: subprocess.Popen[bytes], home: Path) -> str:
    info = home / "runtime" / f"jpserver-{process.pid}.json"
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError, ValueError):
            url: str = json.loads(info.read_bytes())["url"]
            urllib.request.urlopen(f"{url}warp/api/v1/health/ready", timeout=5).close()
            return url
        time.sleep(0.1)
    raise SystemExit((home / "log").read_text()[-3000:])


def load(server: Server, case: Case, connections: int) -> dict[str, float]:
    command = [sys.executable, str(HERE / "load.py"), server.url, server.token, case.path, json.dumps(case.body)]
    ran = subprocess.run([*command, str(case.times), str(connections)], stdout=subprocess.PIPE, timeout=300, check=True)
    said: dict[str, float] = json.loads(ran.stdout)
    return said


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has had, to a hundredth."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def store_of(folder: Path) -> tuple[int, str]:
    """Whose CPU time the store's is, and what it is."""
    from warp_magics.gateway import EmbeddedServer

    os.environ |= {"WARP_DATA_DIR": str(folder / "data"), "WARP_RUN_DIR": str(folder / "run")}
    now = EmbeddedServer().status()
    assert now.pid, "the embedded store does not run"
    return now.pid, f"{now.kind} {now.version}"


def measure(servers: dict[str, Server], todo: list[Case], pids: dict[str, int], given: Any) -> dict[str, list[Any]]:
    seen: dict[str, list[Any]] = {f"{case.kind}: {case.name}": [] for case in todo}
    for number in range(given.rounds + 1):
        for case in [*todo[number % len(todo) :], *todo[: number % len(todo)]]:
            watched = {name: cpu_of(pid) for name, pid in pids.items()}
            said = load(servers[case.store], case, given.connections)
            asked = case.times + given.connections
            said |= {f"{name}_ms": (cpu_of(pid) - watched[name]) / asked * 1000 for name, pid in pids.items()}
            if number:  # the first is to warm up
                seen[f"{case.kind}: {case.name}"].append(said)
        print(f"round {number} of {given.rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    return seen


def profiles(servers: dict[str, Server], todo: list[Case], connections: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for case in todo:
        if not case.path.startswith("warp/"):
            continue
        servers[case.store].post("bench/profile", b"start")
        load(servers[case.store], Case(**{**vars(case), "times": case.times * 3}), connections)
        found[f"{case.kind}: {case.name}"] = servers[case.store].post("bench/profile", b"stop")
    return found


def summary(seen: dict[str, list[Any]]) -> dict[str, dict[str, float]]:
    """Medians over the rounds; ``ratio`` is to the proxy of the same kind in the same round."""
    told = {}
    for name, rounds in seen.items():
        middle = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
        proxies = seen[f"{name.partition(':')[0]}: bare handler, proxy over aiohttp"]
        ratios = [one["cpu_ms"] / proxy["cpu_ms"] for one, proxy in zip(rounds, proxies, strict=True)]
        least, most = min(one["cpu_ms"] for one in rounds), max(one["cpu_ms"] for one in rounds)
        told[name] = middle | {"least_ms": least, "most_ms": most, "ratio": statistics.median(ratios)}
    return told


def table(told: dict[str, dict[str, float]]) -> str:
    rows = [
        "| | CPU, ms | least to most | to the proxy | store, ms | p50, ms | busy |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, one in told.items():
        spread = f"{one['least_ms']:.2f} to {one['most_ms']:.2f}"
        store = f"{one['store_ms']:.2f}" if "embedded" in name else ""
        rows.append(
            f"| {name} | {one['cpu_ms']:.2f} | {spread} | {one['ratio']:.1f} | {store} "
            f"| {one['p50_ms']:.0f} | {one['busy']:.0%} |"
        )
    return "\n".join(rows)


def shares(found: dict[str, Any], told: dict[str, dict[str, float]]) -> str:
    groups = sorted({group for one in found.values() for group in one["groups"]})
    rows = [f"| where it goes, ms | {' | '.join(groups)} | samples |", f"|---{'|--:' * (len(groups) + 1)}|"]
    for name, one in found.items():
        every = sum(one["groups"].values())
        cells = [f"{told[name]['cpu_ms'] * one['groups'].get(group, 0) / every:.2f}" for group in groups]
        rows.append(f"| {name} | {' | '.join(cells)} | {every} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, 21))
    parser.add_argument("--connections", type=int, default=16, choices=range(1, 65))
    parser.add_argument("--prompts", type=int, default=160)
    parser.add_argument("--streams", type=int, default=96)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    todo = cases(min(given.streams, 2000), min(given.prompts, 5000))
    with tempfile.TemporaryDirectory(prefix="warp-bench-") as top, contextlib.ExitStack() as opened:
        mock = opened.enter_context(provider())
        assert mock.stdout
        url = f"http://127.0.0.1:{mock.stdout.readline().strip()}/v1"
        servers = {store: opened.enter_context(jupyter(Path(top), url, store)) for store in STORES}
        load(servers["embedded"], Case("prompt", "", "warp/api/v1/prompt", {"prompt": "Hello"}, times=1), 1)
        pid, store = store_of(Path(top))
        pids = {"provider": mock.pid, "store": pid}
        seen = measure(servers, todo, pids, given)
        found = profiles(servers, todo, given.connections)
    told = summary(seen)
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    versions |= {"python": platform.python_version(), "embedded store": store}
    print(f"{table(told)}\n\n{shares(found, told)}\n\n{', '.join(f'{k} {v}' for k, v in versions.items())}")
    if given.json:
        machine = {"cpus": os.cpu_count(), "machine": platform.machine()}
        whole = {"versions": versions, "machine": machine, "median": told, "rounds": seen, "profiles": found}
        given.json.write_text(json.dumps(whole, indent=1), "utf-8")


if __name__ == "__main__":
    main()
