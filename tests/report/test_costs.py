"""The tables of what a run costs say what records say: peaks, categories, speed, energy, the machine."""

from __future__ import annotations

import csv
import io
import subprocess
import sys

import pytest
from msgspec.structs import replace

from bench.analysis.values import value
from bench.report import render
from bench.report.attribution import TOTAL, attribution
from bench.report.conditions import conditions
from bench.report.cost import cost
from bench.report.disturbed import mark, share
from bench.report.memory import memory
from bench.report.paging import paging
from bench.report.show import detail, listing
from bench.report.summary import per_run, summary
from bench.report.tables import Table
from bench.schema import RunRecord
from bench.schema.metrics import METRICS
from bench.schema.metrics.memory import CATEGORIES, STAGES
from tests.records import cases_of, everything, failed, fixed_shape, learning, on_gpu, paged, record


def texts(table: Table, key: str) -> list[str]:
    return [row[key].text if key in row else "" for row in table.rows]


def labels(table: Table) -> list[str]:
    return [column.label for column in table.columns if not column.detail]


def noisy(config_seed: int = 9, **changes: object) -> RunRecord:
    made = record(fixed_shape("lora", seed=config_seed))
    return replace(made, metrics={**made.metrics, "train.neighbour_cores": 0.8, **changes})


def test_memory_has_a_row_for_every_phase_and_stage_that_was_measured() -> None:
    """Phases in order, the stages of a step behind training, each with the record's own peaks."""
    made = record(learning("lora"))
    table = memory(cases_of(made))
    assert texts(table, "phase") == ["load", "evaluate", "train", *(f"train, {stage}" for stage in STAGES)]
    for row, name in zip(table.rows, ("load", "evaluate", "train", *STAGES), strict=True):
        assert row["peak_allocated"].value == made.metrics[f"{name}.peak_allocated"]
        assert row["peak_allocated"].metric == f"{name}.peak_allocated"
    assert set(texts(table, "set_by")) == {"train, tensor memory"}


def test_memory_shows_a_gpu_what_a_gpu_has() -> None:
    """On a GPU reserved, process and device memory are columns and device memory decides; on a CPU none of them is."""
    gpu, cpu = memory(cases_of(on_gpu(fixed_shape("full")))), memory(cases_of(record(fixed_shape("full"))))
    assert {"reserved", "GPU process", "GPU device"} <= set(labels(gpu))
    assert not {"reserved", "GPU process", "GPU device", "managed"} & set(labels(cpu))
    assert set(texts(gpu, "set_by")) == {"train, GPU memory in use"}
    assert {"peak_requested", "minor_faults"} <= {column.key for column in gpu.columns if column.detail}


def test_a_case_without_a_good_run_says_how_it_ended() -> None:
    """Its one row in the memory table has no peak, and the phase it died in."""
    table = memory(cases_of(record(fixed_shape("full")), failed(fixed_shape("full", batch_size=64))))
    assert texts(table, "phase")[-1] == "oom in train"
    assert texts(table, "peak_allocated")[-1] == ""


def test_a_good_run_without_any_peak_has_no_row() -> None:
    """A machine that tells no memory gives no row, rather than one without numbers."""
    blind = replace(record(fixed_shape("full")), metrics={"parameters.total": 1})
    assert texts(memory(cases_of(blind, record(fixed_shape("lora")))), "method").count("Full") == 0


def test_categories_and_shares_sum_to_the_total() -> None:
    """In every case, over several runs, also where a category was there in only some of them."""
    runs = [record(learning("lora", seed=seed)) for seed in range(3)]
    more = {**runs[0].metrics, "at_peak.other": 1000, TOTAL: runs[0].metrics[TOTAL] + 1000}
    table = attribution(cases_of(replace(runs[0], metrics=more), *runs[1:]))
    keys = [f"at_peak.{name}" for name in CATEGORIES]
    (amounts, shares) = table.rows
    total = sum(float(amounts[key].value) for key in keys if key in amounts)  # type: ignore[arg-type]
    assert total == pytest.approx(float(amounts[TOTAL].value), abs=0.01)  # type: ignore[arg-type]
    assert sum(float(shares[key].value) for key in keys if key in shares) == pytest.approx(1)  # type: ignore[arg-type]
    other = amounts["at_peak.other"]
    assert (other.value, other.low, other.high) == (pytest.approx(1000 / 3), 0, 1000)
    assert TOTAL not in shares


