"""Masked autoencoder: paint most of the patches from the rest (He et al. 2022, arXiv:2111.06377)."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.vit import TransformerBlock, ViT, sincos_positions
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.strict import Strict


class MAEConfig(Strict):
    """How much is hidden, and the decoder that is thrown away after training."""

    mask: float = Field(default=0.75, gt=0, lt=1)
    decoder_dim: int = Field(default=96, ge=16, multiple_of=16)
    decoder_depth: int = Field(default=2, ge=1)
    views: Views = Field(default_factory=lambda: Views(scale=(0.2, 1.0)))


def patchify(x: Tensor, patch: int) -> Tensor:
    """``(N, C, H, W)`` to ``(N, L, C · patch²)``, patches row by row."""
    return functional.unfold(x, patch, stride=patch).transpose(1, 2)


def normalized(patches: Tensor) -> Tensor:
    """Each of the patches ``(N, L, P)``, normalized with its own mean and deviation."""
    variance, mean = torch.var_mean(patches.float(), dim=2, keepdim=True)
    return (patches - mean) / (variance + 1e-6).sqrt()


def masked_error(predicted: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
    """Mean squared error over the patches that ``hidden`` ``(N, L)`` marks."""
    error = (predicted.float() - target).square().mean(dim=2)
    return error[hidden].mean()


class MAETask(Task):
    """The encoder sees the patches that are left; a small decoder paints the hidden ones.

    It needs a transformer ("vit-tiny-4", "vit-tiny-8"), the optimizer "adamw", and long training.
    """

    config: MAEConfig
    older_names: ClassVar = {"enter": "to_decoder", "hidden": "mask_token", "paint": "to_pixels"}
    encoder: ViT

    def __init__(self, encoder: Encoder, config: MAEConfig, standardize: Standardize = "fixed") -> None:
        super().__init__(encoder, config, standardize)
        if not isinstance(encoder, ViT):
            raise OnlygoodError(
                f"the task 'mae' needs an encoder of patches, such as vit-tiny-4, not {encoder.name!r}"
            )
        dim = config.decoder_dim
        self.to_decoder = nn.Linear(encoder.dim, dim)
        self.mask_token = nn.Parameter(torch.randn(dim) * 0.02)
        blocks = [TransformerBlock(dim, dim // 16) for _ in range(config.decoder_depth)]
        self.decoder = nn.Sequential(*blocks, nn.LayerNorm(dim))
        self.to_pixels = nn.Linear(dim, encoder.channels * encoder.stride**2)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Mean squared error of the hidden patches, each normalized; a prediction of zeros costs 1."""
        patch = self.encoder.stride
        side = self.config.views.size or min(images.shape[2:])
        if side < 2 * patch:
            raise OnlygoodError(f"images of {side} px have no patches of {patch} px to hide and to show")
        views = self.config.views.model_copy(update={"size": side // patch * patch})
        x = random_view(images, self.standardize, views, rng)
        tokens = self.encoder.tokens(x)
        n, length, _ = tokens.shape
        order = torch.rand(n, length, generator=rng, device=x.device).argsort(dim=1)
        kept = min(max(1, round(length * (1 - self.config.mask))), length - 1)
        left = order[:, :kept, None]
        seen = self.encoder.attend(tokens.gather(1, left.expand(-1, -1, tokens.shape[2])))[-1]
        hidden = torch.ones(n, length, dtype=torch.bool, device=x.device).scatter(
            1, left[:, :, 0], value=False
        )
        known = self.to_decoder(seen)
        canvas = self.mask_token.to(known.dtype).expand(n, length, -1)
        canvas = canvas.scatter(1, left.expand(-1, -1, known.shape[2]), known)
        grid = x.shape[2] // patch, x.shape[3] // patch
        positions = sincos_positions(*grid, self.config.decoder_dim).to(canvas)
        predicted = self.to_pixels(self.decoder(canvas + positions))
        loss = masked_error(predicted, normalized(patchify(x, patch)), hidden)
        return TaskOutput(loss, {}, seen.mean(dim=1).detach())
