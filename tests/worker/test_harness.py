"""Tasks of lm-evaluation-harness: it defines and scores them, on data that lie here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from bench import cache
from bench.errors import MissingPackageError, UnknownNameError, UnsupportedError
from bench.launch.lessons import LESSONS
from bench.launch.process import Launcher
from bench.schema import Status
from bench.schema.config import configure
from bench.worker.encoding import Encoder
from bench.worker.evaluate import evaluate
from bench.worker.tasks import Example, open_task

YAML = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{{files}}}}}
{splits}
output_type: {kind}
doc_to_text: "Is {{{{n}}}} even?\\nAnswer:"
doc_to_target: {target}
{choices}
metric_list: [{{metric: {metric}, aggregation: mean, higher_is_better: true}}]
metadata: {{version: 3.0}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with tasks of our own: of choices, by label number, generating, untrainable, and half right."""
    pytest.importorskip("lm_eval", reason="comes with the extra ftbench[lm-eval]")
    made = tmp_path_factory.mktemp("data")
    (made / "lm-eval").mkdir()
    for split, numbers in (("train", range(100, 140)), ("test", range(9))):
        rows = [{"n": n, "label": n % 2, "answer": ("yes", "no")[n % 2]} for n in numbers]
        (made / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    choices, both = 'doc_to_choice: ["yes", "no"]', "training_split: train\ntest_split: test"
    for name, kind, target, metric, splits, listed in (
        ("made_choices", "multiple_choice", "label", "acc", both, choices),
        ("made_words", "generate_until", "answer", "exact_match", both, "generation_kwargs: {max_gen_toks: 4}"),
        ("made_untrained", "multiple_choice", "label", "acc", "test_split: test", choices),
        ("made_likelihood", "loglikelihood", "answer", "perplexity", both, ""),
    ):
        files = f"train: {made / 'train.jsonl'}, test: {made / 'test.jsonl'}"
        text = YAML.format(
            name=name, files=files, splits=splits, kind=kind, target=target, choices=listed, metric=metric
        )
        (made / "lm-eval" / f"{name}.yaml").write_text(text)
    return made


@pytest.fixture
def _here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.DATA_VARIABLE, str(folder))


def test_a_harness_task_needs_no_entry_but_a_name():
    """Configs take lm-eval: names, which are told apart; a case's folder has no colon in its name."""
    first, second = (configure(model="m", method="lora", task=f"lm-eval:{name}") for name in ("arc_easy", "piqa"))

    assert "lm-eval-arc_easy" in first.case
    assert ":" not in first.case
    assert first.identity != second.identity
    assert LESSONS["lm-eval:arc_easy"].steps["small"] > 0
    with pytest.raises(KeyError):
        LESSONS["arc_easy"]
    with pytest.raises(UnknownNameError):
        configure(model="m", method="lora", task="arc_easy")


def test_without_the_package_one_line_says_how_to_get_it(monkeypatch):
    """The extra that brings the harness is named."""

    class Missing:
        def find_spec(self, name, *_):
            if name == "lm_eval":
                raise ModuleNotFoundError(name=name)

    for name in [name for name in sys.modules if name.partition(".")[0] == "lm_eval"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])

    with pytest.raises(MissingPackageError, match=r"lm_eval.*ftbench\[lm-eval\]"):
        open_task("lm-eval:arc_easy").test(1)


@pytest.mark.slow
@pytest.mark.usefixtures("_here")
def test_prompts_and_targets_are_the_harness_own():
    """A label's number becomes its choice; the harness' delimiter stands between prompt and target."""
    task = open_task("lm-eval:made_choices")

    assert task.test(2) == [Example("Is 0 even?\nAnswer:", " yes"), Example("Is 1 even?\nAnswer:", " no")]
    assert len(task.test(99)) == 9
    assert sorted(example.prompt for example in task.train(3, 0)) == [f"Is {n} even?\nAnswer:" for n in range(100, 140)]
    assert task.train(1, 5) != task.train(2, 5)
    assert task.facts()["lm_eval.task_version"] == "3.0"


@pytest.mark.slow
@pytest.mark.usefixtures("_here")
def test_what_cannot_be_trained_or_counted_is_refused(prepared, tiny_config, tokenizer, cpu):
    """A task without a train split, one scored by no verdicts, one that is not there: each in one line."""
    with pytest.raises(UnsupportedError, match="no split to train on"):
        open_task("lm-eval:made_untrained").train(0, 0)
    with pytest.raises(UnknownNameError, match="made_choices"):
        open_task("lm-eval:made_choises").test(1)
    task = open_task("lm-eval:made_likelihood")
    with pytest.raises(UnsupportedError, match="neither right nor wrong"):
        evaluate(prepared(tiny_config()), Encoder(tokenizer, chat=False), task, task.test(2), 2, cpu)


@pytest.mark.slow
@pytest.mark.usefixtures("_here")
def test_the_harness_verdicts_are_those_of_the_likelier_choice(prepared, tiny_config, tokenizer, cpu):
    """Verdicts come in the items' order, as our own reading of the same choices gives them; torch is not reseeded."""
    task, model = open_task("lm-eval:made_choices"), prepared(tiny_config("lora")).train()
    items = task.test(9)
    chosen = [Example(item.prompt, item.answer, (" yes", " no")) for item in items]
    encoder = Encoder(tokenizer, chat=False)
    torch.manual_seed(5)

    done = evaluate(model, encoder, task, items, 4, cpu)

    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert drawn == torch.rand(1)
    assert model.training
    assert (len(done.seconds), done.tokens, done.unfinished) == (1, [], None)
    assert done.verdicts == evaluate(model, encoder, Chooser(), chosen, 4, cpu).verdicts
    assert set(done.verdicts) == {"0", "1"}


class Chooser:
    """Takes the right choice for right."""

    version, chat, longest_answer, data_sets = 1, False, 0, ()

    def is_right(self, example, generated):
        return generated == example.answer


@pytest.mark.slow
@pytest.mark.parametrize("name", ["made_choices", "made_words"])
def test_a_run_trains_the_train_split_and_is_scored_by_the_harness(folder, tiny_cache, tiny_config, name):
    """From a YAML file to a record: verdicts before and after, whose program counted them, and why no tokens."""
    variables = {cache.VARIABLE: str(tiny_cache), "FTBENCH_DATA_DIR": str(folder)}
    config = tiny_config("lora", task=f"lm-eval:{name}", steps=2, batch_size=2, evaluate_items=4, inspect=False)

    with Launcher(device="here", machine={}, isolation="spawn", variables=variables) as launcher:
        record = launcher.run(config)

    assert record.status is Status.OK, record.failure
    assert {when: len(bits) for when, bits in record.items.items()} == {"before": 4, "after": 4}
    assert record.resolved["lm_eval.metric"] == ("acc" if name == "made_choices" else "exact_match")
    assert "program of others" in record.absent["evaluate.tokens_per_second"]
    assert record.metrics["data.contaminated"] == 0
