"""Many images through one model: threads read and infer, rows keep the order, memory stays constant."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Transpose

from onlygood.runtime.ahead import map_ahead
from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.formats import HEAD, refuse_raw
from onlygood.runtime.images.places import Placed
from onlygood.runtime.images.reader import LoadedImage, ReadOptions, load_image
from onlygood.runtime.images.remote import Place
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.rows.verdicts import Row, Stamp, Status


@dataclass(frozen=True)
class Look:
    """An image with a score, as the model saw it."""

    path: Place
    width: int  # of the upright image
    height: int
    turn: Transpose | None  # what turned the file's pixels upright
    preview: NDArray[np.uint8] | None  # (h, w, 3)
    placed: Placed
    status: Status
    limit: float | None = None  # of regions, where it is the image's own
    pixels: NDArray[np.uint8] | None = None  # (H, W, C) as the model took them; None if it took tiles
    inside: NDArray[np.bool_] | None = None  # what counts of the canvas, where it is the image's own


Also = Callable[[Look], Mapping[str, Any]]  # what more its row says, in JSON


def score_images(
    detector: Detector,
    paths: Iterable[Place],
    threshold: float,
    *,
    spec: InputSpec,
    options: ReadOptions,
    workers: int,
    any_frame: bool = False,
    also: Sequence[Also] = (),
    preview: int = 0,
) -> Generator[Row, None, None]:
    """Yield one row for each image, in the order of ``paths``, which is read only a few images ahead.

    Each of the ``workers`` takes an image from its file to its verdict, with one inference of its own: that
    keeps all CPUs busy whichever of the two is slower, and no thread waits for another
    (docs/benchmarks.md). Closing the generator
    waits only for the images that are under way at that moment.

    Args:
        detector: the model.
        paths: image files; may be endless.
        threshold: scores above it are anomalous.
        spec: how images are read, the model's own or with another bit depth.
        options: limits of the reader.
        workers: how many images are read and scored at once.
        any_frame: give a verdict also on frames that would be unusable.
        also: functions that see each image with a score, in the workers, and say more about it.
        preview: the longest side of the preview that these get, or 0.
    """
    work = partial(
        row_of,
        detector=detector,
        threshold=threshold,
        spec=spec,
        options=options,
        any_frame=any_frame,
        also=also,
        preview=preview,
    )
    with closing(map_ahead(work, paths, workers=workers)) as rows:
        yield from rows


def row_of(
    path: Place,
    content: bytes | None = None,
    *,
    detector: Detector,
    threshold: float,
    spec: InputSpec,
    options: ReadOptions,
    any_frame: bool = False,
    also: Sequence[Also] = (),
    preview: int = 0,
) -> Row:
    """The row of one image: the file at ``path``, or ``content``, which is only called so.

    The arguments are those of `score_images`. An image that cannot be read is a row with the reason.
    """
    start = perf_counter()
    stamp = Stamp.of(path) if content is None else Stamp(len(content))
    try:
        if content is not None:
            refuse_raw(Path(path), content[:HEAD])
        image = load_image(path if content is None else content, spec, options, preview=preview)
    except ImageError as error:
        ms = 1000 * (perf_counter() - start)
        return Row(path, Status.ERROR, threshold, ms=ms, error=str(error), stamp=stamp)
    row = judged(path, image, detector=detector, threshold=threshold, any_frame=any_frame, also=also)
    return replace(row, ms=1000 * (perf_counter() - start), stamp=stamp)


def judged(
    path: Place,
    image: LoadedImage,
    *,
    detector: Detector,
    threshold: float,
    any_frame: bool = False,
    also: Sequence[Also] = (),
) -> Row:
    """The row of an image that was read; the arguments are those of `score_images`."""
    scores, heatmaps = detector.infer(image.pixels[None])
    score = float(scores[0])
    objection = detector.objection(image.pixels)
    status, reason = _verdict(score, threshold, "" if any_frame else objection)
    finite = isfinite(score)
    looks = also if finite else ()
    placed = Placed.on_canvas(heatmaps[0], detector.metadata.input, image.width, image.height)
    seen = Look(
        path, image.width, image.height, image.turn, image.preview, placed, status, pixels=image.pixels
    )
    extras = [look(seen) for look in looks]
    return Row(
        path=path,
        status=status,
        threshold=threshold,
        score=score if finite else None,
        p_value=detector.p_value(score) if finite else None,
        width=image.width,
        height=image.height,
        error=reason,
        notes=(*image.notes, f"frame: {objection}") if objection and any_frame else image.notes,
        extras={key: value for extra in extras for key, value in extra.items()},
    )


def _verdict(score: float, threshold: float, objection: str) -> tuple[Status, str]:
    """The outcome, and why there is no verdict where there is none."""
    if not isfinite(score):
        return Status.ERROR, f"the model gave the score {score}, which is no verdict"
    if objection:
        return Status.UNUSABLE, objection
    return Status.ANOMALOUS if score > threshold else Status.NORMAL, ""
