"""Names in published weights: where an encoder's tensors lie in a file, and what else the file holds.

Files differ in wrappers (``state_dict``, ``teacher``), in what stands before the names of an encoder
(``module.encoder_q.``, ``backbone.``) and in what lies beside it (projection heads, momentum copies, an
optimizer). So nothing of this is listed: the beginning is searched under which every tensor is found.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from onlygood.pretrain.views.views import Standardize

Names = Mapping[str, str]  # names of our parts, and what they are called in a file

OWN: Names = {"": ""}  # files of our own
_RESNET = {"blocks.0.0.0": "conv1", "blocks.0.0.1": "bn1", "blocks.0.1": "layer1"}
_RESNET |= {f"blocks.{stage}": f"layer{stage + 1}" for stage in (1, 2, 3)}
# A ResNet as a Sequential of its children, with and without pooling.
_NUMBERS = {"conv1": 0, "bn1": 1, **{f"layer{stage}": 3 + stage for stage in (1, 2, 3, 4)}}
_UNPOOLED = {name: number - 1 if number > 1 else number for name, number in _NUMBERS.items()}
RESNET: tuple[Names, ...] = (
    _RESNET,
    *({ours: str(numbers[name]) for ours, name in _RESNET.items()} for numbers in (_NUMBERS, _UNPOOLED)),
)

_COPY = re.compile(r"(^|\.)(encoder_k|key|student|(momentum|target|ema)[^.]*)\.")
_COUNTER = "num_batches_tracked"  # of a batch norm; old files have none, and a fixed momentum needs none

# What a part of a file is, by its name; the first that fits.
_KINDS = (
    (r"encoder_k|key|momentum.*|target.*|ema.*|teacher.*", "momentum copy"),
    (r"student.*", "student"),
    (r"optim.*|.*scheduler.*|scaler|amp.*", "state of the training"),
    (r"queue.*|.*memory.*|center|dino_loss", "state of the loss"),
    (r"prototypes.*", "prototypes"),
    (r".*predictor.*", "predictor"),
    (r".*proj.*|.*head.*|.*expander.*|heads|embedding", "head"),
    (r"_?fc|.*classifier.*|linear", "head"),
)

_EFFICIENTNET = "efficientnet_pytorch"
# Whose layout it is, by a name in it; the first that fits.
_LAYOUTS = (
    (r"(^|\.)encoder_q\.", "MoCo"),
    (r"(^|\.)base_encoder\.", "MoCo v3"),
    (r"(^|\.)(prototypes|projection_head)\.", "SwAV"),
    (r"(^|\.)(teacher|student)\.", "DINO"),
    (r"(^|\.)(online|target)_\w+\.", "BYOL"),
    (r"(^|\.)_feature_blocks\.", "VISSL"),
    (r"(^|\.)convnet\.", "SimCLR"),
    (r"(^|\.)backbone\..*\n(.*\n)*(.*\.)?projector\.", "Barlow Twins or VICReg"),
    (r"(^|\.)_blocks\.\d+\._depthwise_conv", _EFFICIENTNET),
)


def mobilenet(cuts: Sequence[tuple[int, int]]) -> Names:
    """Names of torchvision's MobileNets, whose ``features`` are cut into stages at ``cuts``."""
    return {
        f"blocks.{stage}.{index - first}": f"features.{index}"
        for stage, (first, end) in enumerate(cuts)
        for index in range(first, end)
    }


def theirs(name: str, names: Names) -> str | None:
    """What a tensor of ours is called in a file."""
    for ours, other in names.items():
        if not ours or name == ours or name.startswith(f"{ours}."):
            return f"{other}{name[len(ours) :]}".removeprefix(".")
    return None


@dataclass(frozen=True)
class Place:
    """Where an encoder's tensors lie in a file: under ``prefix``, by ``names``."""

    names: Names
    prefix: str
    keys: dict[str, str]  # from our names to the file's
    missing: tuple[str, ...]  # names of the file's kind that it lacks

    @property
    def foreign(self) -> bool:
        """Whether the file's names are not our own."""
        return self.names is not OWN

    def beyond(self, tensors: Collection[str]) -> str | None:
        """A tensor that the encoder lacks, though it has others of that part: it is not the same network.

        A ResNet-101 has all that a ResNet-50 has, and more.
        """
        parts = {self._rest(key).partition(".")[0] for key in self.keys.values()}
        taken = set(self.keys.values())
        for key in tensors:
            if not key.startswith(self.prefix) or key in taken or key.endswith(_COUNTER):
                continue
            if not self.foreign or self._rest(key).partition(".")[0] in parts:
                return key
        return None

    def _rest(self, key: str) -> str:
        return key[len(self.prefix) :]


def find_place(tensors: Collection[str], wanted: Collection[str], ways: Sequence[Names]) -> Place:
    """Where most of the tensors ``wanted`` lie among ``tensors``, by one of the ``ways`` to call them.

    Of several whole sets the one is taken that others use: MoCo's query encoder, BYOL's online network,
    DINO's teacher.
    """
    known, usual = set(tensors), ways[-1] if len(ways) == 1 else ways[1]
    called_usually = tuple(filter(None, (theirs(name, usual) for name in wanted)))
    best, best_rank = Place(usual, "", {}, called_usually), (0, False, 0)
    for names in ways:
        called = {other: name for name in wanted if (other := theirs(name, names)) is not None}
        needed = [other for other in called if not other.endswith(_COUNTER)]
        for prefix in _prefixes(tensors, needed):
            found = {name: prefix + other for other, name in called.items() if prefix + other in known}
            missing = tuple(prefix + other for other in needed if prefix + other not in known)
            rank = (len(needed) - len(missing), not _COPY.search(prefix), -len(prefix))
            if rank > best_rank:
                best, best_rank = Place(names, prefix, found, missing), rank
    return best


