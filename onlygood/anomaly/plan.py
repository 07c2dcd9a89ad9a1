"""What `fit` chooses from the folder before anything is trained, each choice with the words that say it."""

from dataclasses import dataclass

from onlygood.anomaly.recipe import InputConfig, Recipe
from onlygood.deploy.runtime.calibration import minimum_n, smallest_alpha
from onlygood.deploy.runtime.errors import OnlygoodError
from onlygood.deploy.runtime.metadata import InputSpec
from onlygood.pretrain.images import Depth, Probe

DEFAULT_RATE = 0.01
OTHER_SHAPE = 1.25  # an image whose aspect is so many times the input's looks visibly distorted
LONGEST = 4.0  # the longer side at most so many times the shorter
FEWEST = 10  # good images to train on


@dataclass(frozen=True)
class Split:
    """How many good images go where, and the false-alarm rate that the calibration part allows."""

    train: int
    calibration: int
    rate: float
    words: str


def plan_input(config: InputConfig, probe: Probe, *, tile: int, stride: int) -> tuple[InputSpec, str]:
    """Size and channels of the model's input.

    "auto" keeps the median aspect ratio and never enlarges: the shorter side becomes ``config.side`` px at
    most, and both sides ``tile`` plus a multiple of ``stride``. Squashing every part to a square loses thin
    defects on long parts. Where images have several shapes one size fits some of them only, which is said.
    """
    channels = config.channels
    if channels == "auto":
        channels = 1 if probe.grey else 3
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


def _plan_depth(config: InputConfig, probe: Probe) -> tuple[Depth, str]:
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


def plan_split(recipe: Recipe, images: int, rate: float | None) -> Split:
    """Hold out enough good images for the promised rate, and for a threshold that hangs on no single image.

    ``rate`` is what the user asked for. With k = floor(rate · (n + 1)) the threshold is the k-th largest of n
    calibration scores; with k = 1 one bad image among the good ones decides alone. So n allows k = 2 where
    half of the images do. Where they do not, a wish is kept and the words warn; without a wish the rate
    becomes the smallest with k = 2. An impossible wish is an error before training, with the smallest
    possible rate.
    """
    if images < 2 * FEWEST:
        raise OnlygoodError(f"{images} different good images are too few: {2 * FEWEST} are the least")
    wish = rate if rate is not None else recipe.calibration.max_false_alarms
    target = wish if wish is not None else DEFAULT_RATE
    most = images - max(FEWEST, images // 2)
    share, one, two = round(images * recipe.calibration.fraction), minimum_n(target), minimum_n(target, 2)
    note = ""
    if two <= most:
        count = min(most, max(share, two))
    elif wish is None:
        count, target = most, smallest_alpha(most, 2)
        note = f"; {DEFAULT_RATE:g} would need {2 * two - 1} good images"
    elif one <= most:
        count = min(most, max(share, one))
        note = (
            f"; the threshold hangs on one image, the farthest of these {count}: if that one is not good, "
            f"defects pass; {2 * two - 1} good images would let it hang on two"
        )
    else:
        smallest = smallest_alpha(most)
        raise OnlygoodError(
            f"a false-alarm rate of {target:g} needs {one} good images held out for "
            f"calibration; of {images}, at most {most} can be spared, which allow {smallest:.3g}: "
            f"add good images or ask for --max-false-alarms {smallest + 0.001:.3f}"
        )
    words = (
        f"{images - count} images to learn from, {count} held out to calibrate at {target:.3g} false alarms"
        f"{note}"
    )
    return Split(images - count, count, target, words)
