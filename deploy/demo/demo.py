"""The main job, end to end: a notebook and a REST client share one conversation, answered by a real model.

    make demo               JupyterLab on the quickstart notebook
    make demo HEADLESS=1    the same notebook run through nbclient, then a follow-up by curl in the same session

The model is SmolLM2 on this machine, or the provider whose key is set (see KEYS). What the
demo stores lies in `.demo/` and in a temporary directory, never among the user's own sessions.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processes import Children, Failed, await_end, belonging_to, end, turn_deaf

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORK = ROOT / ".demo"
STATE = WORK / "running.json"
NOTEBOOK = ROOT / "notebooks" / "01_quickstart.ipynb"
SESSION = "quickstart"
QUESTION = "Which three capitals did I ask about?"
KEYS = {
    "OPENAI_API_KEY": "openai:gpt-4o-mini",
    "ANTHROPIC_API_KEY": "anthropic:claude-sonnet-4-5",
    "GEMINI_API_KEY": "gemini:gemini-2.5-flash",
    "DEEPSEEK_API_KEY": "deepseek:deepseek-chat",
    "COHERE_API_KEY": "cohere:command-a-03-2025",
}
LOCAL_LIMITS = '[[model]]\nprovider = "local"\nmodel = "smollm2"\ncontext_tokens = 2048'
START_SECONDS = 60.0
NOTEBOOK_SECONDS = 180.0
STORE_STOP_SECONDS = 15.0

Json = dict[str, Any]


def say(text: str = "") -> None:
    """Tell the person who watches."""
    print(text, flush=True)


def title(text: str) -> None:
    """Begin a part of what is told."""
    say(f"\n── {text} " + "─" * max(3, 100 - len(text)))


# ── what the demo runs on ────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Make a short-named directory for sockets and runtime files; leave no process that uses it, then remove it."""
    directory = Path(tempfile.mkdtemp(prefix="warp-demo-"))
    STATE.write_text(json.dumps({"pid": os.getpid(), "directory": str(directory)}), encoding="utf-8")
    try:
        yield directory
    finally:
        turn_deaf()
        late = await_end(str(directory), STORE_STOP_SECONDS)
        left = end(str(directory)) if late else {}
        shutil.rmtree(directory, ignore_errors=True)
        STATE.unlink(missing_ok=True)
        for pid, command in late.items():
            say(f"had to end process {pid}: {command}")
        if left:
            raise Failed(f"processes left behind: {left}")
        if late and sys.exc_info()[0] is None:
            raise Failed("not every process ended by itself")