def test_attribution_shows_only_categories_that_some_case_has() -> None:
    """No case has a bfloat16 base, so no column has; Full has no adapter, which is 0 beside LoRA's."""
    table = attribution(cases_of(*everything()))
    assert "base bf16" not in labels(table)
    assert table.rows[0]["at_peak.adapters"].text == "0 B"
    assert set(texts(table, "stage")) == {"backward"}
    assert "slack" not in labels(table)
    assert {"slack", "outside"} <= set(labels(attribution(cases_of(on_gpu(fixed_shape("lora"))))))


def test_a_category_that_could_not_be_told_apart_says_why() -> None:
    """Logits of a head that is no module are no 0: their cell refers to the reason."""
    made = record(fixed_shape("full"))
    metrics = {name: number for name, number in made.metrics.items() if name != "at_peak.logits"}
    blind = replace(made, metrics=metrics, absent={"at_peak.logits": "the head is not called as a module"})
    table = attribution(cases_of(blind, record(fixed_shape("lora"))))
    assert table.rows[0]["at_peak.logits"].text == "absent (1)"
    assert "(1) not measured: the head is not called as a module" in table.notes


def test_attribution_leaves_out_what_was_not_looked_into() -> None:
    """A case without inspection has no row and no zeros, and is counted."""
    table = attribution(cases_of(record(fixed_shape("full")), record(fixed_shape("lora", inspect=False))))
    assert texts(table, "method") == ["Full", "Full"]
    assert "Left out: rows without any of these numbers, 1." in table.notes


def test_speeds_have_three_counts_and_a_reason_for_a_missing_percentile() -> None:
    """Packed runs of eight timed steps have no 95th percentile and say why; long ones have it."""
    runs = (record(fixed_shape("full")), record(learning("full")))
    speed, *_ = cost(cases_of(*runs))
    by_work = dict(zip(texts(speed, "work"), speed.rows, strict=True))
    short, long = by_work["4 × 128, packed"], by_work["4 × 64"]
    for name in ("tokens_per_second", "all_tokens_per_second", "trained_tokens_per_second", "step_seconds"):
        assert long[f"train.{name}"].value == pytest.approx(value(runs[1], f"train.{name}"))
    assert short["train.step_seconds_p95"].text == "absent (1)"
    assert "fewer than 20" in speed.notes[0]
    assert long["train.step_seconds_p95"].is_number


def test_energy_names_its_source_and_a_cpu_its_reason() -> None:
    """The GPU's board and the CPU's sockets are different quantities; what could not be read says why."""
    *_, energy = cost(cases_of(on_gpu(fixed_shape("full")), record(fixed_shape("full"))))
    assert any("NVML's counter of the whole board" in note for note in energy.notes)
    assert not any("whole sockets" in note for note in energy.notes)
    by_device = dict(zip(texts(energy, "device"), texts(energy, "train.energy"), strict=True))
    assert by_device == {"example-gpu": "9,000 J", "example-cpu-2-cores": "absent (1)"}
    assert "(1) not measured: RAPL's counters belong to the administrator; make them readable." in energy.notes
    alone = cost(cases_of(record(fixed_shape("full"))))[-1]
    assert alone.rows == ()
    assert any("RAPL" in note for note in alone.notes)


def test_mfu_is_shown_three_ways_on_a_known_device() -> None:
    """Against the datasheet, at the clock, against a GEMM; an unknown device has the last only."""
    _, _, gpu, _ = cost(cases_of(on_gpu(fixed_shape("full"))))
    assert {"MFU, datasheet", "MFU, at its clock", "against a GEMM"} <= set(labels(gpu))
    _, _, cpu, _ = cost(cases_of(record(fixed_shape("full"))))
    assert "MFU, datasheet" not in labels(cpu)
    assert any("MFU, datasheet: no datasheet peak is known" in note for note in cpu.notes)


