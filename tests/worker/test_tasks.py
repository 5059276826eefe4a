"""Tasks test what they did not train, the same items in every run, and score by their own rules."""

from __future__ import annotations

import pytest

from bench.schema.catalogue import TASKS, load
from bench.worker.tasks import Task
from bench.worker.tasks.gsm8k import final_number

GENERATED = ("addition", "dates")


@pytest.mark.parametrize("name", GENERATED)
def test_no_test_item_is_trained(name):
    """The prompts of the test set and of the training set have nothing in common."""
    task = load(TASKS[name])

    tested = {example.prompt for example in task.test(1000)}
    trained = {example.prompt for example in task.train(0, 0)}

    assert len(tested) == 1000
    assert not tested & trained


@pytest.mark.parametrize("name", GENERATED)
def test_the_seed_orders_training_and_never_touches_the_test(name):
    """Another seed gives another training order and the same test items; a shorter test is a prefix."""
    task = load(TASKS[name])

    assert task.train(1, 100) == task.train(1, 100)
    assert task.train(1, 100) != task.train(2, 100)
    assert task.test(50) == task.test(100)[:50]


@pytest.mark.parametrize("name", GENERATED)
def test_the_answer_is_right_and_nothing_else_is(name):
    """Every item's own answer scores, with white space around it; a longer or other answer does not."""
    task = load(TASKS[name])

    for example, other in zip(task.test(50), task.test(100)[50:], strict=True):
        assert task.is_right(example, f" {example.answer}\n")
        assert not task.is_right(example, example.answer + "0")
        assert task.is_right(example, other.answer) == (example.answer == other.answer)
        assert not task.is_right(example, "")


@pytest.mark.parametrize("name", TASKS)
def test_every_task_says_all_that_a_run_asks(name):
    """Each task of the catalogue is a task by declaration, so that it has what no method of its own says."""
    assert Task in type(load(TASKS[name])).__mro__


def test_sums_add_up():
    """The answers of addition are what Python says."""
    for example in load(TASKS["addition"]).test(1000):
        left, _, right = example.prompt.rstrip("=").partition("+")
        assert int(example.answer) == int(left) + int(right)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("so she pays 3 + 4 = 7 dollars.\n#### 7", 7),
        ("#### 1,234", 1234),
        ("The answer is -5.", -5),
        ("first 10, then 20.50", 20.5),
        ("#### 42 apples and 7 pears", 42),
        ("nothing here", None),
        ("####", None),
        ("", None),
    ],
)
def test_the_final_number_is_found(text, number):
    """Behind #### the first number counts, else the last one; commas and signs are read."""
    assert final_number(text) == number
