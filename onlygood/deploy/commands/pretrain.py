"""`onlygood pretrain`: one pretext task on a folder of images, for an encoder alone."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from onlygood.deploy.commands.fit import calm_openmp
from onlygood.deploy.destination import work_folder
from onlygood.pretrain.overrides import parse_overrides, set_key
from onlygood.pretrain.training.config import TrainConfig
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import Findings, display, find_images, mark_output
from onlygood.runtime.images.notes import counted

if TYPE_CHECKING:
    from torch import Tensor

    from onlygood.pretrain.video.tracking import Summary, TracksConfig
    from onlygood.runtime.images.spec import InputSpec

SIDE = 224  # the shorter side of the images, at most


def run(
    *,
    task: str,
    directory: Path,
    output: Path,
    encoder: str,
    labelled: Path | None,
    steps: int | None,
    minutes: float | None,
    seed: int,
    resume: bool,
    overrides: list[str] | None,
    quiet: bool,
) -> None:
    """Train and write the encoder; labels, if the folder has any, are not looked at.

    ``--set training.KEY=…`` changes the training, ``--set task.KEY=…`` the task's options,
    ``--set input.KEY=…`` the size and channels of the images, ``--set tracks.KEY=…`` what is cut out of a
    video. Tasks on video take a video file or a folder of its frames. ``labelled`` is for tasks that learn
    from a few labels too.
    """
    calm_openmp()
    from onlygood.pretrain.data.cachedir import find_cache  # noqa: PLC0415
    from onlygood.pretrain.data.plan import InputConfig, plan_input  # noqa: PLC0415
    from onlygood.pretrain.data.store import ImageStore, probe_images  # noqa: PLC0415
    from onlygood.pretrain.networks.registry import create_encoder  # noqa: PLC0415
    from onlygood.pretrain.networks.weights import save_weights  # noqa: PLC0415
    from onlygood.pretrain.tasks.registry import TASKS, Takes, create_task  # noqa: PLC0415
    from onlygood.pretrain.training.checkpoint import FILE_NAME  # noqa: PLC0415
    from onlygood.pretrain.training.trainer import train  # noqa: PLC0415

    def say(words: str) -> None:
        if not quiet:
            typer.echo(words, err=True)

    entry = TASKS.find(task)
    work = work_folder(output, None, find_images([directory] if labelled is None else [directory, labelled]))
    sections: dict[str, dict[str, Any]] = {"training": {}, "task": {}, "input": {"side": SIDE}}
    if entry.takes is Takes.TRACKS:
        sections["tracks"] = {}
    for key, value in parse_overrides(overrides or []).items():
        section, _, name = key.partition(".")
        if section not in sections or not name:
            raise OnlygoodError(f"--set {key}: begin with {', '.join(f'{section}.' for section in sections)}")
        set_key(sections, key, value)
    training = {"seed": seed, **sections["training"]}
    if steps is not None or minutes is not None:
        training |= {"steps": steps, "minutes": minutes}
    config = TrainConfig.parse(training, "--set training")
    progress = not quiet and sys.stderr.isatty()
    mark_output(work, "work of a training")
    if entry.takes is Takes.TRACKS:
        from onlygood.pretrain.video.tracking import TracksConfig  # noqa: PLC0415

        wanted = TracksConfig.parse(sections["tracks"], "--set tracks")
        tracks = work / "tracks"
        if not (resume and tracks.is_dir()):
            found = _cut_tracks(directory, tracks, wanted, config.batch_size, progress)
            say(f"{found.tracks} tracks in {found.frames} frames; {found.skipped} frames are unreadable")
        directory, sections["input"]["size"] = tracks, [wanted.size, 2 * wanted.size]
    paths = _images(directory, say)
    spec, words = plan_input(
        InputConfig.parse(sections["input"], "--set input"), probe_images(paths), tile=32, stride=32
    )
    if note := find_cache().note:
        say(note)
    store = ImageStore.build(paths, spec, progress=progress)
    say(
        "\n".join(
            [
                f"{len(store)} images, {len(store.bad)} unreadable; {words}",
                *counted(note for _, note in store.notes),
            ]
        )
    )
    pretext = create_task(
        task,
        create_encoder(encoder, spec.channels, seed=config.seed),
        sections["task"],
        images=len(store),
        seed=config.seed,
        labelled=_read_labelled(labelled, spec, progress) if labelled is not None else None,
    )
    fitting = config.fitted_to(len(store), say=say)
    result = train(pretext, store, fitting, work, resume=resume, progress=progress)
    save_weights(pretext.encoder, output, standardize=pretext.standardize)
    (work / FILE_NAME).unlink(missing_ok=True)
    for warning in result.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(
        f"wrote {output} after {result.steps} steps in {result.precision} ({result.precision_reason}); "
        f"log in {result.log}",
        err=quiet,
    )


def _images(directory: Path, say: Callable[[str], None]) -> list[Path]:
    """Images to learn from: neither masks nor what onlygood wrote, and that is said."""
    from onlygood.anomaly.data.mask_files import pair  # noqa: PLC0415

    findings = Findings()
    pairs = pair(list(find_images([directory], findings=findings)), directory)
    if others := findings.left_alone():
        say(others)
    for folder in findings.ours:
        say(f"{display(folder)}: passed over, onlygood wrote it")
    for note in pairs.notes:
        say(note)
    if not pairs.images:
        raise OnlygoodError(f"{directory}: no images in it")
    return pairs.images


def _cut_tracks(
    source: Path, tracks: Path, config: "TracksConfig", batch_size: int, progress: bool
) -> "Summary":
    """Cut what moves out of the video into the folder ``tracks``, and say so where that is little."""
    from onlygood.pretrain.video.tracking import extract  # noqa: PLC0415

    shutil.rmtree(tracks, ignore_errors=True)
    found = extract(source, tracks, config, progress)
    advice = "--set tracks.patches=4 --set tracks.every=5, or a shorter tracks.length, finds more"
    if found.tracks < 2:
        raise OnlygoodError(f"{tracks}: one track has no other to be told apart from; {advice}")
    if found.tracks < batch_size:
        typer.echo(f"warning: {found.tracks} tracks do not fill a batch of {batch_size}; {advice}", err=True)
    return found


def _read_labelled(source: Path, spec: "InputSpec", progress: bool) -> "tuple[Tensor, Tensor]":
    """Images uint8 (M, C, H, W) and the numbers (M,) of their classes, in the order of the names."""
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415

    from onlygood.pretrain.data.labels import read_labelled  # noqa: PLC0415
    from onlygood.pretrain.data.store import ImageStore  # noqa: PLC0415
    from onlygood.pretrain.probe.features import read  # noqa: PLC0415

    found = read_labelled(source)
    store = ImageStore.build(found.paths, spec, progress=progress)
    label_of = dict(zip(found.paths, found.labels, strict=True))
    classes = sorted({label_of[path] for path in store.paths})
    numbers = torch.tensor([classes.index(label_of[path]) for path in store.paths])
    return read(store, np.arange(len(store))), numbers
