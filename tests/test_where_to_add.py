"""The steps of "Where to add" in ARCHITECTURE.md, taken in a copy: what they make passes the tests."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

TASK = '''"""Mirror: was the image flipped?"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.measures import accuracy
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.strict import Strict


class MirrorConfig(Strict):
    """Views before the flip."""

    views: Views = Field(default_factory=lambda: Views(flip=False, brightness=0.2))


class MirrorTask(Task):
    """Both versions of each image in one batch."""

    config: MirrorConfig
    classes = 2

    def __init__(self, encoder: Encoder, config: MirrorConfig, standardize: Standardize = "fixed") -> None:
        super().__init__(encoder, config, standardize)
        self.guess = nn.Linear(encoder.dim, 2)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Cross entropy of ``2 B`` views."""
        x = random_view(images, self.standardize, self.config.views, rng)
        features = self.encoder(torch.cat([x, x.flip(3)]))
        labels = torch.arange(2, device=x.device).repeat_interleave(len(x))
        logits = self.guess(features)
        loss = functional.cross_entropy(logits.float(), labels)
        return TaskOutput(loss, {"accuracy": accuracy(logits, labels)}, features.detach())
'''

HEAD = '''"""Largest deviation from the mean feature."""

from typing import Self

import torch
from torch import Tensor

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.runtime.strict import Strict


class LargestDeviation(Head):
    """In any dimension."""

    mean: Tensor

    def __init__(self, dim: int, config: Strict | None = None) -> None:
        super().__init__(dim, config)
        self.register_buffer("mean", torch.zeros(dim))

    def fit(self, outputs: Outputs) -> Self:
        """Take the mean."""
        self.mean.copy_(outputs.rows().mean(dim=0))
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)``."""
        return (outputs.plain() - self.mean).abs().amax(dim=2)
'''

ENCODER = '''

def narrow(channels: int) -> Encoder:
    """Two stages."""
    blocks = [nn.Conv2d(channels, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1)]
    return Encoder("narrow", channels, list(blocks), [8, 16], 4)
'''


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package and its tests, without results of benchmarks beyond the one that a test reads."""
    for name in ("onlygood", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    costs = "benchmarks/results/costs/32px.json"
    (tmp_path / costs).parent.mkdir(parents=True)
    shutil.copy(ROOT / costs, tmp_path / costs)
    return tmp_path


def places(what: str) -> int:
    """How many places the page says that a new thing takes."""
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    found = re.search(rf"^- \*\*{what}\*\*, (\d) places?:", page, re.MULTILINE)
    assert found
    return int(found[1])


def add(copy: Path, file: str, text: str) -> None:
    path = copy / file
    assert not path.exists()
    path.write_text(text, encoding="utf-8")


def insert(copy: Path, file: str, after: str, text: str) -> None:
    path = copy / file
    source = path.read_text(encoding="utf-8")
    assert source.count(after) == 1
    path.write_text(source.replace(after, after + text), encoding="utf-8")


def run(copy: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    ended = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_a_task_takes_three_places(copy: Path) -> None:
    steps = [
        lambda: add(copy, "onlygood/pretrain/tasks/mirror.py", TASK),
        lambda: insert(
            copy,
            "onlygood/pretrain/tasks/registry.py",
            "_OWN = {\n",
            '    "mirror": TaskEntry(f"{_HERE}.mirror:Mirror", "Nobody 2026", "a test"),\n',
        ),
        lambda: insert(copy, "tests/tiny.py", "FACTS = {\n", '    "mirror": Facts(math.log(2), steps=20),\n'),
    ]
    assert len(steps) == places("A pretext task")
    for step in steps:
        step()
    assert "mirror" in run(copy, "-m", "onlygood", "tasks")
    said = run(copy, "-m", "pytest", "-q", "tests/pretrain/tasks/test_all_tasks.py", "-k", "mirror or costs")
    assert int(re.search(r"(\d+) passed", said)[1]) > 5  # type: ignore[index]


def test_a_head_takes_two_places(copy: Path) -> None:
    steps = [
        lambda: add(copy, "onlygood/anomaly/heads/largest.py", HEAD),
        lambda: insert(
            copy,
            "onlygood/anomaly/heads/registry.py",
            "_OWN = {\n",
            '    "largest": HeadEntry(f"{_HERE}.largest:LargestDeviation", "Nobody 2026"),\n',
        ),
    ]
    assert len(steps) == places("A head")
    for step in steps:
        step()
    said = run(copy, "-m", "pytest", "-q", "tests/deploy/test_export.py", "-k", "onnxruntime_says and cells")
    assert "1 passed" in said
    broken = HEAD.replace(".abs().amax(dim=2)", "[..., 0] * torch.rand(1)")
    (copy / "onlygood/anomaly/heads/largest.py").write_text(broken, encoding="utf-8")
    with pytest.raises(AssertionError, match="RandomUniform"):
        run(copy, "-m", "pytest", "-q", "tests/deploy/test_export.py", "-k", "onnxruntime_says and cells")


def test_an_encoder_takes_two_places(copy: Path) -> None:
    encoders = copy / "onlygood/pretrain/networks/encoders.py"
    steps = [
        lambda: encoders.write_text(encoders.read_text(encoding="utf-8") + ENCODER, encoding="utf-8"),
        lambda: insert(
            copy,
            "onlygood/pretrain/networks/registry.py",
            "_OWN = {\n",
            '    "narrow": EncoderEntry(f"{_HERE}.encoders:narrow", "a test"),\n',
        ),
    ]
    assert len(steps) == places("An encoder")
    for step in steps:
        step()
    said = run(copy, "-m", "pytest", "-q", "tests/pretrain/networks/test_encoders.py", "-k", "narrow")
    assert int(re.search(r"(\d+) passed", said)[1]) >= 3  # type: ignore[index]
