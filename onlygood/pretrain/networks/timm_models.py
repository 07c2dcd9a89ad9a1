"""Encoders of the package timm, ``timm:NAME``, built without weights: nothing is downloaded unasked."""

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.published import Names
from onlygood.pretrain.views.views import Standardize
from onlygood.runtime.errors import OnlygoodError

PREFIX = "timm:"
_GROUPS = 4  # stages of a transformer, whose blocks all give maps of one size
_EXPECTED: dict[tuple[float, ...], Standardize] = {(0.5,) * 6: "unit"}  # mean and deviation; else "imagenet"


class TimmEncoder(Encoder):
    """A model of timm without its head; a stage ends where its resolution halves.

    A transformer has the last block of each quarter of its blocks, normalized as its last one, without class
    and register tokens; its positions are interpolated where images have another size than it was made for.
    Pixels beyond the last whole patch are not seen.
    """

    def __init__(self, name: str, channels: int, net: Any) -> None:
        every = [(part["num_chs"], part["reduction"]) for part in _info(net)]
        alike = len({stride for _, stride in every}) == 1 and len(every) > _GROUPS  # a plain transformer
        step = math.ceil(len(every) / _GROUPS) if alike else 1
        chosen = sorted({min(at, len(every)) - 1 for at in range(step, len(every) + step, step)})
        dims, strides = zip(*(every[at] for at in chosen), strict=True)
        super().__init__(f"{PREFIX}{name}", channels, [], list(dims), strides[-1])
        net.prune_intermediate_layers(chosen)
        self.net = net
        self.chosen = chosen
        self.patch = strides[-1] if alike else 1
        self.published = ({"net": ""}, *_other_names(net))
        config = net.pretrained_cfg
        self.expects = _EXPECTED.get((*config["mean"], *config["std"]), "imagenet")

    def stages(self, x: Tensor) -> list[Tensor]:
        """Maps ``(N, D_i, H_i, W_i)`` after each stage.

        Raises:
            OnlygoodError: the model takes images of one size only.
        """
        height, width = (side // self.patch * self.patch for side in x.shape[2:])
        if (height, width) != x.shape[2:]:
            x = x[:, :, :height, :width]
        try:
            maps: list[Tensor] = self.net.forward_intermediates(
                x,
                indices=self.chosen,
                norm=True,
                output_fmt="NCHW",
                intermediates_only=True,
            )
        except AssertionError as error:
            size = self.net.pretrained_cfg["input_size"][1:]
            raise OnlygoodError(
                f"{self.name} does not take images of {width}×{height}, perhaps only of {size[1]}×{size[0]}; "
                f"see --set input.size ({error})"
            ) from error
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(N, D)``: the last map averaged over space."""
        return self.stages(x)[-1].mean(dim=(2, 3))

    def adapt(self, name: str, value: Tensor) -> tuple[Tensor, str] | None:
        """Also positions of another number of patches."""
        wanted = self.state_dict()[name]
        if name != "net.pos_embed" or value.ndim != 3 or value.shape[2] != wanted.shape[2]:
            return super().adapt(name, value)
        from timm.layers.pos_embed import resample_abs_pos_embed  # noqa: PLC0415

        before = 0 if self.net.no_embed_class else self.net.num_prefix_tokens
        old, new = (math.isqrt(count.shape[1] - before) for count in (value, wanted))
        if old**2 + before != value.shape[1]:
            return None
        moved: Tensor = resample_abs_pos_embed(value.float(), [new, new], [old, old], before)
        return moved, f"positions of {old}×{old} patches interpolated to {new}×{new}"

    def objection(self, prefix: str, tensors: Mapping[str, Tensor]) -> str | None:
        """MoCo v3's ViT-Small has 12 heads, timm's 6; no tensor shows it."""
        block = next(iter(getattr(self.net, "blocks", [])), None)
        heads = getattr(getattr(block, "attn", None), "num_heads", None)
        if "base_encoder." in prefix and self.dim == 384 and heads == 6:
            return "MoCo v3's ViT-Small attends with 12 heads and this one with 6, which gives other features"
        return None


def _info(net: Any) -> list[dict[str, Any]]:
    info = net.feature_info
    return info if isinstance(info, list) else list(info.info)


def _other_names(net: nn.Module) -> list[Names]:
    """What efficientnet_pytorch calls an EfficientNet's parts; it counts blocks through all stages."""
    blocks = [
        (f"net.blocks.{stage}.{index}", block)
        for stage, group in enumerate(getattr(net, "blocks", []))
        for index, block in enumerate(group if isinstance(group, nn.Sequential) else [])
    ]
    if not blocks or not hasattr(net, "conv_stem"):
        return []
    names = {"net.conv_stem": "_conv_stem", "net.bn1": "_bn0"}
    for number, (ours, block) in enumerate(blocks):
        parts = {"conv_dw": "_depthwise_conv", "se.conv_reduce": "_se_reduce", "se.conv_expand": "_se_expand"}
        if hasattr(block, "conv_pwl"):
            parts |= {"conv_pw": "_expand_conv", "bn1": "_bn0", "bn2": "_bn1"}
            parts |= {"conv_pwl": "_project_conv", "bn3": "_bn2"}
        else:
            parts |= {"bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
        names |= {f"{ours}.{part}": f"_blocks.{number}.{other}" for part, other in parts.items()}
    return [names]


def build(name: str, channels: int) -> TimmEncoder:
    """The model ``name`` of timm with random weights.

    Raises:
        OnlygoodError: timm is not installed, has no such model, or one that gives no maps.
    """
    return TimmEncoder(name, channels, _create(name, in_chans=channels))


def download(name: str) -> dict[str, Tensor]:
    """The weights that timm has for its model ``name``, from where timm gets them.

    Raises:
        OnlygoodError: there are none, or they cannot be had.
    """
    try:
        net = _create(name, pretrained=True)
    except OnlygoodError:
        raise
    except Exception as error:  # whatever a hub's client raises
        raise OnlygoodError(
            f"the weights of {PREFIX}{name} cannot be downloaded ({str(error).partition(chr(10))[0]}); "
            "--encoder-weights FILE takes them from a file"
        ) from error
    state: dict[str, Tensor] = net.state_dict()
    return state


def _create(name: str, *, pretrained: bool = False, **options: Any) -> Any:
    try:
        import timm  # noqa: PLC0415
    except ImportError:
        raise OnlygoodError(
            f"encoder '{PREFIX}{name}' needs the package timm: pip install 'onlygood[timm]'"
        ) from None
    if not timm.is_model(name):
        near = timm.list_models(f"*{re.split('[._]', name)[0]}*")[:5]
        raise OnlygoodError(f"timm has no model {name!r}{f'; it has {chr(44).join(near)} …' if near else ''}")
    try:
        net = timm.create_model(name, pretrained=pretrained, dynamic_img_size=True, **options)
    except TypeError:  # no transformer
        net = timm.create_model(name, pretrained=pretrained, **options)
    if not hasattr(net, "forward_intermediates") or not hasattr(net, "prune_intermediate_layers"):
        raise OnlygoodError(f"timm's model {name!r} gives no maps of its stages, so it is no encoder here")
    return net
