"""Run the notebooks and keep what they show, with their answers on the tape in notebooks/.warp/tape.

    make notebooks

SmolLM2 on this machine answers those that want a real model, the built-in demo provider the rest. Cells tagged
``nbval-skip`` need a live gateway: they are run without a tape. What a replay shows is what is kept of all others.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from nbclient import NotebookClient

from warp_magics.gateway import Ended, Reel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warp_magics.gateway import ChatResponse
    from warp_magics.gateway.tape.entries import Entry

HERE = Path(__file__).resolve().parent
NOTEBOOKS = HERE.parents[1] / "notebooks"
TAPE = NOTEBOOKS / ".warp" / "tape"
REAL = ("01_quickstart.ipynb", "05_reproducible.ipynb")
"""Those that a real model answers."""
LIVE = "nbval-skip"
SECONDS = 300
VIEW = "application/vnd.jupyter.widget-view+json"
NO_WIDGET = "0" * 32
"""The id of a widget that has ended with its kernel."""


@contextlib.contextmanager
def local_model(folder: Path) -> Iterator[str]:
    """Start the small model, and yield a configuration that names it."""
    ready = folder / "model.url"
    command = [
        sys.executable,
        str(HERE.parent / "demo" / "local_model.py"),
        "--stop-with-parent",
        "--ready-file",
        str(ready),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as model:  # noqa: S603
        until = time.monotonic() + SECONDS
        while not ready.exists():
            if model.poll() is not None or time.monotonic() > until:
                raise SystemExit("the local model did not start; run: make demo-model")
            time.sleep(0.1)
        try:
            yield (
                'models = ["local:smollm2"]\n[[model]]\nprovider = "local"\nmodel = "smollm2"\ncontext_tokens = 2048\n'
                f'[providers.local]\ndialect = "openai"\nbase_url = "{ready.read_text("utf-8")}"\n'
            )
        finally:
            model.terminate()


def executed(notebook: Any, folder: Path, **env: str) -> Any:
    """Return ``notebook`` run from its folder, in an environment of its own."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("WARP_") or name.endswith("_API_KEY")]:
        del os.environ[name]
    os.environ.update(env | {"WARP_DATA_DIR": str(folder / "data"), "WARP_RUN_DIR": str(folder / "run")})
    try:
        client = NotebookClient(notebook, timeout=SECONDS, record_timing=False, store_widget_state=False)
        return client.execute(cwd=str(NOTEBOOKS))
    finally:
        os.environ.clear()
        os.environ.update(before)


def is_live(cell: Any) -> bool:
    """Return whether ``cell`` needs a live gateway."""
    return LIVE in cell.metadata.get("tags", ())


def record(path: Path, folder: Path, env: dict[str, str]) -> None:
    """Run a notebook, its answers recorded in ``folder``, and keep its outputs."""
    kept = nbformat.read(path, as_version=4)
    run = nbformat.v4.new_notebook(metadata=kept.metadata)
    run.cells = [nbformat.from_dict(cell) for cell in kept.cells if not is_live(cell)]
    executed(run, folder, WARP_TAPE="record", WARP_TAPE_DIR=str(folder / ".warp" / "tape"), **env)
    shown = {cell.id: cell.get("outputs", []) for cell in run.cells}
    if any(map(is_live, kept.cells)):
        live = executed(nbformat.from_dict(kept), folder, **env)
        shown |= {cell.id: cell.get("outputs", []) for cell in live.cells if is_live(cell)}
    for count, cell in enumerate((cell for cell in kept.cells if cell.cell_type == "code"), start=1):
        cell.outputs, cell.execution_count = [numbered(output, count) for output in shown[cell.id]], count
    write(kept, path)


def numbered(output: Any, count: int) -> Any:
    """Return an output as it is kept: with the number of its cell, and nothing of this run's."""
    if "execution_count" in output:
        output.execution_count = count
    view = output.get("data", {}).get(VIEW)
    if view is not None:
        view["model_id"] = NO_WIDGET
    return output


def write(notebook: Any, path: Path) -> None:
    """Write a notebook as it is kept: nothing of who ran it."""
    notebook.metadata.pop("language_info", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    path.write_text(nbformat.writes(notebook) + "\n", "utf-8")


def shown(entry: Entry) -> ChatResponse | None:
    """Return what a cell shows of an answer."""
    last = entry.events[-1]
    return last.response if isinstance(last, Ended) else None


def keep(fresh: Reel, tape: Reel) -> None:
    """Put what was recorded on the tape, but for what is there already, and take from it what nobody has asked for."""
    tape.folder.mkdir(parents=True, exist_ok=True)
    taken = dict(fresh.entries())
    for name, entry in taken.items():
        before = tape.read(name)
        # The outputs that are kept show the route and the cost as well.
        if before is None or before.key != entry.key or shown(before) != shown(entry):
            (fresh.folder / f"{name}.json").replace(tape.folder / f"{name}.json")
            print(f"{name}.json: written", flush=True)
    for path in tape.folder.glob("*.json"):
        if path.stem not in taken:
            path.unlink()
            print(f"{path.name}: removed, nobody asks for it", flush=True)


def main() -> None:
    """Record all."""
    with tempfile.TemporaryDirectory(prefix="wn-", dir="/tmp" if Path("/tmp").is_dir() else None) as made:  # noqa: S108
        folder = Path(made)
        with local_model(folder) as config:
            (folder / "warp.toml").write_text(config, "utf-8")
            for path in sorted(NOTEBOOKS.glob("*.ipynb")):
                print(path.name, flush=True)
                record(path, folder, {"WARP_CONFIG": str(folder / "warp.toml")} if path.name in REAL else {})
        keep(Reel(folder / ".warp" / "tape"), Reel(TAPE))


if __name__ == "__main__":
    main()
