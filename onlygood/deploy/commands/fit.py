"""`onlygood fit`: a folder of good images in, one model file out."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from onlygood.anomaly.auto import resolve_recipe
from onlygood.anomaly.data.attention import Attention
from onlygood.anomaly.data.excluded import excluding
from onlygood.anomaly.data.groups import grouped, propose, relative
from onlygood.deploy.clock import source_date
from onlygood.deploy.commands.common import (
    calm_openmp,
    good_images,
    recipe_changes,
    weight_files,
)
from onlygood.deploy.destination import work_folder
from onlygood.deploy.messages import speaker
from onlygood.deploy.options.shared import Engine
from onlygood.deploy.options.training import FitOptions
from onlygood.deploy.sources import at_hand
from onlygood.deploy.suspicion import deciding, suspicion
from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display, mark_output
from onlygood.runtime.launched import helping, launched
from onlygood.runtime.model.calibration import achieved_interval, threshold
from onlygood.runtime.model.metadata import Calibration

if TYPE_CHECKING:
    from onlygood.anomaly.fit import Fitted
    from onlygood.deploy.export import Exported


def run(options: FitOptions) -> int:
    """Fit one model, or with --each one for each folder."""
    options = replace(options, quiet=options.quiet or helping())
    say = speaker(quiet=options.quiet)
    options = replace(options, good_dir=at_hand(options.good_dir, say))
    if options.each:
        if launched() > 1:
            raise OnlygoodError("--each trains several models at once by --jobs, not under accelerate launch")
        from onlygood.deploy.each import fit_each  # noqa: PLC0415 - nothing for one model

        return fit_each(options, say)
    if options.jobs or options.ray_address or options.engine is not Engine.LOCAL:
        raise OnlygoodError("--jobs, --engine and --ray-address say how --each works: give that too")
    return _fit(options, options.output or Path("model.onnx"), say)


def _fit(options: FitOptions, output: Path, say: Callable[[str], None]) -> int:
    """Fit, export and say what came out.

    The work folder keeps the log, the recipe as resolved, the encoder, the whole trained task (other heads
    can be fitted on it without training again) and which images, by their SHA-256, were held out.
    """
    calm_openmp()
    source_date()  # a wrong one is told before training, and before anything stumbles over it
    good = good_images(options.good_dir, all_good=options.all_good)
    read = [options.good_dir, *(sample.path for sample in good.samples)]
    read += [Path(options.recipe)] if options.recipe else []
    if options.exclude is not None:
        good = excluding(good, options.exclude)
        read.append(options.exclude)
    if options.groups is not None:
        good = grouped(good, options.groups)
    resolved, choice = resolve_recipe(options.recipe, good, _changes(options))
    attention = Attention(options.roi, options.ignore)
    read += weight_files(resolved.encoder_weights) + attention.files()
    folder = work_folder(output, options.work, read)
    say(f"found {good.description}")
    if not any(sample.group for sample in good.samples) and (proposal := propose(relative(good))):
        say(proposal.words())
    say(choice)
    mark_output(folder, "work of a training")

    # torch only once the input is known to be good
    from onlygood.anomaly.fit import fit  # noqa: PLC0415
    from onlygood.deploy.export import export, odd_frames  # noqa: PLC0415
    from onlygood.pretrain.training.checkpoint import FILE_NAME  # noqa: PLC0415

    fitted = fit(
        resolved,
        good,
        folder,
        rate=options.max_false_alarms,
        drop_suspicious=options.drop_suspicious,
        attention=attention,
        resume=options.resume,
        progress=not options.quiet,
        say=say,
    )
    result = fitted.training
    say(
        "trained nothing: the encoder is as it began"
        if result.steps == 0
        else f"trained {result.steps} steps in {result.seconds / 60:.1f} min "
        f"({result.cpu_seconds / 60:.1f} CPU min), {result.images_per_second:.0f} images/s, "
        f"{result.data_wait:.0%} waiting for data; {result.precision}, {result.precision_reason}"
    )
    for warning in result.warnings:
        typer.echo(f"warning: {warning}", err=True)  # also where the rest is quiet
    exported = export(fitted, output)
    metadata = exported.metadata
    for path, reason in odd_frames(fitted, metadata.frames):
        say(f"look at {path}: {reason}; the model calls such a frame unusable")
    if metadata.suspects:
        say(
            f"look at these {len(metadata.suspects)} images, whose scores lie far outside the others'; "
            "if they are not good, take them out and fit again"
            + ("; they were dropped:" if options.drop_suspicious else ", or --drop-suspicious:")
        )
    for line in suspicion(metadata):
        say(f"  {line}")
    _keep(folder, fitted, exported)
    (folder / FILE_NAME).unlink(missing_ok=True)  # finished: the next fit starts afresh
    if (rate := metadata.calibration.max_false_alarms) > fitted.parts.rate:
        say(
            f"the promise is {rate:.3g} false alarms instead of {fitted.parts.rate:.3g}: suspects held out "
            "are not the threshold, and count as good images that are flagged"
        )
    size = output.stat().st_size / 1e6
    parity = metadata.parity
    say(f"onnxruntime and torch agree to {parity.max_relative:.1g} on {parity.images} images")
    limit = _limit(metadata.calibration)
    say(_promised(metadata.calibration, limit))
    names = [os.path.relpath(fitted.store.paths[i], fitted.root) for i in exported.held_out.ids]
    say(deciding(names, exported.held_out.scores, limit))
    typer.echo(f"wrote {output} ({size:.1f} MB)", err=options.quiet)
    say(f"how it learned, in pictures: {display(folder)}")
    say(f"next: onlygood check {output} NEW_IMAGES")
    return 0


def _keep(folder: Path, fitted: "Fitted", exported: "Exported") -> None:
    """Write what belongs into the work folder beside the log."""
    from onlygood.deploy.summarize import write_fit_summary  # noqa: PLC0415
    from onlygood.pretrain.networks.weights import save_weights  # noqa: PLC0415
    from onlygood.pretrain.training.checkpoint import save_state  # noqa: PLC0415

    save_weights(fitted.detector.encoder, folder / "encoder.safetensors", standardize=fitted.task.standardize)
    save_state(fitted.task, folder / "task.safetensors")
    write_atomically(folder / "recipe.json", fitted.recipe.model_dump_json(indent=2).encode())
    write_fit_summary(folder, fitted, exported)


def _limit(held_out: Calibration) -> float:
    return threshold(np.asarray(held_out.scores), held_out.max_false_alarms, held_out.weights())


def _promised(held_out: Calibration, limit: float) -> str:
    """The threshold and what is promised, to whom."""
    rate, count = held_out.max_false_alarms, held_out.parts()
    interval = achieved_interval(count, rate)
    new, unit = ("", "images") if held_out.groups is None else (" on new parts", "parts")
    return (
        f"threshold {limit:.6g}: at most {rate:.3g} false alarms{new} are promised; {count} calibration "
        f"{unit} put the true rate between {interval.low:.2%} and {interval.high:.2%}"
    )


def _changes(options: FitOptions) -> dict[str, Any]:
    """What the command line changes of the recipe."""
    changes = recipe_changes(options.seed, options.overrides, options.encoder, options.encoder_weights)
    if options.minutes is not None:
        changes |= {"training.minutes": options.minutes, "training.steps": options.steps}
    elif options.steps is not None:
        changes |= {"training.steps": options.steps, "training.minutes": None}
    return changes
