"""Encoders by name: a new one is a function and one entry here, or an entry point of your package."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from onlygood.runtime.registry import Entry, Registry

if TYPE_CHECKING:
    from onlygood.pretrain.networks.base import Encoder


@dataclass(frozen=True)
class EncoderEntry(Entry):
    """Where an encoder is (``module:function``), and what it is for.

    The function maps the number of channels to an `Encoder` whose ``name`` is the entry's.
    """

    good_for: str


DOWNLOAD = "download"  # in the place of a file of weights: what timm has for its model

_HERE = "onlygood.pretrain.networks"

_OWN = {
    "small": EncoderEntry(f"{_HERE}.encoders:small", "CPUs; tiles of 32 to 96 px"),
    "lenet": EncoderEntry(f"{_HERE}.encoders:lenet", "Deep SVDD"),
    "small-32": EncoderEntry(f"{_HERE}.encoders:small_32", "CPUs; images of about 32 px"),
    "resnet18-32": EncoderEntry(f"{_HERE}.encoders:resnet18_small_stem", "32 to 64 px"),
    "resnet18": EncoderEntry(f"{_HERE}.encoders:resnet18", "96 px and more"),
    "wide-resnet50": EncoderEntry(f"{_HERE}.encoders:wide_resnet50", "PatchCore and PaDiM, with weights"),
    "wrn16-4": EncoderEntry(f"{_HERE}.encoders:wide_resnet", "32 px"),
    "resnet50": EncoderEntry(f"{_HERE}.encoders:resnet50", "96 px and more, on a GPU"),
    "mobilenet-v3": EncoderEntry(f"{_HERE}.encoders:mobilenet_v3", "small boards; 96 px and more"),
    "vit-tiny-4": EncoderEntry(f"{_HERE}.encoders:vit_tiny_4", "masked autoencoders; 32 px"),
    "vit-tiny-8": EncoderEntry(f"{_HERE}.encoders:vit_tiny_8", "masked autoencoders; 64 px and more"),
    "split-small": EncoderEntry(f"{_HERE}.split:split_small", "split-brain autoencoders; color images"),
}

ENCODERS: Registry[EncoderEntry] = Registry("onlygood.encoders", "encoder", _OWN)


def create_encoder(name: str, channels: int = 3, *, seed: int = 0, weights: Path | None = None) -> "Encoder":
    """An encoder by name or a model of timm (``timm:NAME``), initialized from ``seed`` or from a file.

    Raises:
        OnlygoodError: an unknown name, and the nearest is named; weights of another network.
    """
    import torch  # noqa: PLC0415 - names can be checked without

    from onlygood.pretrain.networks import timm_models  # noqa: PLC0415
    from onlygood.pretrain.networks.weights import load_weights  # noqa: PLC0415

    build: Callable[[int], Encoder]
    if name.startswith(timm_models.PREFIX):
        build = partial(timm_models.build, name.removeprefix(timm_models.PREFIX))
    else:
        build = ENCODERS.find(name).load()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = build(channels)
    if weights is not None:
        load_weights(encoder, weights)
    return encoder
