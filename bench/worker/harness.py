"""Tasks of lm-evaluation-harness (Gao et al., doi 10.5281/zenodo.12608602): it defines and scores them.

Training is on the task's own train split, its prompts followed by its targets, without examples before them; the
answers are asked for and scored by the harness. Tasks of one's own are YAML files in `<data folder>/lm-eval/`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import cache
from bench.errors import MissingPackageError, NotFetchedError, UnknownNameError, UnsupportedError
from bench.worker.tasks import DataSet, Example, Task, shuffled

FOLDER = "lm-eval"


class HarnessTask(Task):
    """A task by the harness' name for it. Its errors are raised when its data are asked for."""

    version = 1
    chat = False
    longest_answer = 0

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def data_sets(self) -> tuple[DataSet, ...]:
        """None that we fetch: the harness does."""
        return ()

    def train(self, seed: int, limit: int) -> list[Example]:
        """Return the train split, shuffled by the seed. Raises `UnsupportedError` where there is none."""
        if not self._task.has_training_docs():
            raise UnsupportedError(f"lm-evaluation-harness' task {self._name!r} has no split to train on.")
        return shuffled(self._examples(self._task.training_docs()), seed, limit)

    def test(self, limit: int) -> list[Example]:
        """Return the first of the items that the harness scores."""
        docs = self._task.eval_docs
        return self._examples(docs[n] for n in range(min(limit, len(docs))))

    def is_right(self, example: Example, generated: str) -> bool:  # noqa: ARG002 (as every task has it)
        """Refuse: `verdicts` scores."""
        raise UnsupportedError(f"lm-evaluation-harness scores {self._name!r} itself.")

    def facts(self) -> Mapping[str, str]:
        """Name the versions of harness and task, and the metric that decides."""
        return {
            "lm_eval.version": version("lm_eval"),
            "lm_eval.task_version": str(self._task.VERSION),
            "lm_eval.metric": self._metric,
        }

    def verdicts(self, model: Any, tokenizer: Any, count: int, batch_size: int) -> str:
        """Let the harness ask a model and score its answers by the task's first metric, through its first filter.

        Raises `UnsupportedError` for a metric that does not call an item right or wrong.
        """
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM

        seeds = dict.fromkeys(("random_seed", "numpy_random_seed", "torch_random_seed"))  # ours are not to be set anew
        done = simple_evaluate(
            HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size),
            tasks=[self._task],
            limit=count,
            bootstrap_iters=0,
            **seeds,
        )
        scores: dict[int, float] = {}
        for item in done["samples"][self._name]:
            scores.setdefault(item["doc_id"], self._score(item))
        return "".join(str(int(scores[number])) for number in sorted(scores))

    def _score(self, item: Mapping[str, Any]) -> float:
        score = item.get(self._metric)
        if score not in (0, 1):
            raise UnsupportedError(f"lm-evaluation-harness scores an item of {self._name!r} by {self._metric} as "
                                   f"{score!r}, which is neither right nor wrong.")  # fmt: skip
        return float(score)

    @property
    def _metric(self) -> str:
        return str(self._task.config.metric_list[0]["metric"])

    @cached_property
    def _task(self) -> Any:
        """Load the task and its data."""
        try:
            from lm_eval.tasks import TaskManager
        except ModuleNotFoundError as error:
            if error.name != "lm_eval":
                raise
            needed_for = f"task 'lm-eval:{self._name}'"
            raise MissingPackageError("lm_eval", needed_for, "pip install 'ftbench[lm-eval]'") from None
        data = os.environ.get(cache.DATA_VARIABLE)
        own = Path(data, FOLDER) if data else None
        manager = TaskManager(include_path=str(own) if own and own.is_dir() else None)
        if self._name not in manager.all_subtasks:
            near = difflib.get_close_matches(self._name, manager.all_subtasks, n=5)
            raise UnknownNameError("single task of lm-evaluation-harness", self._name, near)
        try:
            return manager.load(self._name)["tasks"][self._name]
        except (OSError, ValueError, RuntimeError) as error:
            raise NotFetchedError(
                f"the data of 'lm-eval:{self._name}' are not on this machine; bring them with "
                f"'ftbench fetch --task lm-eval:{self._name}'. ({error})"
            ) from error

    def _examples(self, docs: Iterable[Any]) -> list[Example]:
        return [self._example(doc) for doc in docs]

    def _example(self, doc: Any) -> Example:
        """Return prompt and target as the harness joins them; the first target where there are several."""
        prompt, target = self._task.doc_to_text(doc), self._task.doc_to_target(doc)
        if not isinstance(prompt, str):
            raise UnsupportedError(f"lm-evaluation-harness' task {self._name!r} has no single prompt to train on.")
        if isinstance(target, list):
            target = target[0]
        if isinstance(target, int) and self._task.OUTPUT_TYPE == "multiple_choice":
            target = self._task.doc_to_choice(doc)[target]
        return Example(prompt, f"{self._task.config.target_delimiter}{target}")
