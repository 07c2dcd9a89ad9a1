"""How long, how fast and how carefully to train; without torch, so that recipes are checked fast."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from onlygood.runtime.limits import LARGEST_SEED, MOST_MINUTES, MOST_STEPS, MOST_THREADS
from onlygood.runtime.strict import Strict


class TrainConfig(Strict):
    """How to train; at most one of ``steps`` and ``minutes``."""

    # 2000 where neither is given; 0 leaves the encoder as it is
    steps: int | None = Field(default=None, ge=0, le=MOST_STEPS)
    # Of training, all resumed runs together.
    minutes: float | None = Field(default=None, gt=0, le=MOST_MINUTES)
    batch_size: int = Field(default=96, ge=1)  # images in a step, of all processes together
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(default=0.05, gt=0)  # default 0.001 for adamw; cosine to 0 after the warm-up
    momentum: float = Field(default=0.9, ge=0, lt=1)  # Nesterov's; sgd only
    weight_decay: float = Field(default=5e-4, ge=0)  # default 0.05 for adamw; never on biases and norms
    warmup: float = Field(default=0.05, ge=0, lt=1)  # share of training
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    threads: int | None = Field(default=None, ge=1, le=MOST_THREADS)  # None: the CPUs that are ours
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    checkpoint_minutes: float = Field(default=1.0, ge=0)
    log_every: int = Field(default=20, ge=1)  # steps

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        """Defaults that depend on other values."""
        if not isinstance(values, Mapping):
            return values
        defaults: dict[str, Any] = {}
        if values.get("steps") is None and values.get("minutes") is None:
            defaults["steps"] = 2000
        if values.get("optimizer") == "adamw":
            defaults |= {"lr": 1e-3, "weight_decay": 0.05}
        return {**defaults, **{key: value for key, value in values.items() if value is not None}}

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.steps is not None and self.minutes is not None:
            raise ValueError("give steps or minutes, not both")
        return self

    def identity(self) -> dict[str, Any]:
        """The settings that a resumed run must share; the others do not change the numbers."""
        return self.model_dump(mode="json", exclude={"threads", "checkpoint_minutes", "log_every"})

    def fitted_to(self, images: int, say: Callable[[str], None] = lambda _: None) -> Self:
        """The same with a batch that holds no image twice; contrastive tasks take copies for negatives."""
        most = max(2, images)
        if self.batch_size <= most or self.steps == 0:
            return self
        say(f"batches of {most} images, not {self.batch_size}: there are no more to learn from")
        return self.model_copy(update={"batch_size": most})

    def progress(self, step: int, seconds: float) -> float:
        """Share of training done, in [0, 1]."""
        if self.steps == 0:
            return 1.0
        done = step / self.steps if self.steps is not None else seconds / 60 / (self.minutes or 1)
        return min(1.0, done)

    def lr_at(self, progress: float) -> float:
        """Linear from 1 % of ``lr`` during the warm-up, then a half cosine down to 0."""
        if progress < self.warmup:
            return self.lr * max(0.01, progress / self.warmup)
        return self.lr * 0.5 * (1 + math.cos(math.pi * (progress - self.warmup) / (1 - self.warmup)))
