"""Score test images with the same runtime as on the device."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from time import perf_counter
from typing import IO

import numpy as np
from numpy.typing import NDArray

from onlygood.anomaly.data.samples import Sample
from onlygood.pretrain.data.store import HASH_DIGITS, pixel_hash
from onlygood.runtime.ahead import map_ahead
from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.notes import NoteCounts
from onlygood.runtime.images.reader import DEFAULTS, LoadedImage, ReadOptions, load_image, read_bytes
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model.detector import Detector

OnProgress = Callable[[int, int], None]  # images done, images in all


@dataclass(frozen=True)
class Scored:
    """One test image and its score."""

    sample: Sample
    score: float
    p_value: float
    width: int  # of the file, pixels
    height: int


@dataclass(frozen=True)
class Scores:
    """All test images; ``heatmaps`` ``(N, h, w)`` is mapped from a temporary file that is deleted with it."""

    scored: list[Scored]
    heatmaps: NDArray[np.float32]
    unreadable: list[tuple[Sample, str]]
    seen: int  # number of images left out because the model was fitted on them
    seconds: float
    notes: list[str] = field(default_factory=list)  # of the reader, each kind with its count

    def of(self, label: int) -> NDArray[np.float64]:
        """Scores of the images with this label."""
        return np.array([image.score for image in self.scored if image.sample.label == label])


def score_samples(
    detector: Detector,
    samples: Sequence[Sample],
    seen: frozenset[str] = frozenset(),
    progress: OnProgress | None = None,
    reader: ReadOptions = DEFAULTS,
) -> Scores:
    """Score each sample, except those whose file or pixels have a hash that begins with one of ``seen``."""
    scored: list[Scored] = []
    notes = NoteCounts()
    unreadable: list[tuple[Sample, str]] = []
    left_out = 0
    start = perf_counter()
    with tempfile.TemporaryFile() as file:
        for done, (sample, image) in enumerate(_read(samples, detector.metadata.input, seen, reader), 1):
            if image is None:
                left_out += 1
            elif isinstance(image, ImageError):
                unreadable.append((sample, str(image)))
            else:
                for note in image.notes:
                    notes.add(note)
                score, heatmap = (output[0] for output in detector.infer(image.pixels[None]))
                if np.isfinite(score) and np.isfinite(heatmap).all():
                    value = float(score)
                    scored.append(Scored(sample, value, detector.p_value(value), image.width, image.height))
                    file.write(np.ascontiguousarray(heatmap, np.float32).tobytes())
                else:
                    unreadable.append((sample, "the model gave a score or heatmap that is no number"))
            if progress is not None:
                progress(done, len(samples))
        seconds = perf_counter() - start
        heatmaps = _mapped(file, (len(scored), *detector.metadata.heatmap))
    return Scores(scored, heatmaps, unreadable, left_out, seconds, notes.lines())


def _read(
    samples: Sequence[Sample], spec: InputSpec, seen: frozenset[str], reader: ReadOptions, workers: int = 2
) -> Iterator[tuple[Sample, LoadedImage | ImageError | None]]:
    """Images in the order of the samples, read a few ahead by threads; None for a seen image."""

    def read(sample: Sample) -> LoadedImage | ImageError | None:
        try:
            data = read_bytes(sample.path, reader)
            if hashlib.sha256(data).hexdigest()[:HASH_DIGITS] in seen:
                return None
            image = load_image(data, spec, reader)
            return None if pixel_hash(image.pixels)[:HASH_DIGITS] in seen else image
        except ImageError as error:
            return error

    with closing(map_ahead(read, samples, workers=workers)) as images:
        yield from zip(samples, images, strict=True)


def _mapped(file: IO[bytes], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """The heatmaps written to ``file`` as an array that the system may keep on disk."""
    file.flush()
    if os.fstat(file.fileno()).st_size == 0:
        return np.empty(shape, np.float32)
    return np.memmap(file, np.float32, "r", shape=shape)
