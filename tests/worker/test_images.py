"""Images beside prompts: what the model is given of them, in training, evaluation and generation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from bench import cache
from bench.errors import UnsupportedError
from bench.schema import RunConfig
from bench.schema.catalogue import METHODS, load
from bench.schema.config import configure
from bench.worker import models
from bench.worker.batches import batches, cut, padded
from bench.worker.devices.cpu import Cpu
from bench.worker.encoding import IGNORED, Encoder
from bench.worker.evaluate import evaluate
from bench.worker.fetch import tiny_vision
from bench.worker.tasks import Example
from bench.worker.tasks.shapes import COLOURS, SHAPES, TASK

NAME = "tiny-idefics3"
TOKENS_AN_IMAGE = 4


@pytest.fixture(scope="module", autouse=True)
def _vision_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(cache.VARIABLE, str(tmp_path_factory.mktemp("cache")))
        cache.publish(tiny_vision.build(NAME))
        yield


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    manifest = cache.manifest(NAME)
    return Encoder(models.open_tokenizer(manifest), chat=True, processor=models.open_processor(manifest))


def config(**settings: Any) -> RunConfig:
    return configure(model=NAME, task="shapes", **{"method": "lora", **settings})


def opened(asked: RunConfig) -> Any:
    manifest, method = cache.manifest(NAME), load(METHODS[asked.method])
    kind, weights = models.fetched_class(manifest), models.stored_weights(manifest)
    torch.manual_seed(0)
    return method.prepare(models.open_model(kind, weights, asked, method.quantization(asked), "cpu"), asked)


def test_test_pictures_are_no_training_pictures_and_the_same_every_time() -> None:
    """A fifth of every shape in every colour is held out, and drawing again gives the same pixels."""
    train, test = TASK.train(0, 0), TASK.test(1000)
    pixels = {example.image.tobytes() for example in train}

    assert (len(train), len(test)) == (480, 120)
    assert {example.answer for example in test} == {f"{c} {s}" for c in COLOURS for s in SHAPES}
    assert not [example for example in test if example.image.tobytes() in pixels]
    assert [e.image.tobytes() for e in TASK.test(9)] == [e.image.tobytes() for e in TASK.test(9)]


@pytest.mark.parametrize(
    ("said", "right"),
    [("Red circle.", True), (" a red, small circle", True), ("circle red", False), ("red square", False), ("", False),
     ("blue red circle", False)],
)  # fmt: skip
def test_right_are_colour_and_shape_in_that_order(said: str, right: bool) -> None:
    """Words beside them do not matter; another colour or shape before them does."""
    assert TASK.is_right(Example("", "red circle"), said) is right


def test_an_image_takes_its_tokens_in_the_prompt_and_its_pixels_in_the_batch(encoder: Encoder) -> None:
    """Every sequence has the image's tokens once, none of them trained, and the batch one image for each sequence."""
    examples = TASK.test(3)
    sequences = [encoder.whole(example) for example in examples]
    image_id = models.open_processor(cache.manifest(NAME)).image_token_id

    batch = padded(sequences, encoder.pad_id)

    assert (batch.input_ids == image_id).sum(1).tolist() == [TOKENS_AN_IMAGE] * 3
    assert set(batch.labels[batch.input_ids == image_id].tolist()) == {IGNORED}
    assert batch.on("cpu")["pixel_values"].shape[:2] == (3, 1)
    assert not torch.equal(batch.pixels["pixel_values"][0], batch.pixels["pixel_values"][1])


def test_cutting_keeps_the_image(encoder: Encoder) -> None:
    """A sequence that is cut at its end still shows its picture."""
    (whole,), longer = cut([encoder.whole(TASK.test(1)[0])], 60)

    assert longer == 1
    assert padded([whole], encoder.pad_id).pixels


def test_images_are_not_packed(encoder: Encoder) -> None:
    """Laying sequences end to end would part pictures from their prompts, and is refused."""
    sequences = [encoder.whole(example) for example in TASK.test(2)]

    with pytest.raises(UnsupportedError, match="without packing"):
        next(batches(sequences, config(packing=True), encoder.pad_id))


@pytest.mark.parametrize(
    "settings", [{}, {"method": "qlora"}, {"method": "adalora", "base": "nf4", "targets": "all-linear"}]
)
def test_what_is_in_the_picture_reaches_the_loss(encoder: Encoder, settings: dict[str, Any]) -> None:
    """With the same text and another picture the loss is another, on plain and on 4-bit bases."""
    model = opened(config(**settings))
    first, second = (next(e for e in TASK.test(120) if e.answer == said) for said in ("red circle", "blue cross"))
    swapped = Example(first.prompt, first.answer, image=second.image)

    losses = [model(**padded([encoder.whole(e)], encoder.pad_id).on("cpu")).loss.item() for e in (first, swapped)]

    assert losses[0] != losses[1]


def test_answers_of_a_batch_are_those_of_one_at_a_time(encoder: Encoder) -> None:
    """Every answer in a batch is about its own picture: batching changes no verdict and no answer's length."""
    model, examples = opened(config()), TASK.test(4)

    together = evaluate(model, encoder, TASK, examples, 4, Cpu())
    apart = [evaluate(model, encoder, TASK, [example], 1, Cpu()) for example in examples]

    assert together.verdicts == "".join(one.verdicts for one in apart)
    assert together.tokens == [sum(one.tokens[0] for one in apart)]


def test_a_model_of_text_alone_refuses_images() -> None:
    """A picture for a model that reads text is refused, not left out."""
    tokenizer = models.open_tokenizer(cache.manifest(NAME))

    with pytest.raises(UnsupportedError, match="reads no images"):
        Encoder(tokenizer, chat=False).prompt(TASK.test(1)[0])
