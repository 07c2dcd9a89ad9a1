"""What a model file says of itself: the JSON in ``metadata_props["onlygood"]``."""

from typing import Any, Literal

from pydantic import Field

from onlygood.deploy.runtime.strict import Strict

SCHEMA_VERSION = 1


class InputSpec(Strict):
    """What the graph takes: uint8 ``(N, height, width, channels)``, resized outside the graph."""

    height: int = Field(ge=8, le=8192)
    width: int = Field(ge=8, le=8192)
    channels: Literal[1, 3]
    resize: Literal["stretch", "pad", "crop"] = "stretch"
    bit_depth: Literal[8, 10, 12, 16] = 16  # declared depth of 16-bit images


class Calibration(Strict):
    """Scores of good images that neither the encoder nor the head saw, sorted ascending."""

    scores: list[float] = Field(min_length=1)
    max_false_alarms: float = Field(gt=0, lt=1)  # the default rate of verdicts


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

    schema_version: Literal[1] = 1
    name: str
    recipe: dict[str, Any]
    input: InputSpec
    heatmap: tuple[int, int]  # rows, columns
    calibration: Calibration
    self_test: SelfTest
    parity: Parity
    # Library versions, fingerprint and content hashes of the images, seed, summary of the training log.
    provenance: dict[str, Any]
    # sha256 of the file with these 64 characters zero
    seal: str = Field(default="0" * 64, pattern="^[0-9a-f]{64}$")