def _prefixes(tensors: Collection[str], needed: Collection[str]) -> list[str]:
    """Beginnings of names of ``tensors`` after which most of those ``needed`` follow."""
    counts: Counter[str] = Counter()
    wanted = set(needed)
    for key in tensors:
        starts = [0, *(match.end() for match in re.finditer(r"\.", key))]
        counts.update(key[:start] for start in starts if key[start:] in wanted)
    most = max(counts.values(), default=0)
    return [prefix for prefix, count in counts.items() if count == most]


def layout(tensors: Collection[str]) -> str | None:
    """Whose way of naming it is, where a name tells."""
    lines = "\n".join(tensors)
    return next((name for pattern, name in _LAYOUTS if re.search(pattern, lines, re.MULTILINE)), None)


def expected(tensors: Collection[str]) -> Standardize | None:
    """How images reached the network, where the layout tells: it does for self-supervised methods."""
    return "imagenet" if layout(tensors) not in (None, _EFFICIENTNET) else None


def left_out(tensors: Mapping[str, Tensor], place: Place) -> list[str]:
    """What a file holds beside the encoder, a phrase for each part."""
    taken = set(place.keys.values())
    parts: defaultdict[str, list[Tensor]] = defaultdict(list)
    for key, value in tensors.items():
        if key not in taken and not (key.startswith(place.prefix) and key.endswith(_COUNTER)):
            parts[_part(key, place.prefix)].append(value)
    return [_phrase(name, values) for name, values in parts.items()]


def _part(key: str, prefix: str) -> str:
    """The first component of a name that is not the encoder's too."""
    ours = prefix.split(".")
    for depth, component in enumerate(key.split(".")):
        if depth >= len(ours) - 1 or component != ours[depth]:
            return component
    return key


def _phrase(name: str, values: list[Tensor]) -> str:
    """Such as ``the head fc of 1000 outputs (2 tensors)``."""
    kind = next((word for pattern, word in _KINDS if re.fullmatch(pattern, name)), None)
    flat = [value for value in values if value.ndim == 2]
    outputs = f" of {len(flat[-1])} outputs" if kind == "head" and flat else ""
    count = f"{len(values)} tensor{'s' if len(values) > 1 else ''}"
    what = f"the {kind} " if kind and kind != name else "the " if kind else ""
    return f"{what}{name}{outputs} ({count})"


def describe(tensors: Mapping[str, Tensor]) -> str:
    """What a file looks like it is the weights of."""
    if not tensors:
        return "nothing: there are no tensors in it"
    for pattern, words in (
        (r"layer\d\.(\d+)\.conv\d\.weight$", _resnet),
        (r"patch_embed\.proj\.weight$", _transformer),
    ):
        if any(re.search(pattern, key) for key in tensors):
            return words(tensors)
    for pattern, name in (
        (r"(^|\.)_blocks\.\d", "an EfficientNet of efficientnet_pytorch"),
        (r"(^|\.)conv_stem\.weight", "an EfficientNet or a MobileNet of timm"),
        (r"(^|\.)features\.0\.0\.weight", "a MobileNet or another network of torchvision with features"),
        (r"^(encoder\.)?blocks\.0\.", "another encoder of onlygood"),
    ):
        if any(re.search(pattern, key) for key in tensors):
            return name
    return f"something whose tensors are named {', '.join(list(tensors)[:3])} …"


_DEPTHS: dict[tuple[int, ...], tuple[int, int]] = {
    (2, 2, 2, 2): (18, 0),
    (3, 4, 6, 3): (34, 50),
    (3, 4, 23, 3): (0, 101),
    (3, 8, 36, 3): (0, 152),
}


def _resnet(tensors: Mapping[str, Tensor]) -> str:
    """By the number of blocks in each stage, and whether they have a third convolution."""
    found = {
        (int(match[1]), int(match[2])): value
        for key, value in tensors.items()
        if (match := re.search(r"layer(\d)\.(\d+)\.conv2\.weight$", key))
    }
    blocks = tuple(max((b for s, b in found if s == stage), default=-1) + 1 for stage in (1, 2, 3, 4))
    deep = any(re.search(r"layer1\.0\.conv3\.weight$", key) for key in tensors)
    depth = _DEPTHS.get(blocks, (0, 0))[deep]
    width = len(found[1, 0]) // 64 if (1, 0) in found else 1
    number = f"-{depth}" if depth else f" with {'+'.join(map(str, blocks))} blocks"
    return f"a {'wide ' if deep and width > 1 else ''}ResNet{number}"


def _transformer(tensors: Mapping[str, Tensor]) -> str:
    """By the embedding of patches, and the number of blocks."""
    weight = next(value for key, value in tensors.items() if key.endswith("patch_embed.proj.weight"))
    numbers = [int(match[1]) for key in tensors if (match := re.search(r"blocks\.(\d+)\.", key))]
    return (
        f"a vision transformer of {len(weight)} features and {max(numbers, default=-1) + 1} blocks "
        f"for patches of {weight.shape[-1]} px"
    )
