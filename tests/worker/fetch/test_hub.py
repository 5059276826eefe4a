"""The hub's every answer, from a hub of our own on this machine: pinned commits, gates, absence, silence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OPEN, GATED, ABSENT, BROKEN = "made/up", "made/gated", "made/absent", "made/broken"


class Hub(BaseHTTPRequestHandler):
    """Serves one model's files as the hub does, refuses a gated one, knows nothing of others."""

    folder: Path

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        if GATED in path:
            self._send(403, b"{}", body, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted."})
        elif BROKEN in path:
            self._send(500, b"{}", body, {})
        elif path.startswith(f"/api/models/{OPEN}/tree/"):
            files = [*self.folder.iterdir(), Path("evil.py")]
            tree = [{"type": "file", "path": p.name, "size": size_of(p), "oid": p.name} for p in files]
            self._send(200, json.dumps(tree).encode(), body, {"Content-Type": "application/json"})
        elif path.startswith(f"/api/models/{OPEN}"):
            siblings = [{"rfilename": p.name} for p in self.folder.iterdir()] + [{"rfilename": "evil.py"}]
            info = {"id": OPEN, "sha": COMMIT, "siblings": siblings, "private": False, "gated": False, "tags": []}
            self._send(200, json.dumps(info).encode(), body, {"Content-Type": "application/json"})
        elif path.startswith(f"/{OPEN}/resolve/{COMMIT}/") and (self.folder / Path(path).name).exists():
            content = (self.folder / Path(path).name).read_bytes()
            self._send(200, content, body, {"ETag": f'"{Path(path).name}"', "X-Repo-Commit": COMMIT})
        else:
            self._send(404, b"{}", body, {"X-Error-Code": "RepoNotFound"})

    def _send(self, status: int, content: bytes, body: bool, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)


def size_of(path: Path) -> int:
    """Bytes of a file that may not exist."""
    return path.stat().st_size if path.exists() else 1


@pytest.fixture(scope="module")
def hub(tiny_cache: Path) -> Iterator[str]:
    """The address of a hub that has tiny-llama's files as its one open model."""
    Hub.folder = tiny_cache / "models" / "tiny-llama" / "weights"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def fetch(model: str, address: str, folder: Path, task: str | None = None) -> dict:
    """Fetch in a child, as the launcher does, from the hub at `address`."""
    settings = {"HF_ENDPOINT": address, "HF_HOME": str(folder / "hf"), "FTBENCH_CACHE": str(folder / "cache")}
    order = {"models": [model] if model else [], "tasks": [task] if task else [], "data_dir": None}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "bench.worker.fetch"],
        input=json.dumps(order), capture_output=True, text=True, check=False, env={**os.environ, **settings},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_model_is_pinned_to_the_commit_it_was_fetched_at(hub, tmp_path):
    """The manifest holds the hub's commit, the files are here, and code that lies beside them is not."""
    answer = fetch(OPEN, hub, tmp_path)

    assert answer == {"names": ["made--up"]}
    manifest = json.loads((tmp_path / "cache" / "models" / "made--up" / "manifest.json").read_text())
    assert (manifest["source"], manifest["origin"], manifest["revision"]) == ("hub", OPEN, COMMIT)
    brought = {path.name for path in Path(manifest["folder"]).iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= brought
    assert "evil.py" not in brought


def test_a_fetched_model_needs_no_hub(hub, tmp_path):
    """A second fetch asks nobody: it works against an address where nothing listens."""
    fetch(OPEN, hub, tmp_path)

    assert fetch(OPEN, "http://127.0.0.1:9", tmp_path) == {"names": ["made--up"]}


@pytest.mark.parametrize(
    ("model", "words"),
    [(GATED, "accept its licence"), (ABSENT, "no 'made/absent'"), (BROKEN, "cannot be reached (it answered with")],
)
def test_a_refusal_says_what_to_do(hub, tmp_path, model, words):
    """Gated, absent and broken are told apart in one line, and no other model is taken instead."""
    answer = fetch(model, hub, tmp_path)

    assert words in answer["error"]
    assert not (tmp_path / "cache" / "models").exists() or not list((tmp_path / "cache").rglob("manifest.json"))


def test_no_hub_at_all_is_one_line(tmp_path):
    """Where nothing listens, the message names the model and the remedy."""
    answer = fetch(OPEN, "http://127.0.0.1:9", tmp_path)

    assert OPEN in answer["error"]
    assert "fetch it where it can be" in answer["error"]


def test_data_that_the_hub_does_not_give_is_one_line(tmp_path):
    """A task whose data are nowhere names the data set, and the folder option as a way out."""
    answer = fetch("", "http://127.0.0.1:9", tmp_path, task="gsm8k")

    assert "openai/gsm8k" in answer["error"]
    assert "--data-dir" in answer["error"]
