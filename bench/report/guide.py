"""What the guide says in the table of its section 4, cell by cell; published numbers, not ours."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.report.tables import Cell

TITLE = "“LLM Fine-Tuning: A Practical Guide to LoRA and QLoRA”"
CITATION = f"{TITLE}, section 4"
NOT_GIVEN = "The guide's table has no column for Full."

CELLS: Mapping[tuple[str, str], str] = MappingProxyType({
    ("precision", "lora"): "16-bit (FP16/BF16)",
    ("precision", "qlora"): "4-bit (NF4)",
    ("memory", "lora"): "~80–120 GB (70B model)",
    ("memory", "qlora"): "~20–40 GB (70B model)",
    ("speed", "lora"): "2–3× faster than Full",
    ("speed", "qlora"): "1.5–2× faster than Full",
    ("accuracy", "lora"): "95–99 % of Full",
    ("accuracy", "qlora"): "93–98 % of Full",
    ("inference", "lora"): "depends on base model",
    ("inference", "qlora"): "overhead from dequantisation",
})  # fmt: skip


def says(row: str, method: str) -> Cell | None:
    """Return the guide's cell for a row and a method, or `None` where its table has none."""
    text = CELLS.get((row, method))
    return Cell(text, kind="published", how=CITATION) if text else None
