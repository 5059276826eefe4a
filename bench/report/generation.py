"""Generation with adapters for people: which cases they are, what they are called, and their charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.analysis.cases import Case, newest, ran
from bench.analysis.families import largest
from bench.report.chart import Chart, drawn
from bench.report.merges import BASES, adapter_on_layers, base_label
from bench.report.named_rows import row_layout, row_name
from bench.report.tables import Cell, Column, Table, estimated
from bench.schema.metrics import METRICS

STUDY = "inference"
STATES: Mapping[str, str] = {"base": "base alone", "unmerged": "unmerged", "merged": "merged"}
COLOURS = {"base": "#999999", "unmerged": "#0072B2", "merged": "#D55E00"}
SLOWDOWN = "inference.slowdown"
SPEEDS = {
    "inference.base_tokens_per_second": ("base", "#999999"),
    "inference.tokens_per_second": ("with the adapter", "#0072B2"),
}


def generations(cases: Sequence[Case]) -> list[Case]:
    """Return the cases of this study, newest software stack only: by base, then work, then state and adapter."""
    return sorted((case for case in newest(ran(cases)) if case.config.study == STUDY), key=_order)


def _order(case: Case) -> tuple[object, ...]:
    config, asked = case.config, case.config.study_options
    base = BASES.index(str(config.options.get("quant_type", config.base)))
    adapter = (config.method, config.options.get("targets", ""), config.options.get("rank", 0), asked["dora_caching"])
    work = (config.batch_size, asked["prompt_tokens"], asked["new_tokens"])
    return case.device, config.model, base, config.dtype, *work, list(STATES).index(state(case)), *adapter, case.name


def state(case: Case) -> str:
    """Return what generates in a case: base, unmerged or merged."""
    return str(case.config.study_options["state"])


def served_label(case: Case) -> str:
    """Name an adapter with its layers; none where the base is alone."""
    if state(case) == "base":
        return "none"
    return f"{adapter_on_layers(case)}{', cached' if case.config.study_options['dora_caching'] else ''}"


def work_label(case: Case) -> str:
    """Say how many sequences there are, how long their prompts, and how many tokens each gets."""
    asked = case.config.study_options
    return f"{case.config.batch_size} × ({asked['prompt_tokens']} + {asked['new_tokens']})"


def name(case: Case) -> str:
    """Name a case among others of equal work."""
    adapter = "" if state(case) == "base" else f", {served_label(case)}"
    return f"{base_label(case)} {STATES[state(case)]}{adapter}"


def slowdowns(cases: Sequence[Case]) -> Chart | None:
    """Points with intervals: time per token against the base, one a case, of the work that most cases share."""
    found = {name(case): (case, estimated(case, SLOWDOWN)) for case in _of_one_work(cases)}
    known = {text: both for text, both in found.items() if both[1].is_number}
    if not known:
        return None
    trace = {
        "type": "scatter", "mode": "markers", "x": [cell.number for _, cell in known.values()],
        "y": [row_name(text) for text in known],
        "marker": {"size": 11, "color": [COLOURS[state(case)] for case, _ in known.values()]},
        "error_x": {"type": "data", "symmetric": False,
                    "array": [_reach(cell.high, cell) for _, cell in known.values()],
                    "arrayminus": [_reach(cell.low, cell) for _, cell in known.values()]},
    }  # fmt: skip
    layout = {
        "showlegend": False,
        **row_layout(list(known), "time per token, × the base's"),
    }
    rows = tuple({"case": Cell(text), "slowdown": cell} for text, (_, cell) in known.items())
    columns = (Column("case", "what generates"), Column("slowdown", "against its base", METRICS[SLOWDOWN].about))
    work = work_label(next(iter(known.values()))[0])
    table = Table(f"Time per token against the base, {work}", columns, rows)
    return Chart("inference-slowdown", _slowdown_finding(known, work), drawn([trace], layout), table)


def _slowdown_finding(known: Mapping[str, tuple[Case, Cell]], work: str) -> str:
    """Name what slows a token most and least; the base beside itself only says how far the turns can be trusted."""
    adapters = {text: cell for text, (case, cell) in known.items() if state(case) != "base"}
    alone = [cell.text for case, cell in known.values() if state(case) == "base"]
    check = f" The base against itself: {', '.join(alone)}." if alone else ""
    if not adapters:
        return f"Generating {work} tokens.{check}"
    most, least = (pick(adapters, key=lambda text: adapters[text].number) for pick in (max, min))
    ends = f"{adapters[most].text} ({most})"
    if most != least:
        ends += f" at most, {adapters[least].text} ({least}) at least"
    return f"Generating {work} tokens, each takes {ends} of the base's time.{check}"


def speeds(cases: Sequence[Case]) -> Chart | None:
    """Bars of tokens a second with the adapter and without, by work, of the adapter measured on most kinds of work."""
    chosen = [case for case in _of_one_adapter(cases) if all(estimated(case, speed).is_number for speed in SPEEDS)]
    if len(chosen) < 2:
        return None
    works = [work_label(case) for case in chosen]
    cells = {speed: [estimated(case, speed) for case in chosen] for speed in SPEEDS}
    traces = [
        {"type": "bar", "name": text, "x": works, "y": [cell.number for cell in cells[speed]],
         "marker": {"color": colour}}
        for speed, (text, colour) in SPEEDS.items()
    ]  # fmt: skip
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "sequences × (prompt + new tokens)"}},
        "yaxis": {"title": {"text": "generated tokens/s"}, "rangemode": "tozero"},
        "barmode": "group",
    }
    slow, fast = ("inference.tokens_per_second", "inference.base_tokens_per_second")
    said = "; ".join(
        f"{with_it.text} of {without.text} at {work}"
        for with_it, without, work in zip(cells[slow], cells[fast], works, strict=True)
    )
    rows = tuple({"work": Cell(work), **{speed: cells[speed][place] for speed in SPEEDS}}
                 for place, work in enumerate(works))  # fmt: skip
    columns = (Column("work", "work"), *(Column(speed, text) for speed, (text, _) in SPEEDS.items()))
    table = Table("Generated tokens a second by work", columns, rows)
    return Chart("inference-speed", f"{name(chosen[0])}: {said}.", drawn(traces, layout), table)


def _of_one_work(cases: Sequence[Case]) -> list[Case]:
    return largest(cases, lambda case: (case.device, case.stack, case.config.model, work_label(case)))


def _of_one_adapter(cases: Sequence[Case]) -> list[Case]:
    unmerged = [case for case in cases if state(case) == "unmerged"]
    return largest(unmerged, lambda case: (case.device, case.stack, case.config.model, name(case)))


def _reach(end: float | None, cell: Cell) -> float:
    return abs((cell.number if end is None else end) - cell.number)
