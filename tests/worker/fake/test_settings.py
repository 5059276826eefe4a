"""PYTORCH_ALLOC_CONF is read as torch reads it, and what cannot be simulated is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BadValueError
from bench.worker.fake.settings import AllocatorSettings

MIB = 2**20
GIB = 2**30

TAKEN = [
    "",
    "expandable_segments:True",
    " expandable_segments : False ,",
    "max_split_size_mb:20",
    "large_segment_size_mb:11,max_split_size_mb:11",
    "max_non_split_rounding_mb:20",
    "garbage_collection_threshold:0.999",
    "roundup_power2_divisions:1",
    "roundup_power2_divisions:[64:0,>:2]",
    "roundup_power2_divisions:[]",
    "pinned_use_background_threads:True",
]
REFUSED = [
    "expandable_segments",
    "expandable_segments:true",
    "max_split_size_mb:19",
    "large_segment_size_mb:10",
    "large_segment_size_mb:30,max_split_size_mb:29",
    "large_segment_size_mb:30,max_non_split_rounding_mb:29",
    "garbage_collection_threshold:1.0",
    "garbage_collection_threshold:0",
    "garbage_collection_threshold:much",
    "roundup_power2_divisions:0",
    "roundup_power2_divisions:6",
    "roundup_power2_divisions:[64:6]",
    "roundup_power2_divisions:[60:4]",
    "roundup_power2_divisions:[64:8",
    "roundup_power2_divisions:[64]",
]
STRICTER = [
    "max_split_size_mb:-1",
    "max_split_size_mb:20.5",
    "max_split_size_mb:40MB",
    "nonsense:3",
    "per_process_memory_fraction:1.5",
    "per_process_memory_fraction:nan",
    "backend:cudaMallocAsync",
    "backend:other",
    "throw_on_cudamalloc_oom:True",
    "expandable_segments:True;max_split_size_mb:40",
]
"""Refused here; torch takes them (numbers), simulates more (backends), or reads them in its CUDA build only."""

ASK_TORCH = """
import json, sys, torch
answers = []
for text in json.load(sys.stdin):
    try:
        torch._C._accelerator_setAllocatorSettings("large_segment_size_mb:20")
        torch._C._accelerator_setAllocatorSettings(text)
        answers.append(True)
    except (ValueError, RuntimeError):
        answers.append(False)
print(json.dumps(answers))
"""


def test_nothing_given_is_torchs_defaults():
    """20 MiB large segments, no limit on splitting, 512-byte rounding, nothing collected, all memory allowed."""
    settings = AllocatorSettings.parse("")
    assert settings == AllocatorSettings()
    assert settings.large_segment_size == 20 * MIB
    assert {settings.divisions(size) for size in (1, MIB, 100 * GIB)} == {0}


def test_every_option_is_read():
    """Sizes in mb become bytes; the last of two with one name counts; options of host memory change nothing."""
    text = (
        "expandable_segments:False,garbage_collection_threshold:0.8,max_split_size_mb:40,max_non_split_rounding_mb:30,"
        "large_segment_size_mb:24,per_process_memory_fraction:0.5,backend:native,throw_on_cudamalloc_oom:False,"
        "pinned_num_register_threads:8,roundup_power2_divisions:2,expandable_segments:True"
    )
    assert AllocatorSettings.parse(text) == AllocatorSettings(
        expandable_segments=True, garbage_collection_threshold=0.8, max_split_size=40 * MIB,
        max_non_split_rounding_size=30 * MIB, large_segment_size=24 * MIB, per_process_memory_fraction=0.5,
        roundup_power2_divisions=(2,) * 16,
    )  # fmt: skip


@pytest.mark.parametrize("text", [*REFUSED, *STRICTER])
def test_what_cannot_be_taken_is_named(text):
    """The error repeats the option and what it was given."""
    with pytest.raises(BadValueError) as caught:
        AllocatorSettings.parse(text)
    option = text.split(",")[-1].split(":")[0]
    assert option in str(caught.value)
    assert text.rpartition(":")[2].strip("[]") in str(caught.value)


def test_torchs_own_parser_takes_and_refuses_the_same():
    """In a process of its own, torch's parser agrees on every text above; its CPU build knows no CUDA options.

    torch keeps a large segment size from one text to the next, so each starts with torch's own.
    """
    pytest.importorskip("torch")
    texts = [*TAKEN, *REFUSED]
    command = [sys.executable, "-c", ASK_TORCH]
    asked = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(asked.stdout) == [text in TAKEN for text in texts]
    for text in TAKEN:
        AllocatorSettings.parse(text)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("[64:8,128:2,256:4,512:2,1024:4,>:1]", {1: 8, 64: 8, 128: 2, 256: 4, 512: 2, 1024: 4, 2048: 1, 99999: 1}),
        ("[1:2,65536:4]", {1: 2, 2: 0, 16384: 0, 32768: 4, 999999: 4}),
        ("[>:4]", {1: 0, 2: 4, 32768: 4}),
        ("[4:2,2:8,>:4]", {1: 2, 2: 8, 4: 4, 8: 4}),
        ("8", {1: 8, 4096: 8}),
    ],
)
def test_divisions_hold_from_their_size_on(text, at):
    """An entry counts for its power of two, the first also below it, ">" above the last; as torch 2.13 answered."""
    settings = AllocatorSettings.parse(f"roundup_power2_divisions:{text}")
    assert {size: settings.divisions(size * MIB) for size in at} == at


@given(st.text(alphabet="max_split_size_mb:[]>,0123456789 True.-", max_size=40))
def test_any_text_is_settings_or_a_bad_value(text):
    """No other error leaves the parser."""
    with suppress(BadValueError):
        assert len(AllocatorSettings.parse(text).roundup_power2_divisions) == 16
