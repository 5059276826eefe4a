"""The file format: what was written once stays readable, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.errors import RecordFormatError
from bench.schema import Failure, Kind, RunConfig, RunRecord, Status
from bench.schema import codec as codec_module
from bench.schema.codec import decode, encode, json_schema
from tests.records import everything

GOLDEN = Path(__file__).parent / "golden-1.json"
SHIPPED = Path(codec_module.__file__).parent / "record.schema.json"

slugs = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8"), max_size=30)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.booleans() | numbers | texts


def named(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(texts, values, max_size=4)


configs = st.builds(
    RunConfig, model=slugs, method=slugs, task=slugs, options=named(scalars), seed=st.integers(0, 2**40),
    steps=st.integers(1, 10**6), packing=st.booleans(), learning_rate=st.floats(1e-12, 10),
    dtype=st.sampled_from(["float32", "bfloat16", "float16"]),
)  # fmt: skip
failures = st.builds(
    Failure, phase=texts, message=texts, signal=st.none() | texts, bytes_requested=st.none() | st.integers(0, 2**50),
    last_words=st.lists(texts, max_size=3).map(tuple),
)  # fmt: skip
records = st.builds(
    RunRecord, config=configs, kind=st.sampled_from(Kind), status=st.sampled_from(Status), device=slugs,
    started=st.just("2026-01-01T00:00:00Z"), failure=st.none() | failures, metrics=named(numbers), absent=named(texts),
    series=named(st.lists(st.none() | numbers, max_size=5).map(tuple)), items=named(st.text("01", max_size=9)),
    resolved=named(scalars), environment=named(scalars), citation=st.none() | texts,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(record=records)
def test_any_record_survives_and_obeys_the_schema(record: RunRecord) -> None:
    """Whatever a record holds, it is decoded equal to what was encoded, and its file is valid against the schema."""
    text = encode(record)
    assert decode(text.encode()) == record
    jsonschema.Draft202012Validator(json_schema()).validate(json.loads(text))


def test_the_golden_record_is_decoded_and_written_to_the_same_bytes() -> None:
    """A complete record of format 1, written by hand, is still read and written as it stands."""
    data = GOLDEN.read_bytes()
    record = decode(data)
    assert encode(record).encode() == data
    assert record.failure is not None
    assert record.series["step.loss"] == (3.25, None, 2.5)
    jsonschema.Draft202012Validator(json_schema()).validate(json.loads(data))


def test_an_early_record_is_still_read() -> None:
    """A record of format 1 from before later settings existed means what it meant: the same case, their defaults."""
    early = decode(GOLDEN.with_stem("golden-1-early").read_bytes())

    assert early == decode(GOLDEN.read_bytes())
    assert early.config.paging == "none"


def test_the_golden_record_is_complete() -> None:
    """No field of a record or config is missing from the golden one, so that none changes unnoticed."""
    document = json.loads(GOLDEN.read_bytes())
    assert set(document) == set(RunRecord.__struct_fields__)
    assert set(document["config"]) == set(RunConfig.__struct_fields__)
    assert set(document["failure"]) == set(Failure.__struct_fields__)


def test_the_golden_case_keeps_its_name() -> None:
    """The name of a case never changes: folders of results are called by it."""
    assert decode(GOLDEN.read_bytes()).case == "smollm2-135m-qlora-r16-bf16-b2-s256-gsm8k-d77ec65f"


def test_the_shipped_schema_is_the_codecs() -> None:
    """`record.schema.json` is what the codec says; rewrite it with `ftbench schema`."""
    assert json.loads(SHIPPED.read_text()) == json.loads(json.dumps(json_schema()))


def test_example_records_obey_the_shipped_schema() -> None:
    """Records as the suites write them are valid against the file that is shipped."""
    validator = jsonschema.Draft202012Validator(json.loads(SHIPPED.read_text()))
    for record in everything():
        validator.validate(json.loads(encode(record)))


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_json_does_not_have_is_refused(number: float) -> None:
    """NaN and infinity never reach a file."""
    record = decode(GOLDEN.read_bytes())
    record.metrics["train.seconds"] = number
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(record)


@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_record_or_a_format_error(data: bytes) -> None:
    """Bytes that are no record raise RecordFormatError and nothing else."""
    with pytest.raises(RecordFormatError):
        decode(data)
