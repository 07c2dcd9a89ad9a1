"""The model's input, chosen from what a folder holds, each choice with the words that say it."""

from typing import Annotated, Literal

from pydantic import Field

from onlygood.pretrain.data.store import Depth, Survey
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.strict import Strict

OTHER_SHAPE = 1.25  # an image whose aspect is so many times the input's looks visibly distorted
LONGEST = 4.0  # the longer side at most so many times the shorter
Pixels = Annotated[int, Field(ge=8, le=8192)]  # as a model file may have


class InputConfig(Strict):
    """What the detector sees of an image. "auto" is chosen from the folder and said."""

    size: Literal["auto"] | tuple[Pixels, Pixels] = "auto"  # height, width
    side: int = Field(default=224, ge=16, le=8192)  # "auto": the shorter side at most
    channels: Literal["auto", 1, 3] = "auto"
    resize: Literal["stretch", "pad", "crop"] = "stretch"
    bit_depth: Literal["auto", 8, 10, 12, 14, 16] = "auto"  # of images that do not say their own
    jpeg: Literal["full", "reduced"] = "full"  # reduced: large ones are shrunk while decoding, for speed
    # How pixels become the network's numbers; "auto": as the encoder's weights were trained, "image" without.
    standardize: Literal["auto", "image", "fixed", "unit", "plain", "imagenet"] = "auto"


def plan_input(config: InputConfig, probe: Survey, *, tile: int, stride: int) -> tuple[InputSpec, str]:
    """Size and channels of the model's input.

    "auto" keeps the median aspect ratio and never enlarges: the shorter side becomes ``config.side`` px at
    most, and both sides ``tile`` plus a multiple of ``stride``. Squashing every part to a square loses thin
    defects on long parts. Where images have several shapes one size fits some of them only, which is said.
    """
    channels = config.channels
    if channels == "auto":
        channels = 1 if probe.gray else 3
    native = f"{probe.median_width}×{probe.median_height}"
    if config.size == "auto":
        shorter = min(probe.median_width, probe.median_height)
        scale = min(1.0, config.side / shorter)
        limit = LONGEST * shorter * scale
        height, width = (
            _fit_grid(min(side * scale, limit), tile, stride)
            for side in (probe.median_height, probe.median_width)
        )
        words = f"input {width}×{height} px (width × height), from images of {native} at the median"
    else:
        height, width = config.size
        words = f"input {width}×{height} px, as the recipe says; images are {native} at the median"
    words += ", greyscale" if channels == 1 else ", RGB"
    depth, depth_words = _plan_depth(config, probe)
    words += depth_words
    share = probe.other_shapes(width, height, OTHER_SHAPE)
    if config.resize != "pad" and share > 0:
        fate = "are squeezed or stretched" if config.resize == "stretch" else "lose what hangs over"
        words += (
            f"; {share:.0%} of the images have another shape (by over {OTHER_SHAPE - 1:.0%}) and {fate}: "
            "--set input.resize=pad keeps them whole"
        )
    chosen = {"height": height, "width": width, "channels": channels, "bit_depth": depth}
    spec = InputSpec.parse(chosen | config.model_dump(include={"resize", "jpeg"}), "input")
    return spec, words


def _plan_depth(config: InputConfig, probe: Survey) -> tuple[Depth, str]:
    """The bit depth of images that do not say their own, and the words for it.

    Cameras of 10, 12 and 14 bits write 16-bit files that are nearly black when read as 16 bits.
    """
    if config.bit_depth != "auto":
        return (
            config.bit_depth,
            f", {config.bit_depth} bits deep as the recipe says" if probe.sixteen_bit else "",
        )
    if not probe.sixteen_bit:
        return 16, ""
    depth = probe.bit_depth
    how = "as the files say" if probe.declared else f"since no value sampled is above {probe.largest}"
    return depth, f", {depth} bits deep, {how} (--set input.bit_depth=16 changes it)"


def _fit_grid(side: float, tile: int, stride: int) -> int:
    """The nearest ``tile + k · stride``."""
    return tile + max(0, round((side - tile) / stride)) * stride
