"""Export: onnxruntime says what torch says, for every head over every kind of region, in a clean file."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from onlygood.anomaly.detector import Detector
from onlygood.anomaly.heads.registry import HEADS, HeadConfig, create_head
from onlygood.anomaly.recipe import RegionsConfig
from onlygood.anomaly.regions import create_regions
from onlygood.deploy.export import IR_VERSION, OPSET, TOLERANCE, compare, odd_frames, session, to_onnx
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.base import Task
from onlygood.pretrain.tasks.registry import create_task
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model.frames import measure, ranges
from onlygood.runtime.model.onnxscan import ALLOWED_OPS

SPEC = InputSpec(height=48, width=64, channels=1)
EVERY = [*([name] for name in HEADS), ["logprob", "gaussian"]]


def pictures(count: int, seed: int) -> np.ndarray:
    """Smooth random textures ``(count, 48, 64, 1)``."""
    coarse = torch.rand(count, 1, 12, 16, generator=torch.Generator().manual_seed(seed))
    fine = torch.nn.functional.interpolate(coarse, (48, 64), mode="bicubic")
    return (fine.clamp(0, 1) * 255).byte().permute(0, 2, 3, 1).numpy()


def warmed_task(name: str) -> Task:
    """A task whose norms have seen images, so that features spread as after training."""
    task = create_task(name, create_encoder("small", 1), {}, "image", images=16, seed=0)
    rng = torch.Generator().manual_seed(0)
    images = torch.from_numpy(pictures(16, 1)).permute(0, 3, 1, 2)
    options = {"views": {"crop": 32}}
    task.config = type(task.config).parse(options, "test")
    for _ in range(5):
        task.loss(images, torch.arange(16), rng)
    return task.eval()


def fitted(task: Task, names: list[str], kind: str) -> Detector:
    config = RegionsConfig.parse({"kind": kind, "size": 32, "stride": 16}, "test")
    regions = create_regions(config, SPEC.height, SPEC.width, task.encoder)
    options = {"knn": {"size": 20}} if "knn" in names else {}
    head = create_head(HeadConfig(names=names, options=options), task.encoder.dim)
    detector = Detector(task, regions, head, top=2).eval()
    images = torch.from_numpy(pictures(24, 2)).permute(0, 3, 1, 2)
    head.fit(detector.collect(iter(images.split(8))))
    return detector


@pytest.fixture(scope="module")
def defects() -> Task:
    return warmed_task("defects")


@pytest.mark.parametrize("kind", ["whole", "tiles", "cells"])
@pytest.mark.parametrize("names", EVERY, ids="+".join)
def test_onnxruntime_says_what_torch_says(defects: Task, names: list[str], kind: str) -> None:
    detector = fitted(defects, names, kind)
    program = to_onnx(detector, SPEC)
    infer = session(program.SerializeToString())
    assert compare(detector, infer, pictures(7, 3)) <= TOLERANCE
    scores, heatmaps = infer(pictures(5, 4))
    assert np.unique(scores).size == 5  # parity of constants would prove nothing
    assert heatmaps.shape == (5, *((1, 1) if kind == "whole" else (3, 4)))
    assert {node.op_type for node in program.graph.node} <= ALLOWED_OPS


@pytest.mark.parametrize("kind", ["tiles", "cells"])
def test_rotations_at_test_time(kind: str) -> None:
    detector = fitted(warmed_task("rotation"), ["logprob"], kind)
    assert detector.turns == 4
    infer = session(to_onnx(detector, SPEC).SerializeToString())
    assert compare(detector, infer, pictures(4, 3)) <= TOLERANCE


def test_the_file_is_plain_and_tells_nothing_of_its_maker(defects: Task) -> None:
    program = to_onnx(fitted(defects, ["gaussian"], "cells"), SPEC)
    onnx.checker.check_model(program)
    assert program.ir_version == IR_VERSION
    assert [(entry.domain, entry.version) for entry in program.opset_import] == [("", OPSET)]
    data = program.SerializeToString()
    assert b"site-packages" not in data
    assert b".py" not in data
    assert b"stack_trace" not in data


def test_another_detector_is_noticed(defects: Task) -> None:
    detector = fitted(defects, ["gaussian"], "cells")
    infer = session(to_onnx(detector, SPEC).SerializeToString())
    detector.head.mean += 0.5 * detector.head.mean.abs().mean()
    assert compare(detector, infer, pictures(4, 3)) > TOLERANCE


def test_good_images_that_the_model_calls_unusable_are_named() -> None:
    usual, blank = pictures(4, 0), np.zeros((1, SPEC.height, SPEC.width, 1), np.uint8)
    images = np.concatenate([usual, blank])
    store = SimpleNamespace(batch=lambda ids: images[ids], paths=[Path(f"{i}.png") for i in range(5)])
    parts = SimpleNamespace(train=np.array([0, 2, 4]), calibration=np.array([1, 3]))
    good = ranges([measure(image) for image in usual])
    fitted: Any = SimpleNamespace(store=store, parts=parts)
    ((path, reason),) = odd_frames(fitted, good)
    assert (path, reason.partition(":")[0]) == (Path("4.png"), "nearly constant")
    assert odd_frames(fitted, None) == []
