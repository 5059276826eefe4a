"""Put a built site in place: file by file, replacing only what an earlier build wrote."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench.errors import StoreError

MANIFEST = "manifest.json"


def publish(files: Mapping[str, bytes], output: Path) -> None:
    """Write `files` (path below `output` -> content) and remove what an earlier build wrote and this one did not.

    Everything is first written to a temporary folder beside `output`. `manifest.json`
    lists what was written with its SHA-256; a file that it does not list is never
    replaced, and one whose content has changed since is never removed.
    Raises `StoreError` when the disk refuses or a foreign file is in the way.
    """
    before = _manifest(output)
    foreign = [path for path in files if path not in before and (output / path).exists()]
    if foreign:
        raise StoreError(
            f"{output / foreign[0]} was not written by ftbench site; move it away, or use another --output."
        )
    after = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
        try:
            for path, content in files.items():
                _write(staging / path, content)
            _write(staging / MANIFEST, _listed({**before, **after}))
            _move(staging, output, MANIFEST)  # first, so that a build cut short still knows its own files
            for path in sorted(files):
                _move(staging, output, path)
            for path in sorted(before.keys() - after.keys()):
                _remove(output, path, before[path])
            _write(staging / MANIFEST, _listed(after))
            _move(staging, output, MANIFEST)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise StoreError(f"cannot write the site to {output}: {error.strerror or error}.") from error


def _listed(hashes: Mapping[str, str]) -> bytes:
    return (json.dumps(dict(sorted(hashes.items())), indent=1) + "\n").encode()


def _manifest(output: Path) -> dict[str, str]:
    """Read what an earlier build wrote; paths that lead out of the site are nobody's."""
    try:
        listed = json.loads((output / MANIFEST).read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{output / MANIFEST} cannot be read ({error}); move it away, or use another --output."
        ) from error
    if not isinstance(listed, dict):
        raise StoreError(f"{output / MANIFEST} is not a site's manifest; move it away, or use another --output.")
    inside = {str(path): str(digest) for path, digest in listed.items()}
    return {path: digest for path, digest in inside.items() if not path.startswith("/") and ".." not in path.split("/")}


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _move(staging: Path, output: Path, path: str) -> None:
    (output / path).parent.mkdir(parents=True, exist_ok=True)
    (staging / path).replace(output / path)


def _remove(output: Path, path: str, digest: str) -> None:
    """Remove a file of an earlier build if nobody changed it, and folders that this leaves empty."""
    file = output / path
    with contextlib.suppress(OSError):
        if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            return
        file.unlink()
        for folder in file.relative_to(output).parents[:-1]:
            (output / folder).rmdir()
