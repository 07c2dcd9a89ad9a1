"""A model file measured on labelled images, through the runtime that will judge them on the device."""

import hashlib
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from onlygood.anomaly import metrics
from onlygood.anomaly.datasets import Dataset, Sample, discover
from onlygood.anomaly.masks import read_mask
from onlygood.deploy.runtime.detector import Detector
from onlygood.deploy.runtime.errors import ImageError, OnlygoodError
from onlygood.deploy.runtime.files import display, mark_output
from onlygood.deploy.runtime.images import DEFAULTS, LoadedImage, ReadOptions, load_image, read_bytes
from onlygood.deploy.runtime.metadata import InputSpec
from onlygood.deploy.runtime.notes import NoteCounts
from onlygood.deploy.runtime.resize import paste_box
from onlygood.pretrain.images import pixel_hash

SCHEMA = 1
HASH_DIGITS = 16  # of the SHA-256 of a training image's file and of its pixels, as the model file lists them
ASPECT_TOLERANCE = 0.02  # a mask may have another size than its image, but not another shape

Progress = Callable[[int, int], None]  # images done, images in all


@dataclass(frozen=True)
class Scored:
    """One test image and what the model says of it."""

    sample: Sample
    score: float
    p_value: float
    width: int  # of the file, pixels
    height: int


@dataclass(frozen=True)
class Scores:
    """All test images; ``heatmaps (N, h, w)`` lie in a temporary file that is gone with the array."""

    scored: list[Scored]
    heatmaps: NDArray[np.float32]
    unreadable: list[tuple[Sample, str]]
    seen: int  # left out because the model was fitted on them
    seconds: float
    notes: list[str] = field(default_factory=list)  # on what the reader did, each kind with its number

    def of(self, label: int) -> NDArray[np.float64]:
        """Scores of the images with this label."""
        return np.array([image.score for image in self.scored if image.sample.label == label])


def evaluate(
    model_path: Path | str,
    dataset_path: Path | str,
    *,
    output: Path | None = None,
    threads: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
    reader: ReadOptions = DEFAULTS,
) -> dict[str, Any]:
    """Score the test images of a data set and measure; the result can be written as JSON.

    Images that the model was fitted or calibrated on, or whose pixels are equal to those of one, are left
    out, if the model file lists their hashes; ``excluded_seen`` counts them, or is None if it does not.
    Unreadable images are named and left out. Of good images alone the rate of false alarms is measured, of
    anomalous ones alone that of detections; what needs both is None then, as pixel metrics are without
    masks. ``output`` is a folder for pictures, ``scores.csv`` and ``metrics.json``.

    Raises:
        OnlygoodError: no data set, no model, or no image left to test on.
    """
    dataset = discover(dataset_path, "test")
    detector = Detector.load(model_path, threads=threads)
    if output is not None:
        mark_output(output, "report of an evaluation")
    provenance = detector.metadata.provenance
    hashes = provenance.get("image_hashes")
    seen = frozenset([*(hashes or ()), *provenance.get("pixel_hashes", ())])
    scores = score_samples(detector, dataset.samples, seen, progress, reader)
    _check_any(dataset, scores)
    result = _measure(detector, dataset, scores, seed)
    result["excluded_seen"] = None if hashes is None else scores.seen
    if output is not None:
        from onlygood.anomaly import plots  # noqa: PLC0415 - matplotlib only where pictures are wanted

        plots.write_report(output, result, scores, detector.metadata.input)
    return result


def score_samples(
    detector: Detector,
    samples: Sequence[Sample],
    seen: frozenset[str] = frozenset(),
    progress: Progress | None = None,
    reader: ReadOptions = DEFAULTS,
) -> Scores:
    """Score each sample unless the hash of its file or of its pixels begins with one of ``seen``."""
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
    """Images in the order of the samples, a few read ahead by threads; None for a seen one."""

    def read(sample: Sample) -> LoadedImage | ImageError | None:
        try:
            data = read_bytes(sample.path, reader)
            if hashlib.sha256(data).hexdigest()[:HASH_DIGITS] in seen:
                return None
            image = load_image(data, spec, reader)
            return None if pixel_hash(image.pixels)[:HASH_DIGITS] in seen else image
        except ImageError as error:
            return error

    with ThreadPoolExecutor(workers) as pool:
        ahead = deque(pool.submit(read, sample) for sample in samples[: 2 * workers])
        for index, sample in enumerate(samples):
            image = ahead.popleft().result()
            if index + 2 * workers < len(samples):
                ahead.append(pool.submit(read, samples[index + 2 * workers]))
            yield sample, image


