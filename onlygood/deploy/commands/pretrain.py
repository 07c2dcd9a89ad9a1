"""`onlygood pretrain`: one pretext task on a folder of images, for an encoder alone."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from onlygood.deploy.commands.common import SIDE, calm_openmp, fill_sections, weight_files
from onlygood.deploy.destination import work_folder
from onlygood.deploy.messages import speaker
from onlygood.deploy.options.training import PretrainOptions
from onlygood.deploy.sources import at_hand
from onlygood.pretrain.training.config import TrainConfig
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import Findings, display, find_images, mark_output
from onlygood.runtime.images.notes import counted
from onlygood.runtime.launched import helping

if TYPE_CHECKING:
    from torch import Tensor

    from onlygood.pretrain.tasks.registry import Takes
    from onlygood.pretrain.training.trainer import TrainResult
    from onlygood.runtime.images.spec import InputSpec


def run(options: PretrainOptions) -> int:
    """Train and write the encoder; labels, if the folder has any, are not looked at.

    ``--encoder-weights`` begins with weights, ours or published ones, which ``--steps 0`` only writes anew.
    ``--set training.KEY=…`` changes the training, ``--set task.KEY=…`` the task's options,
    ``--set input.KEY=…`` the size and channels of the images, ``--set tracks.KEY=…`` or
    ``--set motion.KEY=…`` what is cut out of a video. Tasks on video take a video file or a folder of its
    frames. ``--labelled`` is for tasks that learn from a few labels too.
    """
    calm_openmp()
    from onlygood.deploy.summarize import write_pretrain_summary  # noqa: PLC0415
    from onlygood.pretrain.data.cachedir import find_cache  # noqa: PLC0415
    from onlygood.pretrain.data.plan import InputConfig, plan_input  # noqa: PLC0415
    from onlygood.pretrain.data.store import ImageStore, survey_images  # noqa: PLC0415
    from onlygood.pretrain.networks.start import start_encoder  # noqa: PLC0415
    from onlygood.pretrain.networks.weights import save_weights  # noqa: PLC0415
    from onlygood.pretrain.tasks.registry import create_task  # noqa: PLC0415
    from onlygood.pretrain.training.checkpoint import FILE_NAME  # noqa: PLC0415
    from onlygood.pretrain.training.process import Processes  # noqa: PLC0415
    from onlygood.pretrain.training.trainer import train  # noqa: PLC0415

    options = replace(options, quiet=options.quiet or helping())
    say, progress = speaker(quiet=options.quiet), not options.quiet
    directory, output = at_hand(options.directory, say), options.output
    labelled = None if options.labelled is None else at_hand(options.labelled, say)
    takes = _material(options)
    images = find_images([directory] if labelled is None else [directory, labelled])
    work = work_folder(output, None, chain(images, weight_files(options.encoder_weights)))
    sections: dict[str, dict[str, Any]] = {"training": {}, "task": {}, "input": {"side": SIDE}}
    if takes.video:
        sections[takes.value] = {}
    fill_sections(sections, options.overrides)
    config, processes = _training(options, sections["training"]), Processes()
    mark_output(work, "work of a training")
    if takes.video:
        pictures, cut = work / takes.value, {"tracks": _tracks, "motion": _motion}[takes.value]
        with processes.first():
            source = None if (options.resume or processes.rank) and pictures.is_dir() else directory
            how: dict[str, Any] = {"batch_size": config.batch_size, "progress": progress, "say": say}
            side = cut(source, pictures, sections[takes.value], **how)
        directory, sections["input"]["size"] = pictures, [side, 2 * side]
    paths = _images(directory, say)
    size = InputConfig.parse(sections["input"], "--set input")
    spec, words = plan_input(size, survey_images(paths, progress=progress), tile=32, stride=32)
    if note := find_cache().note:
        say(note)
    with processes.first():
        store = ImageStore.build(paths, spec, progress=progress)
    say(f"{len(store)} images, {len(store.bad)} unreadable; {words}")
    for note in counted(note for _, note in store.notes):
        say(note)
    start = start_encoder(
        options.encoder,
        spec.channels,
        seed=config.seed,
        weights=options.encoder_weights,
        standardize=None if size.standardize == "auto" else size.standardize,
    )
    for line in start.words:
        say(line)
    pretext = create_task(
        options.task,
        start.encoder,
        sections["task"],
        start.standardize,
        images=len(store),
        seed=config.seed,
        labelled=_read_labeled(labelled, spec, progress) if labelled is not None else None,
    )
    result = train(
        pretext,
        store,
        config.fitted_to(len(store), say=say),
        work,
        resume=options.resume,
        progress=progress,
        pictured=True,
    )
    processes.only_the_first()
    save_weights(pretext.encoder, output, standardize=pretext.standardize)
    write_pretrain_summary(work, options.task, pretext, store, result)
    (work / FILE_NAME).unlink(missing_ok=True)
    return _told(output, result, quiet=options.quiet)


def _told(output: Path, result: "TrainResult", *, quiet: bool) -> int:
    for warning in result.warnings:
        typer.echo(f"warning: {warning}", err=True)
    how = f"{result.steps} steps in {result.precision} ({result.precision_reason}); log in {result.log}"
    typer.echo(f"wrote {output} {f'after {how}' if result.steps else 'as it began: 0 steps'}", err=quiet)
    return 0


def _training(options: PretrainOptions, changes: dict[str, Any]) -> TrainConfig:
    """What ``--set training`` changes; ``--steps`` and ``--minutes`` win over it."""
    training: dict[str, Any] = {"seed": options.seed, **changes}
    if options.steps is not None or options.minutes is not None:
        training |= {"steps": options.steps, "minutes": options.minutes}
    return TrainConfig.parse(training, "--set training")


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


def _material(options: PretrainOptions) -> "Takes":
    """What the task learns from, as ``--set task`` has it."""
    from onlygood.pretrain.tasks.registry import TASKS, material  # noqa: PLC0415

    TASKS.find(options.task)
    asked: dict[str, dict[str, Any]] = {
        section: {} for section in ("training", "task", "input", "tracks", "motion")
    }
    fill_sections(asked, options.overrides)
    return material(options.task, asked["task"])


def _tracks(
    source: Path | None,
    pictures: Path,
    asked: dict[str, Any],
    *,
    batch_size: int,
    progress: bool,
    say: Callable[[str], None],
) -> int:
    """Cut tracks out of the video, if there is a ``source``; a patch's side."""
    from onlygood.pretrain.video.tracking import TracksConfig, extract  # noqa: PLC0415

    config = TracksConfig.parse(asked, "--set tracks")
    if source is not None:
        shutil.rmtree(pictures, ignore_errors=True)
        found = extract(source, pictures, config, progress)
        advice = "--set tracks.patches=4 --set tracks.every=5, or a shorter tracks.length, finds more"
        if found.tracks < 2:
            raise OnlygoodError(f"{pictures}: one track has no other to be told apart from; {advice}")
        _warn_of_few(found.tracks, "tracks", batch_size, advice)
        say(f"{found.tracks} tracks in {found.frames} frames; {found.skipped} frames are unreadable")
    return config.size


