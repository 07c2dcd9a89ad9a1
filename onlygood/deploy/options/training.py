"""What the commands take that train, and those before: `fit`, `doctor`, `pretrain`, `tasks`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from onlygood.deploy.options.shared import (
    AllGood,
    EncoderName,
    EncoderWeights,
    Engine,
    EngineName,
    ExcludeList,
    GoodDir,
    Groups,
    Ignore,
    Json,
    Minutes,
    Options,
    Overrides,
    Quiet,
    Rate,
    RayAddress,
    Recipe,
    ResumeTraining,
    Roi,
    Seed,
    Steps,
)
from onlygood.runtime.limits import MOST_THREADS


@dataclass(frozen=True, kw_only=True)
class FitOptions(Options):
    """Learn from a folder of good images and write one model file."""

    good_dir: GoodDir
    output: Annotated[
        Path | None,
        Option(
            "-o", "--output", help="Model file to write. Default: model.onnx; with --each the folder models."
        ),
    ] = None
    each: Annotated[
        bool, Option("--each", help="A model for each folder in GOOD_DIR, written into the folder of -o.")
    ] = False
    jobs: Annotated[
        int | None,
        Option(
            "--jobs",
            min=1,
            max=MOST_THREADS,
            help="--each: models at once. Default: 1, on Ray as many as have a CPU.",
        ),
    ] = None
    engine: EngineName = Engine.LOCAL
    ray_address: RayAddress = None
    recipe: Recipe = None
    encoder: EncoderName = None
    encoder_weights: EncoderWeights = None
    minutes: Minutes = None
    steps: Steps = None
    max_false_alarms: Rate = None
    seed: Seed = 0
    resume: ResumeTraining = False
    work: Annotated[
        Path | None, Option("--work", metavar="DIR", help="Folder of checkpoints, logs and decoded images.")
    ] = None
    overrides: Overrides = None
    all_good: AllGood = False
    groups: Groups = None
    roi: Roi = None
    ignore: Ignore = None
    exclude: ExcludeList = None
    drop_suspicious: Annotated[
        bool, Option("--drop-suspicious", help="Learn nothing from images that look out of place.")
    ] = False
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(Options):
    """Examine good images and the network that would learn from them, before `fit`."""

    good_dir: GoodDir
    recipe: Recipe = None
    encoder: EncoderName = None
    encoder_weights: EncoderWeights = None
    max_false_alarms: Rate = None
    data_only: Annotated[bool, Option("--data-only", help="Examine the images alone.")] = False
    sheet: Annotated[
        Path | None,
        Option("--sheet", metavar="PNG", help="Draw the images that look most out of place here."),
    ] = None
    overrides: Overrides = None
    all_good: AllGood = False
    groups: Groups = None
    roi: Roi = None
    ignore: Ignore = None
    exclude: ExcludeList = None
    seed: Seed = 0
    json: Json = False
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class PretrainOptions(Options):
    """Train an encoder by one pretext task, without a detector."""

    task: Annotated[str, Argument(metavar="TASK", help="Pretext task, e.g. rotation.")]
    directory: Annotated[
        Path, Argument(metavar="DIR", help="Folder of images; for tasks on video also a video.")
    ]
    output: Annotated[Path, Option("-o", "--output", help="Encoder file to write.")] = Path(
        "encoder.safetensors"
    )
    encoder: Annotated[str, Option("--encoder", help="Encoder by name, or timm:NAME.")] = "small"
    encoder_weights: EncoderWeights = None
    labelled: Annotated[
        Path | None,
        Option("--labelled", metavar="DIR", help="For s4l: labeled images, a folder a class, or a CSV list."),
    ] = None
    steps: Steps = None
    minutes: Minutes = None
    seed: Seed = 0
    resume: ResumeTraining = False
    overrides: Overrides = None
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class TasksOptions(Options):
    """List the pretext tasks, with their papers and what each is good for."""

    json: Json = False


@dataclass(frozen=True, kw_only=True)
class RecipesOptions(Options):
    """List the recipes, first ours, then those of papers; or print one, to be changed and given to `fit`."""

    name: Annotated[
        str | None,
        Argument(metavar="[RECIPE]", help="Print this one as YAML, with all defaults; a name or a file."),
    ] = None
    json: Json = False
