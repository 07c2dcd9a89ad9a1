"""The encoder with which a training or a detector begins: by name, with weights if there are any."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.published import expected
from onlygood.pretrain.networks.registry import DOWNLOAD, create_encoder
from onlygood.pretrain.networks.timm_models import PREFIX, download
from onlygood.pretrain.networks.weights import Weights, fill, locate, read_weights
from onlygood.pretrain.views.views import Standardize, channels_seen
from onlygood.runtime.errors import OnlygoodError


@dataclass(frozen=True)
class Start:
    """An encoder, how images are to reach it (None: it does not matter), and what was done, in words."""

    encoder: Encoder
    standardize: Standardize | None
    words: tuple[str, ...] = ()
    sha256: str | None = None  # of the file of weights


def start_encoder(
    name: str,
    channels: int,
    *,
    seed: int = 0,
    weights: str | Path | None = None,
    standardize: Standardize | None = None,
) -> Start:
    """An encoder for images of ``channels``; ``standardize`` None is as its weights were trained.

    Gray images reach an encoder of three channels where ImageNet's mean and deviation apply, which differ
    from color to color.

    Raises:
        OnlygoodError: an unknown name, unreadable weights, or those of another network.
    """
    if weights is None:
        return Start(create_encoder(name, channels_seen(channels, standardize), seed=seed), standardize)
    encoder = create_encoder(name, channels, seed=seed)
    found = _download(name) if str(weights) == DOWNLOAD else read_weights(Path(weights))
    trained = found.about.get("standardize")
    if trained not in get_args(Standardize):
        trained = (expected(found.tensors) or encoder.expects) if locate(encoder, found).foreign else None
    way = standardize or trained
    if (seen := channels_seen(channels, way)) != channels:
        encoder = create_encoder(name, seen, seed=seed)
    words = fill(encoder, found)
    if trained and way != trained:
        words.append(f"{found.source}: trained with images standardized as {trained!r}, and given {way!r}")
    elif trained:
        words.append(f"images are standardized as {trained!r}, as they were for these weights")
    return Start(encoder, way, tuple(words), found.sha256)


def _download(name: str) -> Weights:
    if not name.startswith(PREFIX):
        raise OnlygoodError(
            f"--encoder-weights {DOWNLOAD} gets weights of timm's models, such as timm:resnet50; for encoder "
            f"{name!r} give a file"
        )
    return Weights(f"timm's weights of {name}", download(name.removeprefix(PREFIX)), {}, "")