def environment(scratch_dir: Path, data: Path) -> dict[str, str]:
    """Keep the demo apart from the user's own configuration, sessions and servers."""
    return os.environ | {
        "WARP_CONFIG": str(WORK / "warp.toml"),
        "WARP_DATA_DIR": str(data),
        "WARP_RUN_DIR": str(scratch_dir / "run"),
        "JUPYTER_CONFIG_DIR": str(WORK / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(scratch_dir / "jupyter"),
        "JUPYTER_TOKEN": secrets.token_hex(16),
        "IPYTHONDIR": str(WORK / "ipython"),
    }


def choose_model(children: Children, scratch_dir: Path) -> str:
    """Take the provider whose key is set, else start the local model; write the configuration that says so."""
    key = next((name for name in KEYS if os.environ.get(name)), None)
    if key:
        model = KEYS[key]
        provider = f'[providers.{model.partition(":")[0]}]\napi_key = "${{{key}}}"'
    else:
        ready = scratch_dir / "model.url"
        command = (HERE / "local_model.py", "--stop-with-parent", "--ready-file", ready)
        children.start("model", sys.executable, *command)
        children.until(ready.exists, "model", START_SECONDS)
        model = "local:smollm2"
        provider = f'{LOCAL_LIMITS}\n\n[providers.local]\ndialect = "openai"\nbase_url = "{ready.read_text("utf-8")}"'
    WORK.joinpath("warp.toml").write_text(
        f'# written by deploy/demo/demo.py\nmodels = ["{model}"]\n\n{provider}\n\n[storage]\ntype = "embedded"\n',
        encoding="utf-8",
    )
    return model


def jupyter(children: Children, module: str, *options: str) -> str:
    """Start a Jupyter server on a port of the system's choosing; its URL, once it answers."""
    common = ("--ServerApp.ip=127.0.0.1", "--no-browser", *(["--allow-root"] if os.geteuid() == 0 else []))
    child = children.start("jupyter", sys.executable, "-m", module, *common, *options)
    info = Path(children.env["JUPYTER_RUNTIME_DIR"]) / f"jpserver-{child.pid}.json"

    def url() -> str | None:
        with contextlib.suppress(OSError, ValueError):  # not there yet, or half written
            found = str(json.loads(info.read_bytes())["url"])
            return found if curl(f"{found}warp/api/v1/health/ready", check=False) else None
        return None

    return children.until(url, "jupyter", START_SECONDS)


def curl(url: str, *, token: str | None = None, body: Json | None = None, check: bool = True) -> Json:
    """Ask with curl, as any client would; the token goes in by standard input, where no process list shows it."""
    what = [url]
    if body is not None:
        what += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    if token:
        say(f"$ curl -H 'Authorization: token …' {shlex.join(what)}")
    command = ["curl", "-sS", "--fail-with-body", "--noproxy", "*", "--max-time", "120", "--config", "-", *what]
    header = f'header = "Authorization: token {token}"' if token else ""
    done = subprocess.run(command, input=header, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode == 0:
        return dict(json.loads(done.stdout))
    if check:
        raise Failed(f"curl {url} ended with status {done.returncode}: {done.stderr}{done.stdout}")
    return {}


# ── the two ways to watch it ─────────────────────────────────────────────────────────────────────────────────────


def interactive(children: Children) -> None:
    """Serve JupyterLab until Ctrl-C; the person works on a copy, so that the tree stays as it is."""
    folder = WORK / "notebooks"
    folder.mkdir(exist_ok=True)
    copy = folder / NOTEBOOK.name
    if not copy.exists() or copy.stat().st_mtime < NOTEBOOK.stat().st_mtime:
        shutil.copyfile(NOTEBOOK, copy)
    url = jupyter(children, "jupyterlab", f"--ServerApp.root_dir={folder}")
    token = children.env["JUPYTER_TOKEN"]
    say(f"\n    {url}lab/tree/{copy.name}?token={token}\n")
    say("REST, the same sessions:\n")
    say(f"    export JUPYTER_TOKEN={token}")
    say(f'    curl {url}warp/api/v1/sessions/{SESSION}/history -H "Authorization: Bearer $JUPYTER_TOKEN"\n')
    say("Ctrl-C ends it.")
    status = children.wait("jupyter")
    raise Failed(f"jupyter ended with status {status}:\n{children.log('jupyter')}")


def headless(children: Children) -> None:
    """Run the notebook, go on by REST, and see that both had one conversation."""
    title("the notebook, run through nbclient")
    notebook = execute(children)
    tell(notebook)
    url = jupyter(children, "jupyter_server", "--ServerApp.port=0", f"--ServerApp.root_dir={WORK}")
    token = children.env["JUPYTER_TOKEN"]
    title("the next question, by REST")
    answer = curl(f"{url}warp/api/v1/prompt", token=token, body={"prompt": QUESTION, "sessionId": SESSION})
    say(f"\n{answer['text']}\n\n({answer['model']})")
    title("the history")
    turns = curl(f"{url}warp/api/v1/sessions/{SESSION}/history", token=token)["turns"]
    for turn in turns:
        say(
            f"\n[{turn['n']}] {turn['source']['kind']:>4} > {turn['prompt'].strip()}\n{'':>9}< {turn['response'].strip()}"
        )
    check(turns, [*prompts(notebook), QUESTION], answer["text"])
    title("one session, shared by a notebook and a REST client")


def execute(children: Children) -> Json:
    """Run a copy of the notebook in a kernel of its own."""
    copy = WORK / "executed" / NOTEBOOK.name
    copy.parent.mkdir(exist_ok=True)
    shutil.copyfile(NOTEBOOK, copy)
    client = "from nbclient.cli import main; main()"
    child = children.start("notebook", sys.executable, "-c", client, "--inplace", "--kernel_name=python3", copy)
    children.until(lambda: child.poll() == 0, "notebook", NOTEBOOK_SECONDS)
    return dict(json.loads(copy.read_text("utf-8")))


def code_cells(notebook: Json) -> Iterator[tuple[str, Sequence[Json]]]:
    """List what each code cell says and shows."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            yield "".join(cell["source"]), cell["outputs"]


def tell(notebook: Json) -> None:
    """Print the cells and their answers as a reader of the notebook sees them."""
    for source, outputs in code_cells(notebook):
        say("\n" + "\n".join(f"    {line}" for line in source.splitlines()))
        for output in outputs:
            say("".join(output.get("text") or output.get("data", {}).get("text/plain", "")).strip())


def prompts(notebook: Json) -> list[str]:
    """List what the notebook asked in the session, in order."""
    asked = (source for source, _ in code_cells(notebook) if source.startswith("%%warp"))
    return [body.strip() for line, _, body in (source.partition("\n") for source in asked) if SESSION in line]


def check(turns: Sequence[Json], expected: Sequence[str], last: str) -> None:
    """Hold the history against what was asked and answered; Failed where they differ."""
    asked = [turn["prompt"].strip() for turn in turns]
    if asked != list(expected):
        raise Failed(f"the history holds {asked}, but what was asked is {list(expected)}")
    if unanswered := [turn["n"] for turn in turns if turn["status"] != "complete" or not turn["response"].strip()]:
        raise Failed(f"turns without a whole answer: {unanswered}")
    if turns[-1]["response"] != last:
        raise Failed(f"curl was told {last!r}, but the history says {turns[-1]['response']!r}")


# ── from the command line ────────────────────────────────────────────────────────────────────────────────────────


def run(*, watched: bool) -> None:
    """Set up, show, and leave nothing behind."""
    with scratch() as directory:
        data = WORK / "data" if watched else directory / "data"
        env = environment(directory, data)
        for name in ("run", "jupyter", "logs"):
            (directory / name).mkdir(mode=0o700)
        with Children(directory / "logs", env) as children:
            say(f"answered by {choose_model(children, directory)}")
            (interactive if watched else headless)(children)


def stop(*, running: bool) -> None:
    """End a demo that runs, where that is wanted, and what one that was killed has left."""
    try:
        state = json.loads(STATE.read_bytes())
    except (OSError, ValueError):
        return
    if state["pid"] in belonging_to(str(Path(__file__).name)):
        if not running:
            raise Failed("another one is running; to end it: make clean")
        os.kill(state["pid"], signal.SIGTERM)
        await_end(state["directory"], 2 * STORE_STOP_SECONDS)
    if left := end(state["directory"]):
        sys.exit(f"could not end: {left}")
    shutil.rmtree(state["directory"], ignore_errors=True)
    STATE.unlink(missing_ok=True)


def main() -> None:
    """Run the demo, or stop one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--headless", action="store_true", help="run everything here and check it, without a browser")
    parser.add_argument("--stop", action="store_true", help="end a demo that runs elsewhere")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    try:
        stop(running=options.stop)
        if options.stop:
            return
        WORK.mkdir(exist_ok=True)
        run(watched=not options.headless)
    except Failed as fault:
        sys.exit(f"\nthe demo failed: {fault}")
    except KeyboardInterrupt:
        say("\nended")


if __name__ == "__main__":
    main()
