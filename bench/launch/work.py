"""What the suites run: how much work a scale means on a device, and the settings that suit a model and a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from bench.analysis.blocks import FEWEST_BLOCKS
from bench.errors import BadValueError, UnknownNameError
from bench.launch import machine
from bench.launch.lessons import LESSONS
from bench.launch.sizes import parse_bytes
from bench.schema import gpus
from bench.schema.catalogue import DEVICES, METHODS, NONE, STUDIES, find, find_task, is_predicted
from bench.schema.config import RunConfig, configure
from bench.schema.models import DEFAULT_CPU_MODEL, MODELS, largest_for_full_training

Scale = Literal["smoke", "small", "full"]
SCALES: tuple[Scale, ...] = ("smoke", "small", "full")


ROUNDS: Mapping[str, int] = MappingProxyType({"smoke": 1, "small": 3, "full": 5})
INFER_TOKENS = 16  # one sequence at a time; enough for a steady pace after the prompt, seconds on two cores
SEEDS: Mapping[str, int] = MappingProxyType({"smoke": 1, "small": 1, "full": 3})


@dataclass(frozen=True, slots=True)
class Work:
    """The work one session of the suites does. Build it with `choose`."""

    model: str
    task: str
    device: str
    scale: Scale
    rounds: int
    """Repeats of a speed and memory run."""
    memory_limit: int = 0
    """Bytes of private host memory a run may take; 0 does not limit."""
    oversubscribe: bool = False
    """Whether a GPU may really be run out of room for managed memory."""

    @property
    def seeds(self) -> int:
        """Trainings of an accuracy run, each with a seed of its own."""
        return SEEDS[self.scale]

    @property
    def image_model(self) -> str:
        """The session's model if it reads images, else one that does."""
        reads = self.model in MODELS and MODELS[self.model].images
        return self.model if reads else image_model(self.scale)

    @property
    def dtype(self) -> str:
        """float32 on a CPU, where it is the fastest; bfloat16 elsewhere."""
        return "float32" if self.device == "cpu" else "bfloat16"

    @property
    def predicted(self) -> bool:
        """Whether runs are simulated: a prediction comes out the same every time, so one is enough."""
        return is_predicted(self.device)

    def speed(self, method: str, **settings: Any) -> RunConfig:
        """Short run with fixed shapes and no padding: every method handles the same number of tokens a step."""
        small = self.device == "cpu" or self.scale == "smoke"
        shapes = {"batch_size": 4, "sequence_length": 128 if small else 1024}
        steps = {"smoke": 4, "small": 8 if small else 30, "full": 20 if small else 60}[self.scale]
        packing = not find_task(settings.get("task", self.task)).images
        made = {"steps": steps, "untimed_steps": 2 if small else 5, "packing": packing, "infer_tokens": INFER_TOKENS}
        return self._config(method, **{**shapes, **made, "merge": method != "full", **settings})

    def trial(self, method: str, **settings: Any) -> RunConfig:
        """Three steps of a speed run and nothing else: enough to see whether it fits; optimiser state exists then."""
        short = {"steps": 3, "untimed_steps": 2, "infer_tokens": 0, "merge": False, "inspect": False}
        return self.speed(method, **{**short, **settings})

    def paging(self, optimizer: str, **settings: Any) -> RunConfig:
        """Full fine-tuning, whose optimiser state is large; timed steps go cold, resident, resident, cold."""
        groups = {"smoke": 1, "small": FEWEST_BLOCKS, "full": 15}[self.scale]
        bare = {"infer_tokens": 0, "inspect": False, "steps": 2 + 4 * groups, "untimed_steps": 2}
        if self.device == "cpu":  # the forward pass is not the question, and slow
            bare |= {"batch_size": 1, "sequence_length": 64}
        return self.speed("full", **{"optimizer": optimizer, **bare, **settings})

    def learning(self, method: str, **settings: Any) -> RunConfig:
        """Train the task long enough to learn it, and score the test items before and after."""
        lesson = LESSONS[settings.get("task", self.task)]
        made = {
            "batch_size": lesson.batch_size,
            "gradient_accumulation_steps": lesson.gradient_accumulation_steps,
            "sequence_length": lesson.sequence_length,
            "steps": lesson.steps[self.scale],
            "evaluate_items": lesson.evaluate_items[self.scale],
            "timeout_s": 24 * 3600.0,
        }
        return self._config(method, **{**made, **settings})

    def short(self, method: str, **settings: Any) -> RunConfig:
        """Half a lesson and, but at full scale, half its test: enough to tell settings apart where there are many."""
        lesson = LESSONS[settings.get("task", self.task)]
        items = lesson.evaluate_items[self.scale] // (1 if self.scale == "full" else 2)
        made = {"steps": max(4, lesson.steps[self.scale] // 2), "evaluate_items": items}  # two of four are timed
        return self.learning(method, **{**made, **settings})

    def study(self, name: str, method: str = "full", **settings: Any) -> RunConfig:
        """Run of another study than training; its own settings, the method's and the config's go into `settings`."""
        study = find("study", STUDIES, name)
        unneeded: dict[str, Any] = {
            name: NONE for name, needed in (("model", study.weights), ("task", study.examples)) if not needed
        }
        if not study.weights:  # no rate suits a model that is not there
            unneeded["learning_rate"] = RunConfig(model=NONE, method=method, task=NONE).learning_rate
        return self._config(method, study=name, **{**unneeded, **settings})

    @property
    def thorough(self) -> bool:
        """Whether a question that needs many runs gets all of them: on a GPU, and on a CPU at full scale."""
        return self.scale == "full" or (self.scale == "small" and self.device != "cpu")

    def _config(self, method: str, **settings: Any) -> RunConfig:
        settings.setdefault("learning_rate", self.learning_rate(method))
        settings.setdefault("dtype", self.dtype)
        settings.setdefault("autocast", self.autocast(method, settings.get("base", "plain")))
        settings.setdefault("memory_limit", self.memory_limit)
        settings.setdefault("model", self.model)
        settings.setdefault("task", self.task)
        return configure(device=self.device, method=method, **settings)

    def autocast(self, method: str, base: str = "plain") -> str:
        """Train a quantised base under autocast on a GPU, as the guide's section 5 does: the rest is float32."""
        prepared = base != "plain" or "prepare_kbit" in find("method", METHODS, method).options
        return self.dtype if prepared and self.device != "cpu" else "none"

    def learning_rate(self, method: str) -> float:
        """Pick the usual rate: 2e-4 for adapters (the guide's section 5) and 1e-5 for all weights.

        Below half a billion parameters both are higher: 1e-3 and 1e-4, chosen on SmolLM2-135M and two-digit
        addition with one seed. LoRA reached 48, 60 and 61 % at 5e-4, 1e-3 and 2e-3; Full 58 and 60 % at 5e-5
        and 1e-4; 200 items each, so neighbours are not told apart.
        """
        tiny = self.model in MODELS and MODELS[self.model].parameters < 500_000_000
        if method == "full":
            return 1e-4 if tiny else 1e-5
        return 1e-3 if tiny else 2e-4


def image_model(scale: Scale) -> str:
    """Name a model that reads images: one that learns, or a random one for the smallest scale."""
    return "tiny-idefics3" if scale == "smoke" else "smolvlm-256m"


def choose(
    *,
    model: str | None,
    task: str | None,
    device: str | None,
    scale: str,
    rounds: int | None = None,
    memory_limit: str | None = None,
    oversubscribe: bool = False,
) -> Work:
    """Fill in what was not asked for: the device that is there, a model that fits it, a task for that model.

    Raises `UnknownNameError` or `BadValueError` for a name that does not exist or a device that is not there.
    """
    if scale not in SCALES:
        raise UnknownNameError("scale", scale, SCALES)
    chosen: Scale = SCALES[SCALES.index(scale)]
    if rounds is not None and rounds < 1:
        raise BadValueError(f"--rounds {rounds} is below 1.")
    device, memory = _device(device)
    if task is None:
        task = "gsm8k" if memory and chosen != "smoke" else "addition"
    if model is None and find_task(task).images:
        model = image_model(chosen)
    elif model is None:
        on_card = largest_for_full_training(memory) if memory else DEFAULT_CPU_MODEL
        model = "tiny-llama" if chosen == "smoke" else on_card
    limit = parse_bytes("--memory-limit", memory_limit) if memory_limit else 0
    if limit and is_predicted(device):
        raise BadValueError(f"--memory-limit limits the host's memory, which {device} does not have.")
    return Work(model, task, device, chosen, rounds or ROUNDS[chosen], limit, oversubscribe)


def _device(asked: str | None) -> tuple[str, int]:
    """Return the device's name, a simulated GPU by its slug, and a GPU's bytes of memory; 0 for a CPU."""
    card = machine.gpu()
    device = asked or ("cuda" if card else "cpu")
    kind, _, name = device.partition(":")
    find("device", DEVICES, kind)
    if is_predicted(device):
        sku = gpus.by_slug(name)
        return f"{kind}:{sku.slug}", sku.memory_bytes or sku.memory_gib * gpus.GIB
    machine.device_slug(device)
    return device, card.memory if device == "cuda" and card else 0
