"""Export: onnxruntime says what torch says, for every head over every kind of region, in a clean file."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from tiny import seeded
from torch import Tensor, nn

from onlygood.anomaly.detector import Detector
from onlygood.anomaly.fit import fit_head
from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.registry import HEADS
from onlygood.anomaly.recipe import BranchConfig, PoolConfig, Recipe
from onlygood.deploy.export import IR_VERSION, OPSET, TOLERANCE, compare, odd_frames, session, to_onnx
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.tasks.base import Task
from onlygood.pretrain.tasks.registry import create_task
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model.frames import measure, ranges
from onlygood.runtime.model.onnxscan import ALLOWED_OPS

SPEC = InputSpec(height=48, width=64, channels=1)


def pictures(count: int, seed: int) -> np.ndarray:
    """Smooth random textures ``(count, 48, 64, 1)``."""
    coarse = torch.rand(count, 1, 12, 16, generator=torch.Generator().manual_seed(seed))
    fine = torch.nn.functional.interpolate(coarse, (48, 64), mode="bicubic")
    return (fine.clamp(0, 1) * 255).byte().permute(0, 2, 3, 1).numpy()


def few_layers() -> Encoder:
    """Two stages of stride 4, which are exported fast."""
    stages = [
        nn.Sequential(nn.Conv2d(inputs, outputs, 5, 4, 2), nn.BatchNorm2d(outputs), nn.ReLU())
        for inputs, outputs in ((1, 8), (8, 16))
    ]
    return Encoder("few-layers", 1, [*stages], [8, 16], 16)


@cache
def warmed_task(name: str) -> Task:
    """A task whose norms have seen images, so that features spread as after training."""
    with seeded():
        task = create_task(name, few_layers(), {}, "image", images=16, seed=0)
    rng = torch.Generator().manual_seed(0)
    images = torch.from_numpy(pictures(16, 1)).permute(0, 3, 1, 2)
    options = {"views": {"crop": 32}}
    task.config = type(task.config).parse(options, "test")
    for _ in range(5):
        task.loss(images, torch.arange(16), rng)
    return task.eval()


def branch(names: list[str], kind: str, **changes: Any) -> BranchConfig:
    options = {"knn": {"size": 20}} if "knn" in names else {}
    values = {
        "regions": {"kind": kind, "size": 32, "stride": 16},
        "head": {"names": names, "options": options},
        "pool": {"top": 2},
    }
    return BranchConfig.parse(values | changes, "test")


def fitted(task: Task, *branches: BranchConfig, inside: Any = None, **changes: Any) -> Detector:
    recipe = Recipe(branches=list(branches), **changes)
    images = pictures(24, 2)
    store = SimpleNamespace(spec=SPEC, inside=inside, batch=lambda ids: images[ids])
    return fit_head(recipe, task, store, np.arange(24))  # type: ignore[arg-type]


def agrees(detector: Detector) -> tuple[onnx.ModelProto, np.ndarray, np.ndarray]:
    """The exported graph, with scores and heatmaps of new images, once onnxruntime says what torch says."""
    program = to_onnx(detector, SPEC)
    infer = session(program.SerializeToString())
    assert compare(detector, infer, pictures(7, 3)) <= TOLERANCE
    scores, heatmaps = infer(pictures(5, 4))
    assert np.unique(scores).size == 5  # parity of constants would prove nothing
    assert {node.op_type for node in program.graph.node} <= ALLOWED_OPS
    return program, scores, heatmaps


class SideBySide(nn.Module):
    """Scores and heatmaps of each branch: all heads in one export."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = self.detector.prepared(images.permute(0, 3, 1, 2))
        scores, heatmaps = [], []
        for branch in self.detector.every_branch():
            regions = branch(x)
            scores.append(branch.pool(regions))
            heatmaps.append(branch.regions.heatmap(regions))
        return torch.stack(scores, dim=1), torch.stack(heatmaps, dim=1)


def heads_agree(task: str, names: list[str], kind: str) -> onnx.ModelProto:
    """Every head agrees with itself in ONNX, each relative to its own largest score."""
    side = SideBySide(fitted(warmed_task(task), *(branch([name], kind) for name in names)))
    program = to_onnx(side, SPEC)  # type: ignore[arg-type]
    assert {node.op_type for node in program.graph.node} <= ALLOWED_OPS
    infer = session(program.SerializeToString())
    images = pictures(6, 3)
    with torch.no_grad():
        ours = [output.numpy() for output in side(torch.from_numpy(images))]
    for count in (6, 1):  # the batch is dynamic
        for one, other in zip(ours, infer(images[:count]), strict=True):
            for number, name in enumerate(names):
                largest = np.abs(one[:, number]).max()
                difference = np.abs(one[:count, number] - other[:, number]).max()
                assert difference <= TOLERANCE * largest, f"{name}: {difference / largest:.1g}"
    assert all(np.unique(column).size == len(images) for column in ours[0].T)  # not of constants
    return program