def _mapped(file: IO[bytes], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """The heatmaps written to ``file`` as an array that the system may keep on disk."""
    file.flush()
    if os.fstat(file.fileno()).st_size == 0:
        return np.empty(shape, np.float32)
    return np.memmap(file, np.float32, "r", shape=shape)


def _check_any(dataset: Dataset, scores: Scores) -> None:
    """Some image must be left, or the message says where they went."""
    if scores.scored:
        return
    why = f"found {len(dataset.samples)} ({dataset.description})"
    if scores.seen:
        why += f"; {scores.seen} images were left out because the model was fitted on them"
    if scores.unreadable:
        why += f"; {len(scores.unreadable)} images could not be read"
    raise OnlygoodError(
        f"{dataset.root}: no images to test on: {why}. Evaluation needs images that the model has not seen"
    )


def _measure(detector: Detector, dataset: Dataset, scores: Scores, seed: int) -> dict[str, Any]:
    """Everything that is said of the scores, as JSON values; None is what needs images that are missing."""
    good, bad = scores.of(0), scores.of(1)
    defects = [image.sample.defect for image in scores.scored if image.sample.label]
    both = len(good) > 0 and len(bad) > 0
    images = metrics.image_metrics(good, bad, seed=seed) if both else None
    by_defect = metrics.per_defect(good, bad, defects, seed=seed) if both else {}
    pixels = _measure_pixels(scores, detector.metadata.input, seed)
    threshold = detector.threshold()
    promised = detector.metadata.calibration.max_false_alarms
    return {
        "schema": SCHEMA,
        "model": detector.metadata.name,
        "model_sha256": detector.file.sha256,
        "dataset": display(dataset.root),
        "dataset_description": dataset.description,
        "seed": seed,
        "n_good": len(good),
        "n_anomalous": len(bad),
        "image_auroc": images and images.auroc._asdict(),
        "image_ap": images and images.average_precision._asdict(),
        "fpr95": images and images.fpr95._asdict(),
        "f1_max": images and images.f1_max._asdict() | {"threshold": images.f1_threshold},
        "per_defect": {
            name: {"auroc": found.value, "low": found.low, "high": found.high, "n": n}
            for name, (found, n) in by_defect.items()
        },
        "threshold": threshold,
        "false_alarms": {"promised": promised} | _achieved(good, threshold),
        "detected": _achieved(bad, threshold),
        **pixels,
        "unreadable": [
            {"path": display(sample.path), "reason": reason} for sample, reason in scores.unreadable
        ],
        "notes": scores.notes,
        "images_per_second": len(scores.scored) / scores.seconds,
    }


def _achieved(scores: NDArray[np.float64], threshold: float) -> dict[str, float | None]:
    """The share of images called anomalous, with its interval; None without images."""
    if len(scores) == 0:
        return {"achieved": None, "low": None, "high": None}
    found = metrics.rate(int(np.sum(scores > threshold)), len(scores))
    return {"achieved": found.value, "low": found.low, "high": found.high}


def _measure_pixels(scores: Scores, spec: InputSpec, seed: int) -> dict[str, Any]:
    """Pixel metrics over the good images and the anomalous ones with a usable mask, at its size."""
    unusable: list[dict[str, str]] = []
    questioned: list[dict[str, str]] = []
    used = 0
    if any(image.sample.mask for image in scores.scored):
        curves = metrics.PixelCurves(metrics.sample_values(scores.heatmaps))
        for image, heatmap in zip(scores.scored, scores.heatmaps, strict=True):
            if image.sample.label and image.sample.mask is None:
                continue
            try:
                mask, question = _mask(image)
            except ImageError as error:
                unusable.append({"path": display(image.sample.path), "reason": str(error)})
                continue
            if question:
                questioned.append({"path": display(image.sample.path), "reason": question})
            used += image.sample.label
            height, width = mask.shape
            across, down = width / image.width, height / image.height
            left, upper, right, lower = paste_box(image.width, image.height, spec)
            box = (left * across, upper * down, right * across, lower * down)
            curves.add(metrics.on_image(heatmap, width, height, box), mask)
    found = curves.metrics(seed=seed) if used else None
    return {
        "pixel_auroc": found and found.auroc._asdict(),
        "aupro": found and found.aupro._asdict(),
        "pixel_binning_error": found and found.binning_error,
        "unusable_masks": unusable,
        "questioned_masks": questioned,
    }


def _mask(image: Scored) -> tuple[NDArray[np.bool_], str]:
    """The image's mask ``(H, W)``, all False for a good image, and what is odd about it.

    ImageError if it shows no defect of this image.
    """
    if image.sample.mask is None:
        return np.zeros((image.height, image.width), bool), ""
    mask = read_mask(image.sample.mask)
    height, width = mask.defect.shape
    if abs(width * image.height / (height * image.width) - 1) > ASPECT_TOLERANCE:
        raise ImageError(f"the mask is {width} x {height} pixels, the image {image.width} x {image.height}")
    if not mask.defect.any():
        raise ImageError("the mask is empty")
    if mask.photo:
        raise ImageError(mask.question)
    return mask.defect, mask.question
