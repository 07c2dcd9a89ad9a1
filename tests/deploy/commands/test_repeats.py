"""`fit` on images of few parts that nobody has named: it says that the promise may hold for these alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from onlygood.runtime.model.modelfile import load_model

IMAGES, SIDE = 48, 64
QUICK = ["--recipe", "fast", "--steps", "1", "--max-false-alarms", "0.2", "--quiet"]
QUICK += ["--set", "training.batch_size=8", "--set", "training.threads=1"]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLYGOOD_CACHE", str(tmp_path / "cache"))


def photographed(folder: Path, times: int) -> Path:
    """Parts of coarse blotches, each ``times`` in other noise; names tell nothing of the part."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    names = iter(rng.permutation(IMAGES).tolist())
    for _ in range(IMAGES // times):
        part = rng.uniform(60, 200, (8, 8)).repeat(8, axis=0).repeat(8, axis=1)
        for _ in range(times):
            pixels = part + rng.normal(0, 2, (SIDE, SIDE))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{next(names):02}.png")
    return folder


@pytest.mark.parametrize(("times", "warned"), [(4, True), (1, False)])
def test_repeats_are_told_apart_from_different_parts(
    times: int, warned: bool, call: Callable[..., Result], tmp_path: Path
) -> None:
    model = tmp_path / "m.onnx"
    result = call("fit", photographed(tmp_path / "good", times), "-o", model, *QUICK)
    assert result.exit_code == 0, result.stderr
    words = "48 images show only 12 different looks"
    assert (words in result.stderr) is warned  # though it is told to be quiet
    kept = load_model(model).metadata.provenance["training"]["warnings"]
    assert any(words in line for line in kept) is warned
    assert warned or "the promise may hold only" not in result.stderr


def test_parts_that_are_named_are_no_repeats(call: Callable[..., Result], tmp_path: Path) -> None:
    folder = photographed(tmp_path / "good", 4)
    lines = ["path,label,group"] + [f"{p.name},0,{i % 12}" for i, p in enumerate(sorted(folder.iterdir()))]
    (folder / "list.csv").write_text("\n".join(lines))
    result = call("fit", folder / "list.csv", "-o", tmp_path / "m.onnx", *QUICK)
    assert result.exit_code == 0, result.stderr
    assert "looks" not in result.stderr