def test_disturbed_runs_are_counted_and_explained() -> None:
    """One of three was; its reasons name its neighbours and stand below the table; a failed run is not counted."""
    runs = [record(fixed_shape("lora", seed=seed)) for seed in range(2)]
    dead = replace(failed(fixed_shape("lora")), metrics=noisy().metrics)
    quiet, disturbed = cases_of(*runs)[0], cases_of(*runs, noisy(), dead)[0]
    assert (share(quiet), mark(quiet)) == ("0 of 2", "")
    assert (share(disturbed), mark(disturbed)) == ("1 of 3", ", 1 disturbed")
    table, _ = conditions([disturbed])
    assert texts(table, "disturbed") == ["1 of 3"]
    assert any("LoRA" in note and "0.80 cores busy" in note for note in table.notes)
    neighbours = table.rows[0]["train.neighbour_cores"]
    assert (neighbours.high, neighbours.low) == (0.8, min(run.metrics["train.neighbour_cores"] for run in runs))


def test_a_run_that_could_not_tell_is_not_called_quiet() -> None:
    """Without canaries and without a view of neighbours a run is neither disturbed nor undisturbed."""
    made = record(fixed_shape("full"))
    blind = replace(made, metrics={"train.peak_allocated": 1})
    assert [share(case) for case in cases_of(blind)] == ["not known"]
    assert [share(case) for case in cases_of(made, blind)] == ["0 of 2, 1 not known"]
    assert [share(case) for case in cases_of(failed(fixed_shape("full")))] == ["oom in train"]


def test_a_disturbed_run_is_marked_wherever_runs_are_counted() -> None:
    """In the summary with a note, in the listing, at the run in detail, and among every run's numbers."""
    cases = cases_of(record(fixed_shape("lora")), noisy())
    table = summary(cases)
    assert texts(table, "runs") == ["2 / 0, 1 disturbed"]
    assert any("ftbench table conditions" in note for note in table.notes)
    assert texts(listing(cases), "runs") == ["2/0, 1 disturbed"]
    assert "  disturbed: other processes kept 0.80 cores busy" in detail(cases)
    first = per_run(cases[0]).rows[0]
    assert [cell.text for cell in first.values()][:2] == ["disturbed", "no"]
    assert any("0.80 cores" in cell.text for cell in first.values())
    quiet = cases_of(record(fixed_shape("lora")))
    assert not any("disturbed" in str(row["metric"].value) for row in per_run(quiet[0]).rows)
    assert not any("disturbed" in note.lower() for note in summary(quiet).notes)


@pytest.mark.parametrize("make", [memory, attribution, cost, conditions])
def test_raw_numbers_stay_in_base_units(make: object) -> None:
    """In CSV every figure is the number of the record, whatever unit people are shown."""
    made = on_gpu(fixed_shape("qlora"))
    tables = make(cases_of(made))  # type: ignore[operator]
    for table in tables if isinstance(tables, list) else [tables]:
        rows = list(csv.DictReader(io.StringIO(render.to_csv(table))))
        for row, shown in zip(rows, table.rows, strict=True):
            for key, cell in shown.items():
                if cell.is_number and "/" not in cell.metric:
                    assert float(row[key]) == pytest.approx(value(made, cell.metric), rel=1e-12)
                    assert row[f"{key}.unit"] == METRICS[cell.metric].unit


def test_tables_fit_a_terminal() -> None:
    """For runs of one device no table but the one of many categories is wider than 160 columns, notes aside."""
    for cases in (CPU, GPU, PAGED):
        for table in (memory(cases), *cost(cases), *paging(cases), *conditions(cases)):
            lines = [line for line in render.to_text(table).splitlines() if not line.startswith("*")]
            assert max(map(len, lines)) <= WIDEST, table.title


WIDEST = 160
PAGED = cases_of(*(paged(path, share) for path in ("prefetch", "fault") for share in (0.5, 1.0)))
CPU = cases_of(*everything())
GPU = cases_of(*(on_gpu(fixed_shape(method, seed=seed)) for method in ("full", "qlora") for seed in range(3)))


def test_showing_needs_nothing_heavy() -> None:
    """What `ftbench show` imports for disturbed runs loads no pandas, scipy or numpy."""
    code = "import sys, bench.report.show; print([m for m in sys.argv[1:] if m in sys.modules])"
    command = [sys.executable, "-c", code, "pandas", "scipy", "numpy", "jinja2", "plotly"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
