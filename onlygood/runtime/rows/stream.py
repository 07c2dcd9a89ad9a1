"""Many images through one model: threads decode ahead, inference keeps the order, memory stays constant."""

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from time import perf_counter

from onlygood.runtime.ahead import map_ahead
from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.reader import LoadedImage, ReadOptions, load_image
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.rows.verdicts import Row, Stamp, Status


@dataclass(frozen=True)
class Decoded:
    """One file after reading: an image, or the reason why there is none."""

    path: Path
    stamp: Stamp
    image: LoadedImage | ImageError
    ms: float


def score_images(
    detector: Detector,
    paths: Iterable[Path],
    threshold: float,
    *,
    spec: InputSpec,
    options: ReadOptions,
    workers: int,
    any_frame: bool = False,
) -> Generator[Row, None, None]:
    """Yield one row for each image, in the order of ``paths``, which is read only a few images ahead.

    Decoding takes as long as inference or longer, so threads decode ahead. Closing the generator waits only
    for the images that are being decoded at that moment.

    Args:
        detector: the model.
        paths: image files; may be endless.
        threshold: scores above it are anomalous.
        spec: how images are read, the model's own or with another bit depth.
        options: limits of the reader.
        workers: threads that decode.
        any_frame: give a verdict also on frames that would be unusable.
    """
    decode = partial(_decode, spec=spec, options=options)
    with closing(map_ahead(decode, paths, workers=workers)) as images:
        for decoded in images:
            yield _judge(detector, decoded, threshold, any_frame)


def _decode(path: Path, spec: InputSpec, options: ReadOptions) -> Decoded:
    start = perf_counter()
    stamp = Stamp.of(path)
    image: LoadedImage | ImageError
    try:
        image = load_image(path, spec, options)
    except ImageError as error:
        image = error
    return Decoded(path, stamp, image, 1000 * (perf_counter() - start))


def _judge(detector: Detector, decoded: Decoded, threshold: float, any_frame: bool) -> Row:
    image = decoded.image
    if isinstance(image, ImageError):
        error = str(image)
        return Row(decoded.path, Status.ERROR, threshold, ms=decoded.ms, error=error, stamp=decoded.stamp)
    start = perf_counter()
    score = float(detector.infer(image.pixels[None])[0][0])
    ms = decoded.ms + 1000 * (perf_counter() - start)
    finite = isfinite(score)
    objection = detector.objection(image.pixels)
    if not finite:
        status, error = Status.ERROR, f"the model gave the score {score}, which is no verdict"
    elif objection and not any_frame:
        status, error = Status.UNUSABLE, objection
    else:
        status, error = Status.ANOMALOUS if score > threshold else Status.NORMAL, ""
    return Row(
        path=decoded.path,
        status=status,
        threshold=threshold,
        score=score if finite else None,
        p_value=detector.p_value(score) if finite else None,
        width=image.width,
        height=image.height,
        ms=ms,
        error=error,
        notes=(*image.notes, f"frame: {objection}") if objection and any_frame else image.notes,
        stamp=decoded.stamp,
    )
