"""Good images, and what people said of verdicts, to scores that a model file can be calibrated with."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

import numpy as np

from onlygood.anomaly.data.samples import Sample
from onlygood.pretrain.data.store import HASH_DIGITS, pixel_hash
from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.files import display
from onlygood.runtime.images.many import read_images
from onlygood.runtime.images.reader import LoadedImage, ReadOptions
from onlygood.runtime.model.appearance import Appearance, appearance
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.metadata import Feedback
from onlygood.runtime.model.recalibrate import NewScores, kept_digests, learned, promise

_NAMED = 5  # images left out for one reason that are named; of the others the number is said


@dataclass
class Intake:
    """Takes images in, one by one and scored as `onlygood score` does; what must not be counted stays out.

    That are images that the model learned from, copies, unreadable files, frames that get no verdict, and,
    where the kept scores stay, images whose scores are among them. An image that a person called anomalous is
    not good, in whatever folder it lies, if the feedback is taken in first.
    """

    detector: Detector
    append: bool
    any_frame: bool
    say: Callable[[str], None]
    good: list[tuple[Sample, float, str]] = field(default_factory=list)  # with score and digest of the pixels
    peaks: list[float] = field(default_factory=list)  # of the heatmaps of the good ones
    looks: list[Appearance] = field(default_factory=list)  # of these, too
    anomalous: list[float] = field(default_factory=list)  # scores
    fine: list[float] = field(default_factory=list)  # those of the good ones that are feedback
    left_out: Counter[str] = field(default_factory=Counter)  # by the reason

    def __post_init__(self) -> None:
        metadata = self.detector.metadata
        self._known = dict.fromkeys(learned(metadata), "known to the model from its training")
        if self.append:
            self._known |= dict.fromkeys(kept_digests(metadata), "counted already")
        self._limit = promise(metadata.calibration).threshold

    def take(
        self,
        samples: Sequence[Sample],
        options: ReadOptions,
        *,
        workers: int,
        feedback: bool = False,
        step: Callable[[], None] = lambda: None,
    ) -> None:
        """Score ``samples``; those of ``feedback`` may be anomalous."""
        paths = [sample.path for sample in samples]
        with closing(read_images(paths, self.detector.metadata.input, options, workers=workers)) as images:
            for sample, read in zip(samples, images, strict=True):
                if reason := self._take(sample, read.image, feedback):
                    kind, _, detail = reason.partition(": ")
                    self.left_out[kind] += 1
                    if self.left_out[kind] <= _NAMED:
                        self.say(f"left out, {kind}: {display(sample.path)}{detail and f': {detail}'}")
                step()

    def _take(self, sample: Sample, image: LoadedImage | ImageError, feedback: bool) -> str:
        """Take one image; or the reason why not."""
        if isinstance(image, ImageError):
            return f"unreadable: {image}"
        digest = pixel_hash(image.pixels)[:HASH_DIGITS]
        if digest in self._known:
            return self._known[digest]
        objection = "" if self.any_frame else self.detector.objection(image.pixels)
        if objection:
            return f"unusable frame: {objection}"
        scores, heatmaps = self.detector.infer(image.pixels[None])
        score = float(scores[0])
        if not isfinite(score):
            return "without a score"
        if sample.label:
            self._known[digest] = "called anomalous by the feedback"
            self.anomalous.append(score)
            return ""
        self._known[digest] = "a copy of another"
        self.good.append((sample, score, digest))
        self.peaks.append(float(heatmaps[0].max()))
        self.looks.append(appearance(image.pixels))
        if feedback:
            self.fine.append(score)
        return ""

    def scores(self, root: Path, *, grouped: bool) -> NewScores:
        """What came in, with names relative to ``root``."""
        return NewScores(
            scores=np.array([score for _, score, _ in self.good]),
            names=[_name(sample.path, root) for sample, _, _ in self.good],
            pixel_hashes=[digest for _, _, digest in self.good],
            groups=[sample.group or digest for sample, _, digest in self.good] if grouped else None,
            peaks=np.array(self.peaks),
            looks=self.looks,
            left_out=self.left_out.total(),
            feedback=Feedback(
                fine=len(self.fine),
                fine_flagged=self.flagged(self.fine, self._limit),
                anomalous=len(self.anomalous),
                anomalous_flagged=self.flagged(self.anomalous, self._limit),
            ),
        )

    @staticmethod
    def flagged(scores: Sequence[float], limit: float | None) -> int:
        """How many of ``scores`` lie above the threshold ``limit``; of none, none."""
        return 0 if limit is None else sum(score > limit for score in scores)


def _name(path: Path, root: Path) -> str:
    home = root if root.is_dir() else root.parent
    return display(path.relative_to(home).as_posix() if path.is_relative_to(home) else path)
