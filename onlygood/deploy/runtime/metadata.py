"""What a model file says of itself: the JSON in ``metadata_props["onlygood"]``."""

from typing import Any, Literal

from pydantic import Field, model_validator

from onlygood.deploy.runtime.strict import Strict

SCHEMA_VERSION = 2  # files of schema 1 are read as well: see `Metadata._upgrade`


class InputSpec(Strict):
    """What the graph takes: uint8 ``(N, height, width, channels)``, resized outside the graph."""

    height: int = Field(ge=8, le=8192)
    width: int = Field(ge=8, le=8192)
    channels: Literal[1, 3]
    resize: Literal["stretch", "pad", "crop"] = "stretch"
    bit_depth: Literal[8, 10, 12, 14, 16] = 16  # of 16-bit images, where a file does not say its own
    jpeg: Literal["full", "reduced"] = "full"  # whether libjpeg may shrink large ones while decoding


class Calibration(Strict):
    """Scores of good images that neither the encoder nor the head saw, sorted ascending."""

    scores: list[float] = Field(min_length=1)
    max_false_alarms: float = Field(gt=0, lt=1)  # the default rate of verdicts


class Suspect(Strict):
    """A good image whose score lies far outside those of the others: perhaps it is not good."""

    path: str
    part: Literal["train", "calibration"]
    score: float  # of a head that was not fitted on this image


Range = tuple[float, float]  # lowest and highest


class Frames(Strict):
    """What good images are like as pictures, at the model's size; each the range over the training images."""

    brightness: Range  # mean, grey levels
    contrast: Range  # standard deviation, grey levels
    clipped: Range  # share of the pixels at 0 or 255
    sharpness: Range  # mean absolute difference of neighbouring pixels as a share of the contrast


class SelfTest(Strict):
    """Scores that the generated test images must get on any device."""

    scores: list[float] = Field(min_length=1)
    tolerance: float = Field(gt=0)  # relative


class Parity(Strict):
    """How far onnxruntime was from torch on real calibration images at export."""

    max_relative: float = Field(ge=0)
    images: int = Field(ge=0)


class Metadata(Strict):
    """Everything beside the graph. Raw scores leave the graph; verdicts are made from this."""

    schema_version: Literal[2] = 2
    name: str
    recipe: dict[str, Any]
    input: InputSpec
    heatmap: tuple[int, int]  # rows, columns
    calibration: Calibration
    suspects: list[Suspect] = Field(default_factory=list)  # the farthest first
    frames: Frames | None = None  # None in files of schema 1: frames are not judged
    self_test: SelfTest
    parity: Parity
    # Library versions, fingerprint and content hashes of the images, seed, summary of the training log.
    provenance: dict[str, Any]
    # sha256 of the file with these 64 characters zero
    seal: str = Field(default="0" * 64, pattern="^[0-9a-f]{64}$")

    @model_validator(mode="before")
    @classmethod
    def _upgrade(cls, values: Any) -> Any:
        """Read files of schema 1, whose models were trained and calibrated on JPEGs at reduced size."""
        if not isinstance(values, dict) or values.get("schema_version") != 1:
            return values
        given = values.get("input")
        read = given | {"jpeg": "reduced"} if isinstance(given, dict) else given
        return values | {"schema_version": SCHEMA_VERSION, "input": read}
