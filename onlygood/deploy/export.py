"""A fitted detector to one sealed ONNX file, refused where onnxruntime and torch disagree."""

import logging
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from onlygood import __version__
from onlygood.anomaly.data.names import product
from onlygood.anomaly.detector import Detector
from onlygood.anomaly.fit import Fitted
from onlygood.anomaly.gather import spread
from onlygood.anomaly.suspects import Judged, find_suspects
from onlygood.deploy.clock import source_date, without_times
from onlygood.pretrain.data.store import HASH_DIGITS, ImageStore
from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.area import runs_of
from onlygood.runtime.images.files import display
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model.appearance import appearance, collected
from onlygood.runtime.model.calibration import corrected_rate, part_weights
from onlygood.runtime.model.frames import Frame, measure, objection, ranges
from onlygood.runtime.model.metadata import Calibration, Frames, Metadata, Parity, SelfTest
from onlygood.runtime.model.modelfile import seal
from onlygood.runtime.model.onnxscan import METADATA_KEY
from onlygood.runtime.model.outliers import distances
from onlygood.runtime.model.selftest import generated_images
from onlygood.runtime.model.session import open_session

OPSET = 18  # the floor of torch's exporter; onnxruntime's CUDA provider lacks some newer kernels
IR_VERSION = 10  # read by onnxruntime from 1.18 on
TOLERANCE = 1e-4  # of the largest score, between torch and onnxruntime on one machine
DEVICE_TOLERANCE = 1e-2  # relative, of the self-test: other processors round differently
PARITY_IMAGES = 16
FRAMES = 2000  # training images, at most, that the ranges of frames are measured on
_SMALLEST = 1e-6  # where all scores are smaller, differences are relative to this

Infer = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], NDArray[np.float32]]]


class Exported(NamedTuple):
    """What the written file says of itself, and the scores of the images that were held out."""

    metadata: Metadata
    held_out: Judged


def export(fitted: Fitted, path: Path) -> Exported:
    """Export, compare, calibrate, describe, seal and write ``path``.

    The calibration scores are those of the exported graph under onnxruntime, which are a device's numbers.

    Raises:
        OnlygoodError: scores of torch and onnxruntime differ beyond TOLERANCE on real calibration images.
    """
    store, spec = fitted.store, fitted.store.spec
    program = to_onnx(fitted.detector, spec)
    infer = session(program.SerializeToString())
    held_out = fitted.parts.calibration
    found = [infer(store.batch(held_out[i : i + 1])) for i in range(len(held_out))]
    scores = np.concatenate([score for score, _ in found])
    peaks = np.array([heatmap.max() for _, heatmap in found])
    some = spread(held_out, PARITY_IMAGES)
    parity = compare(fitted.detector, infer, store.batch(some))
    if not parity <= TOLERANCE:
        raise OnlygoodError(
            f"not exported: onnxruntime's scores differ from torch's by up to {parity:.2g} of the largest on "
            f"{len(some)} calibration images, and {TOLERANCE:g} is allowed"
        )
    tests = infer(generated_images(spec))
    calibration = Judged(held_out, scores.astype(np.float64))
    groups, rate = fitted.parts.groups(), fitted.parts.rate
    if fitted.dropped:
        kept, order = int(np.sum(distances(calibration.scores) <= 1)), np.argsort(scores, kind="stable")
        weights = None if groups is None else part_weights([groups[i] for i in order])
        rate = corrected_rate(calibration.scores[order], rate, kept, weights)
    metadata = Metadata(
        name=fitted.recipe.name,
        recipe=fitted.recipe.model_dump(mode="json"),
        input=spec,
        area=None if store.inside is None else runs_of(store.inside),
        heatmap=(tests[1].shape[1], tests[1].shape[2]),
        calibration=_ascending(calibration.scores, groups, rate),
        peaks=_ascending(peaks.astype(np.float64), groups, rate),
        suspects=find_suspects(fitted.judged, calibration, store.paths, fitted.root, dropped=fitted.dropped),
        frames=ranges([frame for _, frame in _measured(store, spread(fitted.parts.train, FRAMES))]),
        appearance=collected([appearance(store.batch(held_out[i : i + 1])[0]) for i in range(len(held_out))]),
        self_test=SelfTest(scores=[float(score) for score in tests[0]], tolerance=DEVICE_TOLERANCE),
        parity=Parity(max_relative=parity, images=len(some)),
        provenance=_provenance(fitted),
    )
    entry = program.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, metadata.model_dump_json()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, seal(program.SerializeToString(deterministic=True)))
    return Exported(metadata, calibration)


def _ascending(values: NDArray[np.float64], groups: list[int] | None, rate: float) -> Calibration:
    """Values ``(n,)`` of held-out images, and the parts that they show, as the file has them."""
    order = np.argsort(values, kind="stable")
    parts = None if groups is None else [groups[i] for i in order]
    return Calibration(scores=values[order].tolist(), groups=parts, max_false_alarms=rate)


