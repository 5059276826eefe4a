"""Records to JSON and back: the only module that knows the file format and its versions."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bench.errors import RecordFormatError
from bench.schema.config import RunConfig
from bench.schema.record import FORMAT, RunRecord

LARGEST_RECORD = 5_000_000  # bytes; a record of ten thousand steps has about 600 kB


class _Envelope(msgspec.Struct):
    format: int


_records = msgspec.json.Decoder(RunRecord)
_envelopes = msgspec.json.Decoder(_Envelope)
_configs = msgspec.json.Decoder(RunConfig)
_many_configs = msgspec.json.Decoder(list[RunConfig])


def encode(record: RunRecord) -> str:
    """Write a record: one line a metric so that a difference reads well, one line a series.

    Raises `ValueError` for NaN and infinities, which JSON does not have.
    """
    document = msgspec.to_builtins(record)
    series: Mapping[str, Any] = document.pop("series")
    text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False)
    rows = ",\n".join(f"    {json.dumps(k)}: {json.dumps(v, allow_nan=False)}" for k, v in series.items())
    body = f"{{\n{rows}\n  }}" if rows else "{}"
    return f'{text[:-2]},\n  "series": {body}\n}}\n'


def decode(data: bytes) -> RunRecord:
    """Read a record, or raise `RecordFormatError`: too large, not JSON, another format, wrong fields."""
    if len(data) > LARGEST_RECORD:
        raise RecordFormatError(f"{len(data)} bytes is more than a record's {LARGEST_RECORD}.")
    try:
        version = _envelopes.decode(data).format
        if version > FORMAT:
            raise RecordFormatError(f"format {version} is newer than this ftbench reads ({FORMAT}); upgrade ftbench.")
        if version < 1:
            raise RecordFormatError(f"format {version} does not exist.")
        return _records.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RecordFormatError(f"not a record: {error}.") from None


def encode_config(config: RunConfig) -> bytes:
    """Write a config for the worker to read."""
    return msgspec.json.encode(config)


def encode_configs(configs: Sequence[RunConfig]) -> bytes:
    """Write several configs, for a process that runs them to read."""
    return msgspec.json.encode(configs)


def decode_configs(data: bytes) -> list[RunConfig]:
    """Read several configs, or raise `RecordFormatError`."""
    try:
        return _many_configs.decode(data)
    except msgspec.DecodeError as error:
        raise RecordFormatError(f"not configs: {error}.") from None


def decode_config(data: bytes) -> RunConfig:
    """Read a config, or raise `RecordFormatError`."""
    try:
        return _configs.decode(data)
    except msgspec.DecodeError as error:
        raise RecordFormatError(f"not a config: {error}.") from None


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a record file, as shipped in `bench/schema/record.schema.json`."""
    schema = msgspec.json.schema(RunRecord)
    for definition in schema["$defs"].values():
        if "description" in definition:  # indented as in the source before msgspec 0.23
            definition["description"] = inspect.cleandoc(definition["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "ftbench record", **schema}
