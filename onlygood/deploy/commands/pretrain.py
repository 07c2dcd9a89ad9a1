"""`onlygood pretrain`: one pretext task on a folder of images, for an encoder alone."""

import sys
from pathlib import Path
from typing import Any

import typer

from onlygood.anomaly.recipe import parse_overrides, set_key
from onlygood.deploy.commands.fit import calm_openmp
from onlygood.deploy.runtime.errors import OnlygoodError
from onlygood.deploy.runtime.files import find_images
from onlygood.pretrain.config import TrainConfig

SIDE = 224  # the shorter side of the images, at most


def run(
    *,
    task: str,
    directory: Path,
    output: Path,
    encoder: str,
    steps: int | None,
    minutes: float | None,
    seed: int,
    resume: bool,
    overrides: list[str] | None,
    quiet: bool,
) -> None:
    """Train and write the encoder; labels, if the folder has any, are not looked at.

    ``--set training.KEY=…`` changes the training, ``--set task.KEY=…`` the task's options,
    ``--set input.KEY=…`` the size and channels of the images.
    """
    calm_openmp()
    from onlygood.anomaly.plan import plan_input  # noqa: PLC0415
    from onlygood.anomaly.recipe import InputConfig  # noqa: PLC0415
    from onlygood.anomaly.tasks import ALL_TASKS  # noqa: PLC0415
    from onlygood.pretrain.checkpoint import FILE_NAME  # noqa: PLC0415
    from onlygood.pretrain.encoders import create_encoder, save_weights  # noqa: PLC0415
    from onlygood.pretrain.images import ImageStore, probe_images  # noqa: PLC0415
    from onlygood.pretrain.tasks.registry import create_task  # noqa: PLC0415
    from onlygood.pretrain.trainer import train  # noqa: PLC0415

    sections: dict[str, dict[str, Any]] = {"training": {}, "task": {}, "input": {"side": SIDE}}
    for key, value in parse_overrides(overrides or []).items():
        section, _, name = key.partition(".")
        if section not in sections or not name:
            raise OnlygoodError(f"--set {key}: begin with {', '.join(f'{section}.' for section in sections)}")
        set_key(sections, key, value)
    training = {"seed": seed, **sections["training"]}
    if steps is not None or minutes is not None:
        training |= {"steps": steps, "minutes": minutes}
    config = TrainConfig.parse(training, "--set training")
    paths = list(find_images([directory]))
    if not paths:
        raise OnlygoodError(f"{directory}: no images in it")
    spec, words = plan_input(
        InputConfig.parse(sections["input"], "--set input"), probe_images(paths), tile=32, stride=32
    )
    progress = not quiet and sys.stderr.isatty()
    store = ImageStore.build(paths, spec, progress=progress)
    if not quiet:
        typer.echo(f"{len(store)} images, {len(store.bad)} unreadable; {words}", err=True)
    backbone = create_encoder(encoder, spec.channels, seed=config.seed)
    pretext = create_task(
        task, backbone, sections["task"], tasks=ALL_TASKS, images=len(store), seed=config.seed
    )
    work = output.with_suffix(".work")
    result = train(pretext, store, config, work, resume=resume, progress=progress)
    save_weights(pretext.encoder, output, standardize=pretext.standardize)
    (work / FILE_NAME).unlink(missing_ok=True)
    for warning in result.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"wrote {output} after {result.steps} steps; log in {result.log}", err=quiet)
