"""Every image of a report through the model: rows, heatmaps, copies, and what the model has seen before."""

import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from time import perf_counter
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from onlygood.anomaly.data.samples import Sample
from onlygood.deploy.report.subjects import Subjects
from onlygood.pretrain.data.store import HASH_DIGITS, pixel_hash
from onlygood.runtime.images.reader import ReadOptions
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.recalibrate import kept_digests
from onlygood.runtime.rows.stream import Look, score_images
from onlygood.runtime.rows.verdicts import Row

OnProgress = Callable[[int, int], None]  # images done, images in all


@dataclass(frozen=True)
class Looked:
    """One image after the model has looked at it."""

    row: Row
    sample: Sample | None  # None: nobody says whether it is good
    copies: int | None  # number of the group of images with equal pixels, if it is in one
    seen: bool  # the model was fitted or calibrated on these pixels

    @property
    def counted(self) -> bool:
        """Whether it counts as a new image that was scored."""
        return self.row.score is not None and not self.seen


@dataclass(frozen=True)
class Collection:
    """All images; ``heatmaps`` ``(N, h, w)`` is mapped from a temporary file that is deleted with it."""

    images: list[Looked]
    heatmaps: NDArray[np.float32]  # zeros where there is no score
    seconds: float
    knows_seen: bool  # whether the model file lists what it was made from


def collect(
    detector: Detector,
    subjects: Subjects,
    threshold: float,
    *,
    reader: ReadOptions,
    workers: int,
    progress: OnProgress | None = None,
) -> Collection:
    """Score the images with the code of `score`; compare their pixels with each other and with those known.

    Equal are images whose pixels are, as the model sees them: copies that were saved anew, too.
    """
    known = detector.metadata.provenance.get("pixel_hashes")
    listed = kept_digests(detector.metadata).union(known if isinstance(known, list) else ())
    blank = np.zeros(detector.metadata.heatmap, np.float32)
    rows: list[Row] = []
    digests: list[str] = []
    start = perf_counter()
    with tempfile.TemporaryFile() as file:
        scored = score_images(
            detector,
            subjects.samples,
            threshold,
            spec=detector.metadata.input,
            options=reader,
            workers=workers,
            also=[_kept],
        )
        with closing(scored):
            for row in scored:
                rows.append(replace(row, extras={}))
                digests.append(row.extras.get("digest", ""))
                heatmap = np.nan_to_num(row.extras.get("heatmap", blank))
                file.write(np.ascontiguousarray(heatmap, np.float32).tobytes())
                if progress is not None:
                    progress(len(rows), len(subjects.samples))
        seconds = perf_counter() - start
        heatmaps = _mapped(file, (len(rows), *detector.metadata.heatmap))
    images = [
        Looked(row, sample, copies, digest[:HASH_DIGITS] in listed)
        for row, sample, copies, digest in zip(
            rows, subjects.samples.values(), _copies(digests), digests, strict=True
        )
    ]
    return Collection(images, heatmaps, seconds, known is not None)


def _kept(look: Look) -> Mapping[str, Any]:
    """What the report needs of an image beside its row."""
    return {
        "heatmap": look.placed.heatmap,
        "digest": "" if look.pixels is None else pixel_hash(look.pixels),
    }


def _copies(digests: list[str]) -> list[int | None]:
    """For each image the number of its group of equal ones, from 0 on; None where no other equals it."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, digest in enumerate(digests):
        if digest:
            groups[digest].append(index)
    found: list[int | None] = [None] * len(digests)
    several = (group for group in groups.values() if len(group) > 1)
    for number, group in enumerate(several):
        for index in group:
            found[index] = number
    return found


def _mapped(file: IO[bytes], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    file.flush()
    if os.fstat(file.fileno()).st_size == 0:
        return np.empty(shape, np.float32)
    return np.memmap(file, np.float32, "r", shape=shape)
