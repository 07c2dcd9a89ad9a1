"""What `fit` chooses from the images before the training, with the text that reports each choice."""

from dataclasses import dataclass

from onlygood.anomaly.recipe import Recipe
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.model.calibration import minimum_n, smallest_alpha

DEFAULT_RATE = 0.01
_LOOSER = 0.05  # a rate for which far fewer must be held out
FEWEST = 10  # good images to train on
_FEWEST_PARTS = 2  # of which they are: one judges the other


@dataclass(frozen=True)
class Split:
    """How many good images, or parts, go where, and the false-alarm rate that the calibration part allows."""

    train: int
    calibration: int
    rate: float
    words: str


def plan_split(recipe: Recipe, images: int, rate: float | None, parts: int | None = None) -> Split:
    """Hold out enough good images for the rate, and for a threshold that does not depend on a single image.

    ``rate`` is what the user asked for. With k = floor(rate · (n + 1)) the threshold is the k-th largest of n
    calibration scores. With k = 1, one bad image among the good ones decides alone. So n is chosen for
    k = 2, if at most half of the images are enough for that. If not, a rate that the user or the recipe asks
    for is kept with a warning, and otherwise the rate becomes the smallest one with k = 2.

    Where the images show so many ``parts`` that are named, all of this is counted in parts.

    Raises:
        OnlygoodError: there are too few images, at all or for the rate; the message gives the smallest rate.
    """
    if images < 2 * FEWEST:
        raise OnlygoodError(f"{images} different good images are too few: {2 * FEWEST} are the least")
    units, least, unit = (images, FEWEST, "image") if parts is None else (parts, _FEWEST_PARTS, "part")
    if units < 2 * least:
        raise OnlygoodError(f"{images} good images of {units} parts: {2 * least} parts are the least")
    wish = rate if rate is not None else recipe.calibration.max_false_alarms
    target = wish if wish is not None else DEFAULT_RATE
    most = units - max(least, units // 2)
    share, one, two = round(units * recipe.calibration.fraction), minimum_n(target), minimum_n(target, 2)
    note = ""
    if two <= most:
        count = min(most, max(share, two))
    elif wish is None:
        count, target = most, smallest_alpha(most, 2)
        note = f"; {DEFAULT_RATE:g} would need {2 * two - 1} good {unit}s"
        if (fewer := max(share, minimum_n(_LOOSER, 2))) < count:
            note += f", and --max-false-alarms {_LOOSER:g} would learn from {units - fewer}"
    elif one <= most:
        count = min(most, max(share, one))
        note = (
            f"; the threshold hangs on one {unit}, the farthest of these {count}: if that one is not good, "
            f"defects pass; {2 * two - 1} good {unit}s would let it hang on two"
        )
    else:
        smallest = smallest_alpha(most)
        raise OnlygoodError(
            f"a false-alarm rate of {target:g} needs {one} good {unit}s held out for "
            f"calibration; of {units}, at most {most} can be spared, which allow {smallest:.3g}: "
            f"add good {unit}s or ask for --max-false-alarms {smallest + 0.001:.3f}"
            + ("" if parts is None else "; more images of the same parts do not help")
        )
    words = (
        f"{units - count} {unit}s to learn from, {count} held out to calibrate at {target:.3g} false alarms"
        f"{note}"
    )
    if parts is not None:
        words += (
            f"; {images} images of {parts} parts: the promise is for new parts, and {count} parts allow "
            f"{smallest_alpha(count):.3g} at the least, however many images they have"
        )
    return Split(units - count, count, target, words)
