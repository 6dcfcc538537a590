"""Runs the Node script that plays AI Warp's client."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("ai_warp_client.mjs")


def run_ai_warp_client(base_url: str, token: str, within: float = 120) -> dict[str, Any]:
    """What the client saw, by the name of each scene in the script: sent, status, headers, sessionId, text, error, …

    It blocks: where the server lives in the test's own loop, call it through `asyncio.to_thread`.
    """
    node = shutil.which("node")
    assert node, "the test of AI Warp's client needs Node.js 20 or later on PATH"
    command = [node, str(SCRIPT), base_url, token]
    ran = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=within, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
