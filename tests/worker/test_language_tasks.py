"""Tasks of language: what their rows become, what is held out, and what counts as right."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import cache
from bench.errors import NotFetchedError
from bench.schema.catalogue import TASKS, load
from bench.worker.classification import RELATIONS, label_name
from bench.worker.rows import local_file, rows
from bench.worker.run import seen
from bench.worker.tasks import DataSet, Example, faq, jnli, pubmedqa

SHARED = Path(__file__).parents[3] / "shared" / "data"
REAL = {"pubmedqa": (500, 500), "jnli": (1970, 464), "jcommonsenseqa": (8939, 1119)}

Mirror = Callable[[str, list[dict[str, Any]]], None]


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Point at a folder of data; what was read from another is forgotten, before and after."""

    def forget() -> None:
        for cached in (local_file, rows, jnli._divided):
            cached.cache_clear()

    def point(folder: Path) -> None:
        monkeypatch.setenv(cache.DATA_VARIABLE, str(folder))
        forget()

    yield point
    forget()


@pytest.fixture
def mirror(at: Any, tmp_path: Path) -> Mirror:
    """Write rows where a local mirror has them: "<owner>/<name>/<config>/<split>"."""

    def write(place: str, made: list[dict[str, Any]]) -> None:
        path = tmp_path / f"{place}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in made))
        at(tmp_path)

    return write


@pytest.mark.parametrize(
    ("name", "place"),
    [("mnli", "nyu-mll/multi_nli/default/validation_matched"), ("snli", "stanfordnlp/snli/plain_text/test")],
)
def test_pairs_of_english_keep_their_labels_and_drop_what_has_none(mirror, name, place):
    """Numbers 0, 1 and 2 are entailment, neutral and contradiction; -1 is no label."""
    mirror(place, [{"premise": f"P{n}.", "hypothesis": " H. ", "label": n} for n in (0, -1, 1, 2)])

    made = load(TASKS[name]).test(10)

    assert [example.answer for example in made] == ["True", "Neither", "False"]
    assert made[0].prompt == "P0.\nQuestion: H. True, False or Neither?\n"
    assert all(example.choices == ("True", "Neither", "False") for example in made)


def test_a_label_is_read_by_name_or_number():
    """Data sets give labels either way; a name that is not known is none, as -1 is."""
    assert [label_name(label, RELATIONS) for label in (2, "neutral", -1, 3, "-")] == [
        "contradiction", "neutral", None, None, None,
    ]  # fmt: skip


def test_a_data_set_that_is_a_script_is_one_line(tmp_path, monkeypatch):
    """The library runs no scripts; the mistake says so and names the folder option."""
    script = tmp_path / "made" / "scripted" / "scripted.py"
    script.parent.mkdir(parents=True)
    script.touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(cache.DATA_VARIABLE, raising=False)

    with pytest.raises(NotFetchedError, match=r"--data-dir .*scripts are no longer supported"):
        rows(DataSet("made/scripted", "default", "train"))


@pytest.mark.parametrize("label", [3, "choice3"])
def test_the_right_choice_is_the_labelled_one(mirror, label):
    """JCommonsenseQA's answer is the choice its label names, as text, among all five."""
    row = {"question": "問い", "label": label, **{f"choice{n}": "あいうえお"[: n + 1] for n in range(5)}}
    mirror("shunk031/JGLUE/JCommonsenseQA/validation", [row])

    (made,) = load(TASKS["jcommonsenseqa"]).test(5)

    assert (made.answer, len(made.choices), made.per_character) == ("あいうえ", 5, True)
    assert all(choice in made.prompt for choice in made.choices)


def pairs(count: int) -> list[dict[str, Any]]:
    """Two captions of every photograph, in both orders."""
    return [
        {"sentence1": f"{n}{a}", "sentence2": f"{n}{b}", "yjcaptions_id": f"{n}-{a}-{b}", "label": "neutral"}
        for n in range(count)
        for a, b in ("xy", "yx")
    ]