def odd_frames(fitted: Fitted, good: Frames | None) -> list[tuple[Path, str]]:
    """Images that were given as good and that the model will call unusable, each with the reason."""
    store, ids = fitted.store, np.concatenate([fitted.parts.train, fitted.parts.calibration])
    reasons = ((i, objection(frame, good)) for i, frame in _measured(store, spread(ids, FRAMES)))
    return [(store.paths[i], reason) for i, reason in reasons if reason]


def _measured(store: ImageStore, ids: NDArray[np.int64]) -> Iterator[tuple[int, Frame]]:
    """What the images ``ids (n,)`` are like as pictures."""
    return ((int(i), measure(store.batch(ids[at : at + 1])[0])) for at, i in enumerate(ids))


def to_onnx(detector: Detector, spec: InputSpec) -> onnx.ModelProto:
    """The graph alone: opset 18, IR 10, batch dynamic, nothing in it of the machine that made it."""
    example = torch.from_numpy(generated_images(spec, 2))
    # The exporter warns and logs about itself; parity is what tells whether it worked.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger = logging.getLogger("torch.onnx")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            exported = torch.onnx.export(
                detector.eval(),
                (example,),
                input_names=["images"],
                output_names=["score", "heatmap"],
                opset_version=OPSET,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                dynamo=True,
                verbose=False,
            )
        finally:
            logger.setLevel(level)
    if exported is None:
        raise OnlygoodError("torch.onnx.export gave no model")
    program: onnx.ModelProto = exported.model_proto
    program.ir_version = IR_VERSION
    opsets = {entry.domain: entry.version for entry in program.opset_import}
    if opsets.get("") != OPSET:
        raise OnlygoodError(f"torch exported opset {opsets.get('')} where {OPSET} was asked for")
    del program.opset_import[:]
    program.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    strip(program)
    _name_batch(program)
    return program


def strip(program: onnx.ModelProto) -> None:
    """Remove what torch writes of source files, code lines and class names."""
    graph = program.graph
    program.producer_name, program.producer_version = "onlygood", __version__
    for entry in [*graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output, graph]:
        del entry.metadata_props[:]
        entry.doc_string = ""
    del program.metadata_props[:]
    del graph.value_info[:]
    program.doc_string = ""


def _name_batch(program: onnx.ModelProto) -> None:
    """Call the batch dimension ``N`` in every input and output."""
    for value in [*program.graph.input, *program.graph.output]:
        dimension = value.type.tensor_type.shape.dim[0]
        dimension.Clear()
        dimension.dim_param = "N"


def session(data: bytes) -> Infer:
    """The model's function under onnxruntime."""
    opened = open_session(data)

    def infer(images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        scores, heatmaps = opened.run(["score", "heatmap"], {"images": images})
        return scores, heatmaps

    return infer


def compare(detector: Detector, infer: Infer, images: NDArray[np.uint8]) -> float:
    """Largest difference of scores and of heatmaps, each relative to its largest magnitude."""
    differences, scales = [0.0, 0.0], [_SMALLEST, _SMALLEST]
    for size in (1, 2, 5):
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            with torch.no_grad():
                ours = [output.numpy() for output in detector(torch.from_numpy(batch))]
            for index, (one, other) in enumerate(zip(ours, infer(batch), strict=True)):
                if one.shape != other.shape or not np.isfinite(other).all():
                    return float("inf")
                differences[index] = max(differences[index], float(np.abs(one - other).max()))
                scales[index] = max(scales[index], float(np.abs(one).max()))
    return max(difference / scale for difference, scale in zip(differences, scales, strict=True))


def _provenance(fitted: Fitted) -> dict[str, Any]:
    """Where the detector comes from; without what the clock says where SOURCE_DATE_EPOCH is set."""
    training, store, date = fitted.training, fitted.store, source_date()
    seen = np.concatenate([fitted.parts.train, fitted.parts.calibration])
    summary = {
        "steps": training.steps,
        "seconds": round(training.seconds, 1),
        "cpu_seconds": round(training.cpu_seconds, 1),
        "precision": training.precision,
        "precision_reason": training.precision_reason,
        "device": training.device,
        "threads": training.threads,
        "metrics": training.metrics,
        "warnings": training.warnings,
    }
    if date is not None:
        summary = without_times(summary)
    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() if date is None else date)),
        "onlygood": __version__,
        "python": platform.python_version(),
        "libraries": {
            name: _version(name) for name in ("torch", "onnx", "onnxscript", "onnxruntime", "numpy")
        },
        "seed": fitted.recipe.training.seed,
        "product": display(product(fitted.root)),
        "encoder_weights": fitted.weights,
        "images_fingerprint": store.fingerprint,
        "image_hashes": sorted(store.file_hashes[i][:HASH_DIGITS] for i in seen),
        "pixel_hashes": sorted(store.pixel_hashes[i][:HASH_DIGITS] for i in seen),
        "held_out_hashes": sorted(store.pixel_hashes[i][:HASH_DIGITS] for i in fitted.parts.calibration),
        "images": {
            "train": len(fitted.parts.train),
            "calibration": len(fitted.parts.calibration),
            "bad": len(store.bad),
        },
        "training": summary,
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
