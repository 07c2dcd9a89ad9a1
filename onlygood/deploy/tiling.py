"""`--tile` and `--overlap`: how large images are cut, and the limits of their tiles."""

from collections.abc import Callable
from functools import lru_cache

from onlygood.deploy.options.rows import ScoreOptions
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.area import Area
from onlygood.runtime.limits import LARGEST_IMAGE
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.rows.tiles import Limits, Tiling, check_tileable, limits_of


def chosen_tiling(detector: Detector, options: ScoreOptions) -> Tiling | None:
    """How images are cut; None if they are not.

    Raises:
        OnlygoodError: no such tile, or the model or another option does not go with tiles.
    """
    if options.tile is None:
        return None
    whole = options.tile.isascii() and options.tile.isdecimal()
    if options.tile != "model" and not (whole and 8 <= int(options.tile[:12]) <= LARGEST_IMAGE):
        raise OnlygoodError(
            f"--tile {options.tile}: give the width of a tile in pixels, 8 at least, or model"
        )
    if options.overlap < 0:
        raise OnlygoodError("--overlap is a share, from 0 to 0.9")
    check_tileable(detector)
    width = None if options.tile == "model" else int(options.tile)
    return Tiling.of(width, options.overlap, detector.metadata.input)


def in_words(tiling: Tiling, area: Area | None, detector: Detector, options: ScoreOptions) -> str:
    """How images are cut and what limits their tiles, for `Settings`: the same words, the same verdicts."""
    if options.threshold is not None:
        limit = f"threshold {options.threshold!r}"
    else:
        limit = f"false alarms {options.max_false_alarms or detector.metadata.calibration.max_false_alarms!r}"
    part = "" if area is None else f", area {area.digest}"
    return f"{tiling.width} x {tiling.height} px, overlap {tiling.overlap!r}, {limit}{part}"


def chosen_area(options: ScoreOptions) -> Area | None:
    """The part of images that counts, where they are cut; None if all of them does.

    Raises:
        OnlygoodError: they are not cut, or a file says nothing.
    """
    if options.roi is None and options.ignore is None:
        return None
    if options.tile is None:
        raise OnlygoodError(
            "--roi and --ignore of score are for --tile; a model that sees images whole has them from"
            " `onlygood fit`"
        )
    from onlygood.anomaly.data.attention import Attention  # noqa: PLC0415 - nothing without such a file

    return Attention(options.roi, options.ignore).area()


def chosen_limits(detector: Detector, options: ScoreOptions) -> Callable[[int], Limits]:
    """The limits of a number of tiles; each number is looked up once."""
    return lru_cache(lambda tiles: limits_of(detector, tiles, options.max_false_alarms, options.threshold))
