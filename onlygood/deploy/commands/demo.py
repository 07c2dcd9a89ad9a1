"""`onlygood demo`: the whole path on a rendered data set, from good images to a report.

It types `fit`, `score` and `evaluate` into the command line, in this process, so that an interrupt is heard
once, by the command that works, which saves its checkpoint and says so. A process of its own would hear a
Ctrl-C of the terminal and then what we pass on, and a training ends at the second signal before it has saved.
"""

from collections.abc import Iterator
from pathlib import Path

import typer

from onlygood.deploy.cli import invoke
from onlygood.deploy.demo.dataset import Counts, write
from onlygood.deploy.demo.defects import KINDS
from onlygood.deploy.demo.folder import prepare
from onlygood.deploy.options.demo import DemoOptions
from onlygood.runtime.errors import OnlygoodError

FEWEST_IMAGES = 40  # with fewer good images nothing is left to calibrate on after training


def run(options: DemoOptions) -> int:
    """Render a data set, fit, score and evaluate on it, and say what to look at.

    An earlier demo in the folder is replaced. A step that fails has said why, and its exit code is returned.
    """
    directory, images = options.directory, options.images
    if images < FEWEST_IMAGES:
        raise OnlygoodError(f"--images {images} is too few to learn from: give at least {FEWEST_IMAGES}.")
    counts = Counts.for_training_images(images)
    prepare(directory, options.seed, images)
    data = directory / "data"
    _say(f"1/4 Rendering {images} good plates to learn from and {counts.tested} to test on: {data}")
    write(data, options.seed, counts)
    for title, line in _steps(directory, options.seed):
        _say(title)
        if code := invoke(line):
            return code
    typer.echo(closing_words(directory, counts))
    return 0


def _steps(directory: Path, seed: int) -> Iterator[tuple[str, list[str]]]:
    """What to do on the rendered data: in words, and as a line of the command line."""
    data, model = str(directory / "data"), str(directory / "model.onnx")
    good, test = str(directory / "data/train/good"), str(directory / "data/test")
    work, rows, report = (str(directory / name) for name in ("work", "scores.csv", "report"))
    fit = ["fit", "-o", model, f"--seed={seed}", "--work", work, "--", good]
    score = ["score", "-f", "csv", "-o", rows, "-q", "--", model, test]
    evaluate = ["evaluate", "-o", report, f"--seed={seed}", "-q", "--", model, data]
    yield "2/4 Learning what good looks like (fit)", fit
    yield "3/4 Scoring the test images (score)", score
    yield "4/4 Comparing the verdicts with the truth (evaluate)", evaluate


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


def _say(words: str) -> None:
    typer.echo(words, err=True)
