"""A tidy table loses no number and no reason, and has no column that says nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.values import NOT_ASKED
from bench.report.tables import Cell, Column, Table
from bench.report.tidy import LONGEST_NOTE, NOTHING, possible, tidy
from tests.records import cases_of, fixed_shape, on_gpu, record

KEYS = ("a", "b", "c")
cells = st.one_of(
    st.builds(Cell, st.floats(0, 1e9), unit=st.just("s")),
    st.builds(Cell, st.none(), unit=st.just("s"), reason=st.sampled_from(["", NOT_ASKED, "no NVML", "no RAPL"])),
    st.just(Cell(None, "s", reason="oom in train: no memory", brief="oom in train")),
)


def table(*rows: dict[str, Cell]) -> Table:
    columns = (Column("name", "name"), *(Column(key, key.upper()) for key in KEYS))
    return Table("T", columns, tuple({"name": Cell("row"), **row} for row in rows), ("own note",))


@given(st.lists(st.dictionaries(st.sampled_from(KEYS), cells), max_size=4))
def test_nothing_that_was_said_is_lost(rows: list[dict[str, Cell]]) -> None:
    """Every number stays in its column; every column of figures that stays has a number; every reason is told."""
    made = tidy(table(*rows), KEYS)
    shown = [cell for row in made.rows for cell in row.values()]
    given_cells = [cell for row in rows for cell in row.values()]
    assert [c.value for c in shown if c.is_number] == [c.value for c in given_cells if c.is_number]
    for key in {column.key for column in made.columns} - {"name"}:
        assert any(key in row and row[key].is_number for row in made.rows)
    for reason in ("no NVML", "no RAPL"):
        told = sum(reason in note for note in made.notes)
        assert (told > 0) is any(cell.reason == reason for cell in given_cells)
    assert len(made.rows) + sum(int(n.rpartition(", ")[2][:-1]) for n in made.notes if "Left out" in n) == len(rows)
    assert ("own note" in made.notes) is bool(made.rows)


def test_absent_cells_refer_to_their_note() -> None:
    """Cells with one reason share a number, "-" is what nobody asked for, and how a run ended stays."""
    why = Cell(None, "s", reason="no NVML")
    made = tidy(table({"a": Cell(1.0), "b": why}, {"a": why, "b": Cell(None, "s", reason=NOT_ASKED)},
                      {"a": Cell(None, "s", reason="x", brief="oom in train"), "b": Cell(2.0)}), KEYS)  # fmt: skip
    assert [row["b"].text for row in made.rows] == ["absent (1)", NOTHING, "2.00"]
    assert [row["a"].text for row in made.rows] == ["1.00", "absent (1)", "oom in train"]
    assert made.rows[0]["b"].reason == "no NVML"
    assert made.notes[0] == "(1) not measured: no NVML"


def test_a_long_reason_is_cut() -> None:
    """A reason of ten thousand characters does not make a note of ten thousand."""
    made = tidy(table({"a": Cell(1.0), "b": Cell(None, "s", reason="x" * 10_000)}, {"b": Cell(1.0)}), KEYS)
    assert max(map(len, made.notes)) < LONGEST_NOTE + 30


def test_what_a_device_cannot_have_is_not_missed() -> None:
    """On a CPU the SM clock is "-"; on a GPU that did not tell it, its absence has a reason."""
    (cpu,), (gpu,) = cases_of(record(fixed_shape("full"))), cases_of(on_gpu(fixed_shape("full")))
    assert possible(cpu, "train.sm_clock").text == NOTHING
    assert possible(gpu, "train.sm_clock").is_number
    (gpu,) = cases_of(on_gpu(fixed_shape("full"), metrics={}, absent={"train.sm_clock": "no NVML"}))
    assert possible(gpu, "train.sm_clock").text == "not measured: no NVML"


def test_a_kind_is_told_once_where_it_is_one() -> None:
    """Rows of one kind name it in the title; rows of several keep the column; Markdown and CSV always have it."""
    columns = (Column("kind", "kind"), Column("a", "A"))
    rows = [{"kind": Cell(kind), "a": Cell(1.0)} for kind in ("measured", "predicted", "measured")]
    one, two = (tidy(Table("T", columns, tuple(some)), ["a"]) for some in (rows[::2], rows))
    assert (one.title, [c.detail for c in one.columns]) == ("T, measured", [True, False])
    assert (two.title, [c.detail for c in two.columns]) == ("T", [False, False])


def test_where_no_run_gave_numbers_it_is_told_how_they_ended() -> None:
    """A table of nothing but refusals keeps its rows and notes; rows that nobody asked anything of still go."""
    ended = Cell(None, "s", reason="refused: no kernel", brief="unsupported in train")
    made = tidy(table({"a": ended, "b": ended}, {"a": Cell(None, "s", reason=NOT_ASKED)}), KEYS)
    assert len(made.rows) == 1
    assert "own note" in made.notes
