"""Looking inside a run: categories that sum to the peak, stages, operations; and a run that survives a failed look."""

from __future__ import annotations

import pytest

from bench.schema import Status
from bench.schema.metrics.memory import CATEGORIES, STAGES
from bench.worker.batches import padded
from bench.worker.encoding import Encoder
from bench.worker.inspection import followed, note_attribution
from bench.worker.logbook import Logbook
from bench.worker.loop import Trainer
from bench.worker.probes.attribution import Attribution
from bench.worker.run import run
from bench.worker.tasks.addition import TASK


@pytest.fixture
def inspected(tiny_cache, tiny_config, tmp_path):
    """Make a run in this process and return its record."""

    def make(method="lora", **settings):
        logbook = Logbook(tiny_config(method, **{"steps": 3, "packing": True, **settings}), tmp_path / "phase")
        run(logbook)
        return logbook.record(Status.OK)

    return make


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_categories_sum_to_the_peak_they_explain(inspected, method):
    """On a CPU the peak of training is the sum of its categories to the byte, and the highest of the stages."""
    metrics = inspected(method).metrics

    parts = {name: metrics.get(f"at_peak.{name}", 0) for name in CATEGORIES}
    assert sum(parts.values()) == metrics["at_peak.total"] == metrics["train.peak_allocated"]
    assert max(metrics[f"{stage}.peak_allocated"] for stage in STAGES) == metrics["at_peak.total"]
    assert (parts["adapters"] > 0) == (method != "full")
    assert (parts["base_4bit"] > 0) == (parts["quantization_state"] > 0) == (method == "qlora")
    assert parts["optimizer_state"] >= 2 * 4 * metrics["parameters.trainable"]


def test_the_timeline_ends_where_the_step_began_and_holds_the_peak(inspected):
    """At one instant the stack reaches the peak; nothing is kept between steps but what training keeps."""
    record = inspected("full")
    stacks = [
        values for name, values in record.series.items() if name.startswith("timeline.") and "seconds" not in name
    ]
    totals = [sum(instant) for instant in zip(*stacks, strict=True)]

    assert max(totals) == record.metrics["at_peak.total"]
    assert record.series["timeline.gradients"][0] == 0
    assert len(totals) == len(record.series["timeline.seconds"]) <= 200


def test_padded_runs_are_inspected_on_their_largest_batch(inspected):
    """Where shapes vary, the peak is that of the step with the most positions, and every step has its operations."""
    record = inspected("lora", packing=False, steps=6, batch_size=2)
    tokens, flops = record.series["step.tokens_all"], record.series["step.flops"]

    assert record.metrics["train.peak_allocated"] > 0
    assert len(flops) == 6
    by_tokens = [count for _, count in sorted(zip(tokens, flops, strict=True))]
    assert by_tokens == sorted(by_tokens)


def test_inspection_changes_nothing_that_was_measured_before(inspected):
    """With and without it losses and verdicts are the same to the last digit."""
    looked, left = (inspected("lora", inspect=choice, evaluate_items=4) for choice in (True, False))

    assert looked.series["step.loss"] == left.series["step.loss"]
    assert looked.items == left.items
    assert "at_peak.total" not in left.metrics


def test_a_failed_look_leaves_the_run_standing(inspected, monkeypatch):
    """What cannot be taken apart is absent with the reason; everything timed stays."""

    def broken(*_):
        raise ValueError("no such layer")

    monkeypatch.setattr(Trainer, "held", broken)

    record = inspected("lora")

    assert record.absent["at_peak.total"] == "looking inside failed: no such layer"
    assert "train.peak_allocated" in record.absent
    assert record.metrics["train.timed_seconds"] > 0
    assert record.metrics["inspect.seconds"] > 0


def test_stage_seconds_fill_a_step(inspected):
    """Forward, backward and optimizer each take time."""
    metrics = inspected("full").metrics

    assert all(metrics[f"{stage}.seconds"] > 0 for stage in STAGES)


def test_merging_and_single_sequences_have_phases_of_their_own(inspected):
    """Both have seconds and peaks; a full fine-tuning has nothing to merge and says so."""
    adapter = inspected("lora", merge=True, infer_tokens=3)
    whole = inspected("full", merge=True)

    for phase in ("infer", "merge"):
        assert adapter.metrics[f"{phase}.seconds"] > 0
        assert adapter.metrics[f"{phase}.peak_resident"] > 0
    assert adapter.series["infer.tokens"] == (3, 3, 3)
    assert whole.absent["merge.seconds"] == "there is no adapter to merge."


def test_stages_are_told_to_whoever_listens_too(prepared, tiny_config, tokenizer, cpu):
    """A followed step calls back at its stages, and says what every byte at its peak was for."""
    config = tiny_config("lora")
    encoder = Encoder(tokenizer, chat=False)
    trainer = Trainer(prepared(config), config, cpu)
    heard = []

    found = followed(cpu, trainer, [padded([encoder.whole(example) for example in TASK.train(0, 4)], 0)], heard.append)

    assert heard == ["forward", "backward", "optimizer", "end"]
    assert isinstance(found, Attribution)
    assert sum(found.peak.values()) == found.total > 0


def test_what_could_not_be_followed_is_absent_with_the_reason(tiny_config, cpu, tmp_path):
    """The peak, its categories and the stages' peaks all say why."""
    logbook = Logbook(tiny_config("lora"), tmp_path / "phase")
    logbook.device = cpu

    note_attribution(logbook, "the history was lost.", {})

    absent = logbook.record(Status.OK).absent
    assert {absent[f"{name}.peak_allocated"] for name in ("train", *STAGES)} == {"the history was lost."}
    assert absent["at_peak.total"] == "the history was lost."


def test_a_measured_timeline_has_its_seconds(inspected):
    """They never fall; only on a simulated device there are none."""
    seconds = inspected("lora").series["timeline.seconds"]

    assert list(seconds) == sorted(seconds)
    assert seconds[-1] > 0
