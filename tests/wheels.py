"""Small wheels made on the spot, to install as the sides of a comparison. For tests only."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path


def wheel(folder: Path, name: str, version: str, files: Mapping[str, str] | None = None, needs: str = "") -> Path:
    """Write a pure wheel of a package `name` with `files`, by their paths below site-packages, and return it."""
    told = f"{name}-{version}.dist-info"
    requires = f"Requires-Dist: {needs}\n" if needs else ""
    parts = {
        **(files or {f"{name}.py": f"VERSION = {version!r}\n"}),
        f"{told}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{told}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    listed = (
        "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in parts.items()) + f"{told}/RECORD,,\n"
    )
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for path, text in {**parts, f"{told}/RECORD": listed}.items():
            archive.writestr(path, text)
    return made


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def meddling(folder: Path, version: str, module: str, change: str) -> Path:
    """Write a wheel that, wherever it is installed, runs the code `change` once `module` has been imported."""
    hook = HOOK.format(module=module, change=change)
    return wheel(
        folder, "ftbench_meddling", version, {"ftbench_meddling.py": hook, "meddling.pth": "import ftbench_meddling\n"}
    )


HOOK = """
import importlib.abc, importlib.machinery, sys

class Hook(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != {module!r}:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module
        def exec_module(module):
            run(module)
            exec({change!r}, vars(module))
        spec.loader.exec_module = exec_module
        return spec

import importlib.util
sys.meta_path.insert(0, Hook())
"""
