"""`accelerate launch` as it is typed: two processes on the CPU learn as one, write once, and end."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_files import save_noise
from typer.testing import Result

from onlygood.pretrain.networks.registry import ENCODERS
from onlygood.pretrain.training.logs import FILE_NAME as LOG_NAME
from onlygood.pretrain.training.logs import read_rows

ACCELERATE = [Path(sys.executable).with_name("accelerate"), "launch", "--multi_gpu", "--num_processes", "2"]
ACCELERATE += ["--main_process_port", "0", "-m", "onlygood"]  # 0: a port that is free

# An encoder that notes how many views it is shown in each step, and by which process.
NOTED = """
import os
from torch import nn
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.registry import EncoderEntry

ENTRY = EncoderEntry("noted:noted", "a test")

class Noting(nn.Conv2d):
    def forward(self, x):
        if self.training:
            with open(os.environ["NOTES"] + os.environ.get("RANK", "-alone"), "a") as notes:
                print(len(x), file=notes)
        return super().forward(x)

def noted(channels):
    first = nn.Sequential(Noting(channels, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
    return Encoder("noted", channels, [first, nn.Conv2d(8, 16, 3, 2, 1)], [8, 16], 4)
"""

STEPS = 4
SETTINGS = [
    f"training.steps={STEPS}",
    "training.batch_size=9",
    "training.precision=fp32",
    "training.log_every=1",
]
SETTINGS += ["training.threads=1", "input.side=32"]
TYPED = {
    "pretrain": (["pretrain", "rotation"], "encoder.safetensors"),
    "fit": (["fit", "--recipe", "rotnet"], "model.onnx"),
}


@pytest.fixture
def _noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The encoder, as pip would have installed it, here and for processes that are started."""
    folder = tmp_path / "installed"
    about = folder / "noted-1.0.dist-info"
    about.mkdir(parents=True)
    (folder / "noted.py").write_text(NOTED)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: noted\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[onlygood.encoders]\nnoted = noted:ENTRY\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    monkeypatch.setenv("ONLYGOOD_CACHE", str(tmp_path / "cache"))
    ENCODERS.__dict__.pop("_others", None)
    yield
    ENCODERS.__dict__.pop("_others", None)
    sys.modules.pop("noted", None)


@pytest.mark.slow
@pytest.mark.usefixtures("_noted")
@pytest.mark.parametrize("command", TYPED)
def test_two_processes_of_accelerate_learn_as_one(
    command: str, tmp_path: Path, call: Callable[..., Result]
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for index in range(24):
        save_noise(images / f"{index}.png", index, (32, 32, 3))
    words, name = TYPED[command]
    words = [
        *words,
        str(images),
        "--encoder",
        "noted",
        *(part for key in SETTINGS for part in ("--set", key)),
    ]
    (tmp_path / "alone").mkdir()
    (tmp_path / "both").mkdir()
    alone = call(*words, "-o", tmp_path / "alone" / name)
    assert alone.exit_code == 0, alone.output
    both = subprocess.run(  # noqa: S603 - of this environment
        [*ACCELERATE, *words, "-o", tmp_path / "both" / name],
        check=False,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert both.returncode == 0, both.stderr
    assert both.stdout.count("wrote ") == 1
    work = Path(name).stem + ".work"
    files = [
        sorted(path.name for folder in (out, out / work) for path in folder.iterdir())
        for out in (tmp_path / "alone", tmp_path / "both")
    ]
    assert files[0] == files[1]

    second = notes(tmp_path, "1")  # draws no views before the first step
    first, one = notes(tmp_path, "0")[-len(second) :], notes(tmp_path, "-alone")[-len(second) :]
    assert len(second) == STEPS
    assert [a + b for a, b in zip(first, second, strict=True)] == one
    assert all(abs(a - b) <= 1 for a, b in zip(first, second, strict=True))
    losses = [
        [row["loss"] for row in read_rows(tmp_path / out / work / LOG_NAME)] for out in ("alone", "both")
    ]
    assert len(losses[0]) == STEPS
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)


def notes(folder: Path, process: str) -> list[int]:
    return [int(line) for line in (folder / f"notes{process}").read_text().splitlines()]
