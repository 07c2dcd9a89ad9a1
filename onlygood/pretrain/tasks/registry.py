"""Pretext tasks by name: a new task is one new file and one entry here, or an entry point of your package.

Nothing heavy is imported until a task is made, so that ``onlygood tasks`` answers at once.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from onlygood.pretrain.tasks.entry import Takes, TaskEntry
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from onlygood.pretrain.networks.base import Encoder
    from onlygood.pretrain.tasks.base import Task
    from onlygood.pretrain.views.views import Standardize

__all__ = ["TASKS", "Takes", "TaskEntry", "build_task", "create_task", "material"]

_HERE = "onlygood.pretrain.tasks"

_OWN = {
    "rotation": TaskEntry(
        f"{_HERE}.rotation:Rotation",
        "RotNet, Gidaris et al. 2018",
        "objects with an upright pose",
        cost=1.0,
        turns=True,
    ),
    "geometric": TaskEntry(
        f"{_HERE}.geometric:Geometric",
        "GEOM, Golan & El-Yaniv 2018",
        "small images of one object; 72 transforms by default",
        cost=2.0,
        turns=True,
    ),
    "multi-head-rotation": TaskEntry(
        f"{_HERE}.multi_head_rotation:MultiHeadRotation",
        "Hendrycks et al. 2019",
        "as geometric, with a small head for turns and one for each direction of shifts",
        cost=2.0,
        turns=True,
    ),
    "goad": TaskEntry(
        f"{_HERE}.goad:GOAD",
        "GOAD, Bergman & Hoshen 2020",
        "as geometric, with the copies of one transform gathered around a center",
        cost=2.0,
        turns=True,
    ),
    "relative-location": TaskEntry(
        f"{_HERE}.relative_location:RelativeLocation",
        "Doersch et al. 2015",
        "objects of parts; images of 96 px and more",
        cost=0.7,
    ),
    "patch-svdd": TaskEntry(
        f"{_HERE}.patch_svdd:PatchSVDD",
        "Patch SVDD, Yi & Yoon 2020",
        "local defects of objects and surfaces; images of three patches a side, 96 px by default",
        cost=0.3,
    ),
    "jigsaw": TaskEntry(
        f"{_HERE}.jigsaw:Jigsaw",
        "Noroozi & Favaro 2016",
        "objects of parts; images of 96 px and more",
        cost=0.4,
    ),
    "damaged-jigsaw": TaskEntry(
        f"{_HERE}.damaged_jigsaw:DamagedJigsaw",
        "Kim et al. 2018",
        "as jigsaw, with more to learn from each image",
        cost=0.7,
    ),
    "exemplar": TaskEntry(
        f"{_HERE}.exemplar:Exemplar",
        "Exemplar-CNN, Dosovitskiy et al. 2014",
        "up to some ten thousand images that differ in shape or texture",
        cost=0.4,
        takes=Takes.COUNT,
    ),
    "exemplar-triplet": TaskEntry(
        f"{_HERE}.exemplar_triplet:ExemplarTriplet",
        "Kolesnikov et al. 2019, after Doersch & Zisserman 2017",
        "as exemplar, for more images than a classifier can have rows",
        cost=1.1,
    ),
    "counting": TaskEntry(
        f"{_HERE}.counting:Counting",
        "Noroozi et al. 2017",
        "scenes of many things; images of 64 px and more",
        cost=0.5,
    ),
    "denoising": TaskEntry(
        f"{_HERE}.denoising:Denoising",
        "Denoising autoencoder, Vincent et al. 2008",
        "textures; the cheapest reconstruction",
        cost=0.5,
    ),
    "context-encoder": TaskEntry(
        f"{_HERE}.context_encoder:ContextEncoder",
        "Context encoder, Pathak et al. 2016",
        "layouts that repeat",
        cost=0.5,
    ),
    "colorization": TaskEntry(
        f"{_HERE}.colorization:Colorization",
        "Zhang et al. 2016",
        "natural images whose colours follow from what they show",
        cost=0.5,
        needs="colour images",
    ),
    "split-brain": TaskEntry(
        f"{_HERE}.split_brain:SplitBrain",
        "Zhang et al. 2017",
        "as colorization, without losing the colours",
        cost=0.6,
        needs="colour images; the encoder split-small",
    ),
    "instance-discrimination": TaskEntry(
        f"{_HERE}.instance_discrimination:InstanceDiscrimination",
        "Wu et al. 2018",
        "general features; a few thousand images",
        cost=0.4,
        takes=Takes.COUNT,
    ),
    "simclr": TaskEntry(
        f"{_HERE}.simclr:SimCLR", "SimCLR, Chen et al. 2020", "general features; large batches", cost=0.6
    ),
    "contrastive-da": TaskEntry(
        f"{_HERE}.contrastive_da:ContrastiveDA",
        "DROC, Sohn et al. 2021",
        "one-class features of objects with an upright pose",
        cost=2.1,
        turns=True,
    ),
    "csi": TaskEntry(
        f"{_HERE}.csi:CSI",
        "CSI, Tack et al. 2020",
        "one-class features of objects with an upright pose",
        cost=2.0,
        turns=True,
    ),
    "moco": TaskEntry(
        f"{_HERE}.moco:MoCo", "He et al. 2020, Chen et al. 2020", "general features; small batches", cost=0.7
    ),
    "pirl": TaskEntry(
        f"{_HERE}.pirl:PIRL",
        "Misra & van der Maaten 2020",
        "features that ignore how parts are arranged",
        cost=0.8,
        takes=Takes.COUNT,
    ),
    "byol": TaskEntry(
        f"{_HERE}.byol:BYOL", "Grill et al. 2020", "general features; small batches, no negatives", cost=0.9
    ),
    "simsiam": TaskEntry(
        f"{_HERE}.simsiam:SimSiam",
        "Chen & He 2021",
        "general features; the simplest without negatives",
        cost=0.7,
    ),
    "barlow-twins": TaskEntry(
        f"{_HERE}.barlow_twins:BarlowTwins",
        "Zbontar et al. 2021",
        "general features; no negatives, no second network",
        cost=0.8,
    ),
    "vicreg": TaskEntry(
        f"{_HERE}.vicreg:VICReg", "Bardes et al. 2022", "general features; each term can be watched", cost=0.9
    ),
    "deepcluster": TaskEntry(
        f"{_HERE}.deepcluster:DeepCluster",
        "Caron et al. 2018",
        "images of several kinds",
        cost=0.3,
        takes=Takes.COUNT,
    ),
    "deepcluster-v2": TaskEntry(
        f"{_HERE}.deepcluster_v2:DeepClusterV2",
        "in the paper of SwAV, Caron et al. 2020",
        "images of several kinds; steadier than the first",
        cost=0.6,
        takes=Takes.COUNT,
    ),
    "deepercluster": TaskEntry(
        f"{_HERE}.deeper_cluster:DeeperCluster",
        "Caron et al. 2019",
        "images of several kinds with an upright pose",
        cost=1.0,
        takes=Takes.COUNT,
        turns=True,
    ),
    "jule": TaskEntry(
        f"{_HERE}.jule:JULE",
        "JULE, Yang et al. 2016",
        "images of several kinds; up to some ten thousand",
        cost=0.6,
        takes=Takes.COUNT,
    ),
    "sela": TaskEntry(
        f"{_HERE}.sela:SeLa",
        "Asano et al. 2020",
        "images of several kinds, about equally many of each",
        cost=0.3,
        takes=Takes.COUNT,
    ),
    "swav": TaskEntry(
        f"{_HERE}.swav:SwAV", "Caron et al. 2020", "general features; small batches, several crops", cost=1.0
    ),
    "pcl": TaskEntry(
        f"{_HERE}.pcl:PCL",
        "Li et al. 2021",
        "images of several kinds; contrast and clusters together",
        cost=0.5,
        takes=Takes.COUNT,
    ),
    "mae": TaskEntry(
        f"{_HERE}.mae:MAE",
        "Masked autoencoder, He et al. 2022",
        "transformers and long training",
        cost=2.9,
        needs="an encoder vit-tiny-4 or vit-tiny-8",
    ),
    "selfie": TaskEntry(
        f"{_HERE}.selfie:Selfie",
        "Selfie, Trinh et al. 2019",
        "objects of parts; images of 64 px and more",
        cost=1.7,
    ),
    "multi-task": TaskEntry(
        f"{_HERE}.multi_task:Multi",
        "Doersch & Zisserman 2017",
        "features that no single task gives; choose the parts",
        cost=1.6,
        takes=Takes.COUNT,
    ),
    "rotation-decoupling": TaskEntry(
        f"{_HERE}.rotation_decoupling:RotationDecoupling",
        "Feng et al. 2019",
        "objects of which some have an upright pose and some look the same turned",
        cost=1.1,
        takes=Takes.COUNT,
        turns=True,
    ),
    "s4l": TaskEntry(
        f"{_HERE}.s4l:S4L",
        "S4L, Zhai et al. 2019",
        "images of several kinds, of which a few have labels",
        cost=2.0,
        needs="some labelled images (--labelled)",
        takes=Takes.LABELS,
        turns=True,
    ),
    "video-triplet": TaskEntry(
        f"{_HERE}.video_triplet:VideoTriplet",
        "Wang & Gupta 2015",
        "moving parts, learnt from video",
        cost=0.6,
        needs="a video, or a folder of its frames",
        takes=Takes.TRACKS,
    ),
    "motion-segmentation": TaskEntry(
        f"{_HERE}.motion_segmentation:MotionSegmentation",
        "Pathak et al. 2017, and in Doersch & Zisserman 2017",
        "things that can move, learned from video",
        cost=0.3,
        needs="a video, or a folder of its frames",
        takes=Takes.MOTION,
    ),
    "cutpaste": TaskEntry(
        f"{_HERE}.cutpaste:CutPaste", "CutPaste, Li et al. 2021", "local defects of objects", cost=0.8
    ),
    "defects": TaskEntry(
        f"{_HERE}.defects:Defects",
        "in the line of CutPaste and NSA, Schlüter et al. 2022",
        "local defects of surfaces",
        cost=0.4,
    ),
    "defect-maps": TaskEntry(
        f"{_HERE}.defect_maps:DefectMaps",
        "in the line of DRAEM, Zavrtanik et al. 2021, and NSA",
        "local defects of surfaces and objects, small and large; says where they are",
        cost=0.5,
    ),
    "nsa": TaskEntry(
        f"{_HERE}.nsa:NSA",
        "Natural synthetic anomalies, Schlüter et al. 2022",
        "defects that look like parts of good images; says where they are",
        cost=0.5,
    ),
    "draem": TaskEntry(
        f"{_HERE}.draem:DRAEM",
        "Zavrtanik et al. 2021",
        "surfaces and aligned objects; restores what it finds, and says where it is",
        cost=0.9,
    ),
    "svdd": TaskEntry(
        f"{_HERE}.svdd:SVDD",
        "Deep SVDD, Ruff et al. 2018",
        "comparison; one-class features without a pretext task",
        cost=0.5,
    ),
    "frozen": TaskEntry(
        f"{_HERE}.frozen:Frozen",
        "no training, as in PatchCore, Roth et al. 2022",
        "an encoder with weights of others, as it is; with training.steps=0",
        needs="weights (--encoder-weights)",
    ),
}

TASKS: Registry[TaskEntry] = Registry("onlygood.tasks", "pretext task", _OWN)


def material(name: str, options: Mapping[str, Any]) -> Takes:
    """What a task with these options is made of: joined tasks are made of a video where one of them is.

    Raises:
        OnlygoodError: an unknown name or key, or tasks that want different things of a video.
    """
    entry = TASKS.find(name)
    if "parts" not in options:
        return entry.takes
    config = entry.config().parse(dict(options), f"options of task {name!r}")
    found = {part.name: material(part.name, part.options) for part in getattr(config, "parts", [])}
    videos = {takes for takes in found.values() if takes.video}
    if len(videos) > 1:
        names = " and ".join(repr(part) for part, takes in found.items() if takes.video)
        raise OnlygoodError(f"{name} cannot join {names}: they take different parts of a video")
    return videos.pop() if videos else entry.takes


def create_task(
    name: str,
    encoder: "Encoder",
    options: Mapping[str, Any],
    standardize: "Standardize | None" = None,
    *,
    images: int,
    seed: int,
    labelled: "tuple[Tensor, Tensor] | None" = None,
) -> "Task":
    """``build_task`` with initial weights that follow from ``seed`` alone."""
    import torch  # noqa: PLC0415

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_task(name, encoder, options, standardize, images=images, labelled=labelled)


def build_task(
    name: str,
    encoder: "Encoder",
    options: Mapping[str, Any],
    standardize: "Standardize | None" = None,
    *,
    images: int,
    labelled: "tuple[Tensor, Tensor] | None" = None,
) -> "Task":
    """A task by name; ``options`` are its config's keys.

    ``standardize`` None is the task's own default. ``images`` is the number of training images, or more:
    tasks that remember each image make room for so many. ``labelled`` are uint8 images ``(M, C, H, W)`` and
    their classes ``(M,)``.

    Raises:
        OnlygoodError: an unknown name or key, and the nearest is named; labels missing, or of no use.
    """
    entry = TASKS.find(name)
    if entry.takes is Takes.LABELS and labelled is None:
        raise OnlygoodError(
            f"task {name!r} learns from a few labelled images too: give `onlygood pretrain --labelled DIR`, "
            "where DIR holds a folder a class"
        )
    if entry.takes is not Takes.LABELS and labelled is not None:
        raise OnlygoodError(f"task {name!r} has no use for labelled images")
    arguments: dict[str, Any] = {} if standardize is None else {"standardize": standardize}
    if entry.takes is Takes.COUNT:
        arguments["images"] = images
    if entry.takes is Takes.LABELS:
        arguments["labelled"] = labelled
    config = entry.config().parse(dict(options), f"options of task {name!r}")
    task: Task = entry.task()(encoder, config, **arguments)
    return task
