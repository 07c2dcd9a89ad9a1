"""What is known of a pretext task before it is loaded."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from onlygood.runtime.registry import Entry
from onlygood.runtime.strict import Strict


class Takes(StrEnum):
    """What a task is made of, beside the images that it is trained on."""

    IMAGES = "images"  # nothing else
    COUNT = "count"  # how many images there are: it keeps something for each
    LABELS = "labels"  # a few labelled images
    TRACKS = "tracks"  # nothing else, but an image is a patch of a video at two times, side by side
    MOTION = "motion"  # nothing else, but an image is a square of a video's frame and the mask of what moves

    @property
    def video(self) -> bool:
        """Whether an image is two squares side by side that were cut out of a video."""
        return self in {Takes.TRACKS, Takes.MOTION}


@dataclass(frozen=True)
class TaskEntry(Entry):
    """Where a task is, and what a user wants to know of it.

    ``where`` is ``module:Name``, of the classes ``NameTask`` and ``NameConfig``.
    """

    paper: str
    good_for: str
    # CPU time of a training image at 32 px, in times of rotation's, as ``benchmarks/pretrain/costs.py``
    # measured; None where nobody has.
    cost: float | None = None
    needs: str = ""  # beyond images, in words
    takes: Takes = Takes.IMAGES
    # Whether it must tell an image from its quarter or half turns, if no option `turns` says otherwise: what
    # looks the same turned has nothing for it to learn.
    turns: bool = False

    def config(self) -> type[Strict]:
        """The class of its options."""
        return self.load("Config")  # type: ignore[no-any-return]

    def task(self) -> Any:
        """Its class, ``(encoder, config, standardize)``, then ``images`` or ``labelled`` by ``takes``."""
        return self.load("Task")
