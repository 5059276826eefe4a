"""What is in the picture? Drawn shapes in plain colours: an image beside every prompt, and nothing to download."""

from __future__ import annotations

import random
import re
from itertools import product
from typing import Any

from bench.worker.tasks import Example, Task, shuffled

SIDE = 64
"""Pixels of a picture's side."""
SEED = 4242
"""Decides where shapes lie, how large they are, and which pictures are held out; the same in every run."""
COLOURS = {"red": (220, 30, 30), "green": (30, 160, 60), "blue": (30, 60, 220), "yellow": (230, 200, 30),
           "black": (20, 20, 20), "purple": (140, 40, 160)}  # fmt: skip
SHAPES = ("circle", "square", "triangle", "cross")
EACH = 25
"""Pictures of every shape in every colour."""
HELD_OUT = 5
"""Of these, how many are for the test."""
PROMPT = "Which shape is in the picture, and in which colour? Answer with the colour and the shape."
WORD = re.compile(r"[a-z]+")


class Shapes(Task):
    """Six hundred pictures: a fifth is held out for testing. Right are the colour and the shape, in that order."""

    version = 1
    chat = True
    longest_answer = 24
    data_sets = ()

    def train(self, seed: int, limit: int) -> list[Example]:
        """Return the pictures that are not held out, shuffled by the seed."""
        return shuffled(_pictures(range(HELD_OUT, EACH)), seed, limit)

    def test(self, limit: int) -> list[Example]:
        """Return the first of the held-out pictures, in one order that mixes shapes and colours."""
        return shuffled(_pictures(range(HELD_OUT)), SEED, 0)[:limit]

    def is_right(self, example: Example, generated: str) -> bool:
        """Compare the first two words that are a colour or a shape."""
        said = [word for word in WORD.findall(generated.lower()) if word in COLOURS or word in SHAPES]
        return said[:2] == example.answer.split()


def _pictures(numbers: range) -> list[Example]:
    return [
        Example(PROMPT, f"{colour} {shape}", image=_drawn(colour, shape, number))
        for (colour, shape), number in product(product(COLOURS, SHAPES), numbers)
    ]


def _drawn(colour: str, shape: str, number: int) -> Any:
    """Draw one shape on a light ground; where and how large is decided by its name and number."""
    from PIL import Image, ImageDraw

    chance = random.Random(f"{SEED} {colour} {shape} {number}")  # noqa: S311 (a picture, not a secret)
    ground = chance.randint(225, 255)
    image = Image.new("RGB", (SIDE, SIDE), (ground, ground, ground))
    half = chance.randint(10, 20)
    x, y = (chance.randint(half + 2, SIDE - half - 2) for _ in range(2))
    box = (x - half, y - half, x + half, y + half)
    draw, ink = ImageDraw.Draw(image), COLOURS[colour]
    if shape == "circle":
        draw.ellipse(box, fill=ink)
    elif shape == "square":
        draw.rectangle(box, fill=ink)
    elif shape == "triangle":
        draw.polygon(((x, y - half), (x - half, y + half), (x + half, y + half)), fill=ink)
    else:
        draw.line(((x - half, y), (x + half, y)), fill=ink, width=half // 2)
        draw.line(((x, y - half), (x, y + half)), fill=ink, width=half // 2)
    return image


TASK = Shapes()
