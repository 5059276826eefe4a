"""A model that sees and speaks, of some ten thousand random weights, built like SmolVLM: for tests."""

from __future__ import annotations

from pathlib import Path

from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3ImageProcessorPil, Idefics3Processor

from bench.cache import Manifest
from bench.worker.fetch.tiny import byte_tokenizer, generated, shape

SIDE = 32
"""Pixels of an image's side; patches of 8, whose features are joined four to a token."""
PATCH = 8
JOINED = 2
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ':' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '<end_of_utterance>\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)


def build(name: str) -> Manifest:
    """Build the model into the cache; the same weights on every machine with the same torch."""
    return generated(name, _make)


def _make(folder: Path) -> None:
    processor = Idefics3Processor(
        Idefics3ImageProcessorPil(size={"longest_edge": SIDE}, max_image_size={"longest_edge": SIDE}),
        byte_tokenizer(),
        image_seq_len=(SIDE // PATCH // JOINED) ** 2,
        chat_template=TEMPLATE,
    )
    tokenizer = processor.tokenizer
    text = shape(len(tokenizer), tokenizer.eos_token_id)
    sight = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
             "image_size": SIDE, "patch_size": PATCH}  # fmt: skip
    settings = Idefics3Config(
        vision_config=sight, text_config=text.to_dict(), scale_factor=JOINED, image_token_id=processor.image_token_id,
        pad_token_id=tokenizer.pad_token_id, tie_word_embeddings=True,
    )  # fmt: skip
    processor.save_pretrained(folder)
    Idefics3ForConditionalGeneration(settings).save_pretrained(folder)
