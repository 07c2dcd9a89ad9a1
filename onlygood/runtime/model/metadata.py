"""The metadata of a model file: the JSON in ``metadata_props["onlygood"]``."""

from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, FailFast, Field, model_validator

from onlygood.runtime.images.area import from_runs
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.limits import SMALLEST_RATE
from onlygood.runtime.model.calibration import part_weights
from onlygood.runtime.strict import WHOLE, Strict

SCHEMA_VERSION = 3  # files of schema 1 and 2 are read as well: see `upgrade`
_MOST_SCORES = 1_000_000
_FAST = FailFast()  # a list of a million wrong values has one error and not a million, a kilobyte each


class Calibration(Strict):
    """Scores of good images that neither the encoder nor the head saw, sorted ascending.

    ``groups`` numbers the part that each of them shows; then the promise is for new parts. None: each image
    counts as a part of its own.
    """

    scores: Annotated[list[float], _FAST, Field(min_length=1, max_length=_MOST_SCORES)]
    groups: Annotated[list[Annotated[int, Field(ge=0, lt=_MOST_SCORES)]] | None, _FAST] = None
    max_false_alarms: float = Field(gt=SMALLEST_RATE, lt=1)  # the default rate of verdicts

    @model_validator(mode="after")
    def _one_group_each(self) -> Self:
        if self.groups is not None and len(self.groups) != len(self.scores):
            raise ValueError(f"{len(self.groups)} groups for {len(self.scores)} scores")
        return self

    def parts(self) -> int:
        """How many parts the scores are of."""
        return len(self.scores) if self.groups is None else len(set(self.groups))

    def weights(self) -> NDArray[np.float64] | None:
        """What each score counts ``(n,)``; None where each counts as much."""
        return None if self.groups is None else part_weights(self.groups)


class Suspect(Strict):
    """A good image whose score is far from those of the others: perhaps it is not good.

    One that was ``dropped`` was not learned from, or may not be the threshold: see `fit --drop-suspicious`.
    """

    path: str = Field(max_length=20_000)
    part: Literal["train", "calibration"]
    score: float  # of training images under an untrained encoder: no number to hold against the threshold
    dropped: bool = False


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError("the lowest lies above the highest")
    return ends


Range = Annotated[tuple[float, float], AfterValidator(_ascending)]  # lowest and highest
Side = Annotated[int, Field(ge=1, le=8192)]  # cells
Count = Annotated[int, Field(ge=0, le=_MOST_SCORES)]
LARGEST_CANVAS = 8192 * 8192
Pixels = Annotated[int, Field(ge=0, le=LARGEST_CANVAS)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]  # the first digits of a SHA-256


class Frames(Strict):
    """Statistics of good images at the model's size; each is a range over the training images."""

    brightness: Range  # mean, gray levels
    contrast: Range  # standard deviation, gray levels
    clipped: Range  # share of the pixels at 0 or 255
    sharpness: Range  # mean absolute difference of neighboring pixels, divided by the contrast


_Values = Annotated[list[float], _FAST, Field(min_length=1, max_length=_MOST_SCORES)]


class Appearances(Strict):
    """What calibration images look like at the model's size, each list ascending: the reference of drift."""

    brightness: _Values  # mean, gray levels
    contrast: _Values  # standard deviation, gray levels
    sharpness: _Values  # mean absolute difference of neighboring pixels, divided by the contrast
    # Center of what differs from the median gray level, 0 at the left or upper edge and 1 at the other
    across: _Values
    down: _Values


class SelfTest(Strict):
    """Scores that the generated test images must get on any device."""

    scores: list[float] = Field(min_length=1, max_length=64)
    tolerance: float = Field(gt=0, le=0.1)  # relative


class Parity(Strict):
    """The difference between onnxruntime and torch at export, on real calibration images."""

    max_relative: float = Field(ge=0, le=1)
    images: int = Field(ge=0, le=1_000_000)


class Promise(Strict):
    """What verdicts promised before a recalibration; no threshold where the rate was below the smallest."""

    images: int = Field(ge=1, le=_MOST_SCORES)
    parts: int = Field(ge=1, le=_MOST_SCORES)
    max_false_alarms: float = Field(gt=0, lt=1)
    threshold: float | None = None


class Feedback(Strict):
    """What people said of images: how many were fine or anomalous, and how many of these had been flagged."""

    fine: Count = 0
    fine_flagged: Count = 0
    anomalous: Count = 0
    anomalous_flagged: Count = 0


