"""Measure a model file on labeled images, with the same runtime as on the device."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlygood.anomaly.data.datasets import discover
from onlygood.anomaly.data.masks import read_mask
from onlygood.anomaly.data.samples import Dataset
from onlygood.anomaly.evaluation import metrics
from onlygood.anomaly.evaluation.scores import OnProgress, Scored, Scores, score_samples
from onlygood.runtime.errors import ImageError, OnlygoodError
from onlygood.runtime.images.files import display, mark_output
from onlygood.runtime.images.heat import on_image
from onlygood.runtime.images.reader import DEFAULTS, ReadOptions
from onlygood.runtime.images.resize import paste_box
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model.calibration import part_maxima
from onlygood.runtime.model.calibration import threshold as calibrated
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.metadata import Calibration
from onlygood.runtime.model.modelfile import ModelFile, load_model

SCHEMA = 1
RATES = (0.01, 0.05)  # of false alarms, at which detections are given beside those at the model's own
ASPECT_TOLERANCE = 0.02  # relative; a mask may differ from its image in size, but not in shape


def evaluate(
    model: ModelFile | Path | str,
    dataset_path: Path | str,
    *,
    output: Path | None = None,
    threads: int = 1,
    seed: int = 0,
    progress: OnProgress | None = None,
    reader: ReadOptions = DEFAULTS,
) -> dict[str, Any]:
    """Score the test images of a data set and measure; the result can be written as JSON.

    Images with equal file or pixels to one that the model was fitted or calibrated on are left out, if the
    model file lists hashes; ``excluded_seen`` counts them, or is None without hashes. Unreadable images are
    listed and left out. With good images alone the rate of false alarms is measured, and with anomalous ones
    alone the rate of detections; metrics that need both are then None. Pixel metrics are None without masks.
    ``output`` is a folder for pictures, ``scores.csv`` and ``metrics.json``.

    Raises:
        OnlygoodError: the data set or the model cannot be read, or no image is left to test on.
    """
    dataset = discover(dataset_path, "test")
    file = model if isinstance(model, ModelFile) else load_model(model)
    detector = Detector(file, threads=threads)
    if output is not None:
        mark_output(output, "report of an evaluation")
    told = "image_hashes" in detector.metadata.provenance
    scores = score_samples(detector, dataset.samples, detector.metadata.seen(), progress, reader)
    _check_any(dataset, scores)
    result = _measure(detector, dataset, scores, seed)
    result["excluded_seen"] = scores.seen if told else None
    if output is not None:
        from onlygood.anomaly.evaluation import plots  # noqa: PLC0415 - matplotlib only where pictures are wanted

        plots.write_report(output, result, scores, detector.metadata.input)
    return result


def _check_any(dataset: Dataset, scores: Scores) -> None:
    """Check that there is an image to test on.

    Raises:
        OnlygoodError: there is none; the message says why.
    """
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
    """The measurements as JSON values; None if the images that one needs are missing."""
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
        "false_alarms_by_part": _by_part(detector.metadata.calibration, scores, threshold),
        "detected": _achieved(bad, threshold),
        "at_rates": {f"{rate:g}": _at_rate(detector, rate, good, bad) for rate in RATES},
        **pixels,
        "unreadable": [
            {"path": display(sample.path), "reason": reason} for sample, reason in scores.unreadable
        ],
        "notes": scores.notes,
        "images_per_second": len(scores.scored) / scores.seconds,
    }


def _at_rate(
    detector: Detector, rate: float, good: NDArray[np.float64], bad: NDArray[np.float64]
) -> dict[str, Any] | None:
    """What is flagged where ``rate`` is promised; None if the calibration images are too few for that."""
    try:
        threshold = detector.threshold(rate)
    except OnlygoodError:
        return None
    return {
        "threshold": threshold,
        "false_alarms": _achieved(good, threshold),
        "detected": _achieved(bad, threshold),
    }


def _achieved(scores: NDArray[np.float64], threshold: float) -> dict[str, float | None]:
    """The share of images called anomalous, with its interval; None without images."""
    if len(scores) == 0:
        return {"achieved": None, "low": None, "high": None}
    found = metrics.rate(int(np.sum(scores > threshold)), len(scores))
    return {"achieved": found.value, "low": found.low, "high": found.high}


def _by_part(held_out: Calibration, scores: Scores, limit: float) -> dict[str, Any] | None:
    """Good parts called anomalous: where any image is (``achieved``), or by the part's maximum (``ranked``).

    ``ranked`` is what the model's rate is promised for, if it was calibrated on parts. None if the data set
    names no parts. A part with an anomalous image is no good one.
    """
    largest: dict[str, float] = {}
    bad = {image.sample.group for image in scores.scored if image.sample.label}
    for image in scores.scored:
        name = image.sample.group
        if name and name not in bad:
            largest[name] = max(image.score, largest.get(name, image.score))
    if not largest:
        return None
    maxima = np.array(list(largest.values()))
    found: dict[str, Any] = {"n": len(maxima), **_achieved(maxima, limit), "ranked": None}
    if held_out.groups is not None:
        known = part_maxima(np.asarray(held_out.scores), held_out.groups)
        promised = {"promised": held_out.max_false_alarms}
        found["ranked"] = promised | _achieved(maxima, calibrated(known, held_out.max_false_alarms))
    return found


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
            curves.add(on_image(heatmap, width, height, box), mask)
    found = curves.metrics(seed=seed) if used else None
    return {
        "pixel_auroc": found and found.auroc._asdict(),
        "pixel_ap": found and found.average_precision._asdict(),
        "aupro": found and found.aupro._asdict() | {"limit": metrics.FPR_LIMIT},
        "aupro_05": found and found.aupro_05._asdict() | {"limit": metrics.FPR_LIMIT_SHARP},
        "pixel_binning_error": found and found.binning_error,
        "pixel_ap_binning_error": found and found.ap_binning_error,
        "unusable_masks": unusable,
        "questioned_masks": questioned,
    }


def _mask(image: Scored) -> tuple[NDArray[np.bool_], str]:
    """The image's mask ``(H, W)``, all False for a good image, and what is suspicious about it.

    Raises:
        ImageError: the mask is empty, is a photograph, or has another shape than the image.
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
