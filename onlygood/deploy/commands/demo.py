"""`onlygood demo`: the whole path on a rendered data set, from good images to a report."""

from __future__ import annotations

from pathlib import Path

import typer

from onlygood.deploy.commands import evaluate, fit, score
from onlygood.deploy.demo.dataset import Counts, write
from onlygood.deploy.demo.defects import KINDS
from onlygood.deploy.demo.folder import prepare
from onlygood.deploy.options import Color, MetricsFormat, OnError, RowFormat
from onlygood.runtime.errors import OnlygoodError

FEWEST_IMAGES = 40
"""With fewer good images nothing is left to calibrate on after training."""


def run(directory: Path, seed: int, images: int) -> int:
    """Render a data set into `directory`, fit, score and evaluate on it, and say what to look at.

    `images` is the number of good training images. An earlier demo in `directory` is replaced.
    """
    if images < FEWEST_IMAGES:
        raise OnlygoodError(f"--images {images} is too few to learn from: give at least {FEWEST_IMAGES}.")
    counts = Counts.for_training_images(images)
    prepare(directory, seed, images)
    data, model = directory / "data", directory / "model.onnx"

    _step(f"1/4 Rendering {images} good plates to learn from and {counts.tested} to test on: {data}")
    write(data, seed, counts)
    _step("2/4 Learning what good looks like (fit)")
    fit.run(
        good_dir=data / "train" / "good",
        output=model,
        recipe="fast",
        minutes=None,
        steps=None,
        max_false_alarms=None,
        seed=seed,
        resume=False,
        work=directory / "work",
        overrides=None,
        quiet=False,
    )
    _step("3/4 Scoring the test images (score)")
    score.run(
        judge=False,
        model=model,
        paths=[data / "test"],
        format=RowFormat.CSV,
        output=directory / "scores.csv",
        resume=False,
        threshold=None,
        max_false_alarms=None,
        files_from=None,
        null=False,
        no_recursive=False,
        follow_symlinks=False,
        exclude=None,
        max_pixels=None,
        max_memory=None,
        bit_depth=None,
        on_error=OnError.FAIL,
        workers=None,
        threads=1,
        provider="cpu",
        copy_flagged=None,
        sha256=None,
        color=Color.AUTO,
        quiet=True,
        verbose=False,
    )
    _step("4/4 Comparing the verdicts with the truth (evaluate)")
    evaluate.run(
        model=model,
        dataset=data,
        format=MetricsFormat.TEXT,
        output=directory / "report",
        threads=1,
        max_memory=None,
        seed=seed,
        quiet=True,
    )
    typer.echo(closing_words(directory, counts))
    return 0


def closing_words(directory: Path, counts: Counts) -> str:
    """What was done, what to look at, and what to type for one's own images."""
    data = directory / "data"
    kinds = ", ".join(kind.replace("_", " ") for kind in KINDS)
    return f"""
What was done
  {counts.train} pictures of good metal plates were rendered, and a model learned from them what good
  looks like. It saw no defect. It then judged {counts.test_good} other good plates and
  {len(KINDS) * counts.defects} defective ones ({kinds}).

What to look at
  {data}: the pictures, in train/good and test/<kind>; masks in ground_truth
  {directory / "report"}: plots, and test pictures with the suspicious places marked
  {directory / "scores.csv"}: one row per test picture, with score, p-value and verdict
  {directory / "model.onnx"}: the model; one file, runs without PyTorch

What to do with your own images (a folder of good ones is all it takes)
  onlygood fit GOOD_FOLDER -o my.onnx
      learns; hold a few good images back to try it on
  onlygood check my.onnx NEW_FOLDER
      prints the anomalous ones; the exit code is 1 if there are any
  onlygood evaluate my.onnx TEST_FOLDER -o my-report
      measures, if you have defective images too: lay them out as in {data}"""


def _step(words: str) -> None:
    typer.echo(words, err=True)