def test_captions_of_one_photograph_stay_together(mirror):
    """No photograph has pairs both in training and in the test; one in five photographs is tested."""
    mirror("shunk031/JGLUE/JNLI/validation", pairs(10))
    task = load(TASKS["jnli"])

    tested, trained = (
        {example.prompt.split()[1][:1] for example in part} for part in (task.test(99), task.train(0, 0))
    )

    assert tested == {"0", "5"}
    assert trained == set("12346789")


def questions(ids: list[int]) -> list[dict[str, Any]]:
    return [
        {"pubid": n, "question": f"Q{n}?", "context": {"contexts": ["One.", "Two."]}, "long_answer": "secret",
         "final_decision": "maybe"}
        for n in ids
    ]  # fmt: skip


def test_one_file_or_two_give_the_same_questions(mirror):
    """The hub's single split and a mirror with a test split of its own divide alike, by the authors' list of ids."""
    held_out = list(map(int, pubmedqa.TEST_IDS.read_text().split()))
    task, others = load(TASKS["pubmedqa"]), [1, 3, 2]
    assert len(set(held_out)) == 500

    mirror("qiaojin/PubMedQA/pqa_labeled/train", questions([*others, *reversed(held_out)]))
    whole = task.test(500), task.train(7, 0)
    mirror("qiaojin/PubMedQA/pqa_labeled/train", questions(sorted(others)))
    mirror("qiaojin/PubMedQA/pqa_labeled/test", questions(held_out))

    assert (task.test(500), task.train(7, 0)) == whole
    assert len(whole[0]) == 500
    assert {example.prompt for example in whole[1]} == {
        f"Abstract: One. Two.\nQuestion: Q{n}?\nAnswer yes, no or maybe.\n" for n in others
    }
    assert len(task.data_sets) == 2


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real data beside the checkout ({SHARED.name}/)")
@pytest.mark.parametrize("name", REAL)
def test_real_rows_become_examples_with_their_answer_among_the_choices(at, name):
    """Every real row is read, in the numbers that are known, and nothing tested is trained."""
    at(SHARED)
    task = load(TASKS[name])

    trained, tested = task.train(0, 0), task.test(10_000)

    assert (len(trained), len(tested)) == REAL[name]
    assert all(example.answer in example.choices for example in trained + tested)
    assert len({len(set(example.choices)) for example in tested}) == 1
    assert seen(tested, trained) == 0
    assert max(Counter(example.answer for example in tested).values()) < len(tested)


def test_a_fact_is_tested_in_words_that_were_not_trained():
    """Each of a hundred facts is trained in three wordings with one answer, and tested in a fourth with the same."""
    task = load(TASKS["faq"])
    trained, tested = task.train(0, 0), task.test(1000)

    assert (len(trained), len(tested)) == (300, 100)
    assert not {example.prompt for example in trained} & {example.prompt for example in tested}
    assert Counter(example.answer for example in trained) == {example.answer: 3 for example in tested}
    assert task.train(1, 0) != trained
    assert task.test(10) == tested[:10]
    assert len(faq.PRODUCTS) == len(set(faq.PRODUCTS))


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("The Brisk lantern costs 59 euros.", True),
        ("59", True),
        ("It is 59, I think: 59 euros", True),
        ("It costs 590 euros.", False),
        ("It costs 59 or 69 euros.", False),
        ("It costs fifty-nine euros.", False),
        ("", False),
    ],
)
def test_the_key_fact_is_the_one_number(said, right):
    """The right number counts in whatever words, another number beside it does not."""
    assert load(TASKS["faq"]).is_right(Example("", "The Brisk lantern costs 59 euros."), said) is right


def test_only_the_choice_itself_is_right():
    """What a classification answers is one of its choices, compared whole."""
    example = Example("", "no", ("yes", "no"))
    task = load(TASKS["pubmedqa"])
    assert [task.is_right(example, said) for said in ("no", "yes", "", "no ")] == [True, False, False, False]


def test_letter_case_and_white_space_hide_no_contamination():
    """A test prompt that was trained in other letters, or with other spaces, was seen."""
    test = [Example("What is  ÄB?\n", "1"), Example("What is c?", "2")]

    assert seen(test, [Example(" what is äb?", "x")]) == 1
