"""`onlygood fit`: a folder of good images in, one model file out."""

import os
import sys
from pathlib import Path
from typing import Any

import typer

from onlygood.anomaly.data.datasets import discover
from onlygood.anomaly.data.layouts import UnclearFoldersError
from onlygood.anomaly.data.samples import Dataset
from onlygood.anomaly.recipe import Recipe, load_recipe
from onlygood.deploy.clock import source_date
from onlygood.deploy.destination import work_folder
from onlygood.deploy.suspicion import suspicion
from onlygood.pretrain.overrides import parse_overrides
from onlygood.runtime.images.files import mark_output
from onlygood.runtime.model.calibration import achieved_interval, threshold

DEFAULT_RECIPE = "surfaces"


def run(
    *,
    good_dir: Path,
    output: Path,
    recipe: str | None,
    minutes: float | None,
    steps: int | None,
    max_false_alarms: float | None,
    seed: int,
    resume: bool,
    work: Path | None,
    overrides: list[str] | None,
    quiet: bool,
    all_good: bool = False,
) -> None:
    """Fit, export and say what came out.

    The work folder keeps the log, the recipe as resolved, the encoder, the whole trained task (other heads
    can be fitted on it without training again) and which images, by their SHA-256, were held out.
    """
    calm_openmp()
    source_date()  # a wrong one is told before training, and before numpy stumbles over it

    def say(words: str) -> None:
        if not quiet:
            typer.echo(words, err=True)

    resolved = resolve(recipe or DEFAULT_RECIPE, minutes, steps, seed, overrides)
    good = _good_images(good_dir, all_good=all_good)
    read = [good_dir, *(sample.path for sample in good.samples), Path(recipe or DEFAULT_RECIPE)]
    if resolved.encoder_weights is not None:
        read.append(Path(resolved.encoder_weights))
    folder = work_folder(output, work, read)
    say(f"found {good.description}")
    say(
        f"recipe {resolved.name}: {resolved.description}"
        + ("" if recipe else " (the default; --recipe changes it)")
    )
    mark_output(folder, "work of a training")

    from onlygood.anomaly.fit import fit  # noqa: PLC0415 - torch only once the input is known to be good
    from onlygood.deploy.export import export, odd_frames  # noqa: PLC0415
    from onlygood.pretrain.networks.weights import save_weights  # noqa: PLC0415
    from onlygood.pretrain.training.checkpoint import FILE_NAME, save_state  # noqa: PLC0415
    from onlygood.runtime.atomic import write_atomically  # noqa: PLC0415

    progress = not quiet and sys.stderr.isatty()
    fitted = fit(resolved, good, folder, rate=max_false_alarms, resume=resume, progress=progress, say=say)
    result = fitted.training
    say(
        f"trained {result.steps} steps in {result.seconds / 60:.1f} min "
        f"({result.cpu_seconds / 60:.1f} CPU min), {result.images_per_second:.0f} images/s, "
        f"{result.data_wait:.0%} waiting for data; {result.precision}, {result.precision_reason}"
    )
    for warning in result.warnings:
        say(f"warning: {warning}")
    metadata = export(fitted, output)
    for path, reason in odd_frames(fitted, metadata.frames):
        say(f"look at {path}: {reason}; the model calls such a frame unusable")
    if metadata.suspects:
        say(
            f"look at these {len(metadata.suspects)} images, whose scores lie far outside the others'; "
            "if they are not good, take them out and fit again:"
        )
    for line in suspicion(metadata):
        say(f"  {line}")
    save_weights(fitted.detector.encoder, folder / "encoder.safetensors", standardize=fitted.task.standardize)
    save_state(fitted.task, folder / "task.safetensors")
    write_atomically(folder / "recipe.json", fitted.recipe.model_dump_json(indent=2).encode())
    (folder / FILE_NAME).unlink(missing_ok=True)  # finished: the next fit starts afresh
    scores, rate = metadata.calibration.scores, metadata.calibration.max_false_alarms
    interval = achieved_interval(len(scores), rate)
    size = output.stat().st_size / 1e6
    parity = metadata.parity
    say(f"onnxruntime and torch agree to {parity.max_relative:.1g} on {parity.images} images")
    say(
        f"threshold {threshold(_array(scores), rate):.6g}: at most {rate:.3g} false alarms are promised; "
        f"{len(scores)} calibration images put the true rate between {interval.low:.2%} and "
        f"{interval.high:.2%}"
    )
    typer.echo(f"wrote {output} ({size:.1f} MB)", err=quiet)
    say(f"next: onlygood check {output} NEW_IMAGES")


def _good_images(folder: Path, *, all_good: bool) -> Dataset:
    """The images to learn from; where only a person can tell which are good, a person at hand is asked."""
    try:
        return discover(folder, part="train", all_good=all_good)
    except UnclearFoldersError as error:
        if not (sys.stdin.isatty() and sys.stderr.isatty() and typer.confirm(error.question, err=True)):
            raise
    return discover(folder, part="train", all_good=True)


def resolve(
    recipe: str, minutes: float | None, steps: int | None, seed: int, overrides: list[str] | None
) -> Recipe:
    """The recipe with what the command line changes; ``--minutes`` and ``--steps`` win over ``--set``."""
    changes: dict[str, Any] = {"training.seed": seed, **parse_overrides(overrides or [])}
    if minutes is not None:
        changes |= {"training.minutes": minutes, "training.steps": steps}
    elif steps is not None:
        changes |= {"training.steps": steps, "training.minutes": None}
    return load_recipe(recipe, changes)


def calm_openmp() -> None:
    """Let waiting OpenMP threads sleep: spinning on shared cores costs 10 to 30 times.

    Only works before torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def _array(scores: list[float]) -> Any:
    import numpy as np  # noqa: PLC0415

    return np.asarray(scores)
