"""From a GGUF file to safetensors, once: loading the converted model takes under a second."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

from bench import cache
from bench.cache import Manifest
from bench.errors import FetchError, MissingPackageError


def convert(path: Path, *, name: str, source: Literal["gguf", "package"], origin: str, revision: str) -> Manifest:
    """Expand the quantised weights of a GGUF file to float32 safetensors in the cache.

    The result is not the checkpoint the file was made from: what quantisation lost stays lost.
    Raises `FetchError` for an architecture transformers cannot read from GGUF.
    """
    target = cache.model_folder(name) / "weights"
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"converting {path.name} to safetensors (once)", file=sys.stderr)
    scratch = Path(tempfile.mkdtemp(prefix=".weights-", dir=target.parent))
    try:
        _convert_into(path, scratch)
        shutil.rmtree(target, ignore_errors=True)
        scratch.replace(target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return Manifest(name=name, folder=str(target), source=source, origin=origin, revision=revision)


def _convert_into(path: Path, folder: Path) -> None:
    try:
        import gguf  # noqa: F401 (transformers needs it and says so less clearly)
    except ImportError:
        raise MissingPackageError("gguf", "converting a GGUF file", "pip install gguf") from None
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, **where)
        plain = GgufConfig(dequantize=True)  # without it the model keeps a quantizer and cannot be saved
        model = AutoModelForCausalLM.from_pretrained(
            path.parent, dtype=torch.float32, quantization_config=plain, **where
        )
    except (ValueError, KeyError, NotImplementedError) as refusal:
        raise FetchError(f"transformers cannot read {path.name}: {refusal}") from refusal
    model.config.name_or_path = path.stem
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)