class Recalibration(Strict):
    """One run of `onlygood calibrate`."""

    created: str = Field(max_length=40)  # ISO 8601, UTC
    appended: bool  # the scores before stayed; else they were replaced
    images: int = Field(ge=1, le=_MOST_SCORES)  # whose scores came in
    left_out: Count = 0  # unreadable, unusable, seen before, or copies
    feedback: Feedback = Feedback()
    before: Promise
    pixel_hashes: Annotated[list[Digest], _FAST, Field(max_length=_MOST_SCORES)]  # of the images that came in


class Quantization(Strict):
    """How `onlygood quantize` made the encoder smaller, and what was lost by it on calibration images."""

    precision: Literal["int8", "fp16"]
    ranges: str = Field(max_length=100)  # how ranges of activations were chosen; "" for fp16
    kept_float: list[str] = Field(max_length=10_000)  # layers that were not quantized, on request
    source_sha256: str = Field(pattern="^[0-9a-f]{64}$")  # of the file that it was made from
    agreement: float = Field(ge=-1, le=1)  # Spearman's correlation of the scores of good images
    auroc_loss: float = Field(ge=-1, le=1)  # painted defects against the same images without
    images: int = Field(ge=1, le=_MOST_SCORES)  # that both were measured on


class Metadata(Strict):
    """Everything in the file except the graph. The graph gives raw scores; this turns them into verdicts."""

    schema_version: Annotated[Literal[3], WHOLE] = 3
    name: str = Field(max_length=1000)
    recipe: dict[str, Any]
    input: InputSpec
    # Of the canvas, row by row: how many pixels in a row do not count, then do, and so on. None: all do.
    area: Annotated[list[Pixels] | None, _FAST, Field(min_length=2, max_length=LARGEST_CANVAS)] = None
    heatmap: tuple[Side, Side]  # rows, columns
    calibration: Calibration
    # The same of the highest value of each heatmap: a limit of regions. None in files of earlier versions.
    peaks: Calibration | None = None
    suspects: list[Suspect] = Field(default_factory=list, max_length=10_000)  # the farthest first
    frames: Frames | None = None  # None in files of schema 1: frames are not judged
    appearance: Appearances | None = None  # None in files of earlier versions
    self_test: SelfTest
    parity: Parity
    # Library versions, fingerprint and content hashes of the images, seed, summary of the training log.
    provenance: dict[str, Any]
    quantization: Quantization | None = None  # None: in float
    history: Annotated[list[Recalibration], _FAST, Field(max_length=1000)] = Field(
        default_factory=list
    )  # the oldest first
    # sha256 of the file with these 64 characters zero
    seal: str = Field(default="0" * 64, pattern="^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _area_is_the_canvas(self) -> Self:
        if self.area is not None:
            if sum(self.area) != self.input.height * self.input.width:
                raise ValueError("area counts other pixels than the input has")
            if not sum(self.area[1::2]):
                raise ValueError("area leaves nothing to look at")
        return self

    def inside(self) -> NDArray[np.bool_] | None:
        """The pixels ``(H, W)`` of the canvas that count; None if all do."""
        return None if self.area is None else from_runs(self.area, self.input.height, self.input.width)

    def first_seen(self) -> frozenset[str]:
        """Digests of files and pixels of the images that `fit` learned from or calibrated on, where told."""
        return self._digests("image_hashes", "pixel_hashes")

    def held_out(self) -> frozenset[str]:
        """Digests of pixels of the images that `fit` calibrated on and did not learn from, where told."""
        return self._digests("held_out_hashes")

    def _digests(self, *keys: str) -> frozenset[str]:
        """What the provenance, which may hold anything, lists under these keys."""
        listed = (self.provenance.get(key) for key in keys)
        some = (digests for digests in listed if isinstance(digests, list))
        return frozenset(digest for digests in some for digest in digests if isinstance(digest, str))

    def seen(self) -> frozenset[str]:
        """The same, and of pixels of the images that it was calibrated on since."""
        return self.first_seen().union(*(entry.pixel_hashes for entry in self.history))


def upgrade(values: Any) -> Any:
    """Turn metadata of schema 1 or 2 into schema 3.

    Models of schema 1 were trained and calibrated on reduced JPEGs; those of both know no parts.
    """
    if not isinstance(values, dict) or type(values.get("schema_version")) is not int:
        return values
    if values["schema_version"] not in (1, 2):
        return values
    given = values.get("input")
    if values["schema_version"] == 1 and isinstance(given, dict):
        values = values | {"input": given | {"jpeg": "reduced"}}
    return values | {"schema_version": SCHEMA_VERSION}