def names_where(wanted: Callable[[type[Head]], bool]) -> list[str]:
    return [name for name in HEADS if wanted(HEADS[name].load())]


@pytest.mark.parametrize("kind", ["whole", "tiles", "cells"])
def test_onnxruntime_says_what_torch_says(kind: str) -> None:
    """Every head over every kind of region."""
    restoring = names_where(lambda head: "restored" in head.reads)
    turning = names_where(lambda head: head.least_views > 1)
    heads_agree("defects", [name for name in HEADS if name not in restoring + turning], kind)
    heads_agree("denoising", restoring, kind)
    heads_agree("rotation", turning, kind)


@pytest.mark.parametrize("task", ["rotation", "geometric"])
def test_heads_that_read_views_under_four_and_under_72(task: str) -> None:
    """One encoder over a batch of all views, not one encoder a view."""
    names = names_where(lambda head: head.all_views or "logits" in head.reads)
    program = heads_agree(task, names, "tiles")
    convolutions = sum(node.op_type == "Conv" for node in program.graph.node)
    assert convolutions == len(names) * 2
    assert len(program.SerializeToString()) < 1_000_000 * len(names)


@pytest.mark.parametrize("kind", ["whole", "cells"])
def test_turns_of_an_oblong(kind: str) -> None:
    agrees(fitted(warmed_task("rotation"), branch(["logprob"], kind)))


def test_stages_joined_and_averaged() -> None:
    features = {"stages": [1, 2], "average": 3}
    regions = {"kind": "cells", "size": 8, "stride": 8}
    _, _, heatmaps = agrees(
        fitted(warmed_task("defects"), branch(["gaussian"], "cells", features=features, regions=regions))
    )
    assert heatmaps.shape == (5, 6, 8)


def test_embeddings_of_the_projector() -> None:
    detector = fitted(warmed_task("simclr"), branch(["gaussian"], "cells", features={"projected": True}))
    (only,) = detector.every_branch()
    assert only.head.dim == 128
    agrees(detector)


@pytest.mark.parametrize("pool_joined", [None, PoolConfig(top=2)])
@pytest.mark.parametrize("join", ["mean", "max", "fisher"])
def test_several_branches_of_several_scales(join: str, pool_joined: PoolConfig | None) -> None:
    branches = [
        branch(["gaussian"], "cells"),
        branch(["knn"], "cells", shrink=2, regions={"kind": "tiles", "size": 16, "stride": 8}),
        branch(["logprob"], "whole"),
    ]
    _, _, heatmaps = agrees(fitted(warmed_task("defects"), *branches, join=join, pool_joined=pool_joined))
    assert heatmaps.shape == (5, 3, 4)


def test_the_file_is_plain_and_tells_nothing_of_its_maker() -> None:
    program = to_onnx(fitted(warmed_task("defects"), branch(["gaussian"], "cells")), SPEC)
    onnx.checker.check_model(program)
    assert program.ir_version == IR_VERSION
    assert [(entry.domain, entry.version) for entry in program.opset_import] == [("", OPSET)]
    data = program.SerializeToString()
    assert b"site-packages" not in data
    assert b".py" not in data
    assert b"stack_trace" not in data


def test_another_detector_is_noticed() -> None:
    detector = fitted(warmed_task("defects"), branch(["gaussian"], "cells"))
    infer = session(to_onnx(detector, SPEC).SerializeToString())
    mean = detector.every_branch()[0].head.mean
    mean += 0.5 * mean.abs().mean()
    assert compare(detector, infer, pictures(4, 3)) > TOLERANCE


@pytest.mark.parametrize("kind", ["whole", "tiles", "cells"])
def test_in_onnx_nothing_outside_the_area_changes_anything(kind: str) -> None:
    """Gaussian, PaDiM and neighbors nearby: the last two know places, of which some are left out."""
    inside = np.zeros((SPEC.height, SPEC.width), bool)
    inside[:40, 20:60] = True
    near = {"head": {"names": ["knn"], "options": {"knn": {"size": 20, "reach": 1}}}}
    branches = [branch(["gaussian"], kind), branch(["padim"], kind), branch(["knn"], kind, **near)]
    detector = fitted(warmed_task("rotation"), *branches, inside=inside)
    kept = [part.count for part in detector.every_branch()]
    assert kept == [1 if kind == "whole" else 4] * 3  # squares of 32 px, every 16: the left ones go
    program, scores, heatmaps = agrees(detector)
    infer = session(program.SerializeToString())
    changed = pictures(5, 4)
    changed[:, ~inside] = np.random.default_rng(0).integers(0, 256, (5, int((~inside).sum()), 1), np.uint8)
    for one, other in zip(infer(changed), (scores, heatmaps), strict=True):
        assert (one == other).all()
    changed[:, 20, 40] ^= 255
    assert (infer(changed)[0] != scores).all()


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