def _motion(
    source: Path | None,
    pictures: Path,
    asked: dict[str, Any],
    *,
    batch_size: int,
    progress: bool,
    say: Callable[[str], None],
) -> int:
    """Cut frames and their masks out of the video, if there is a ``source``; a square's side."""
    from onlygood.pretrain.video.motion import MotionConfig, extract_motion  # noqa: PLC0415

    config = MotionConfig.parse(asked, "--set motion")
    if source is not None:
        shutil.rmtree(pictures, ignore_errors=True)
        found = extract_motion(source, pictures, config, progress)
        advice = "--set motion.every=1, or a wider range motion.moving, finds more"
        _warn_of_few(found.squares, "squares in which something moves", batch_size, advice)
        say(f"{found.squares} squares of {found.frames} frames; {found.skipped} frames are unreadable")
    return config.size


def _warn_of_few(count: int, what: str, batch_size: int, advice: str) -> None:
    if count < batch_size:
        typer.echo(f"warning: {count} {what} do not fill a batch of {batch_size}; {advice}", err=True)


def _read_labeled(source: Path, spec: "InputSpec", progress: bool) -> "tuple[Tensor, Tensor]":
    """Images uint8 ``(M, C, H, W)`` and the numbers ``(M,)`` of their classes, in the order of the names."""
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415

    from onlygood.pretrain.data.labels import read_labeled  # noqa: PLC0415
    from onlygood.pretrain.data.store import ImageStore  # noqa: PLC0415
    from onlygood.pretrain.probe.features import read  # noqa: PLC0415

    found = read_labeled(source)
    store = ImageStore.build(found.paths, spec, progress=progress)
    label_of = dict(zip(found.paths, found.labels, strict=True))
    classes = sorted({label_of[path] for path in store.paths})
    numbers = torch.tensor([classes.index(label_of[path]) for path in store.paths])
    return read(store, np.arange(len(store))), numbers
