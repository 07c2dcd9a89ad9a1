"""NSA: where have pieces of other images been blended in? (Schlüter et al. 2022, arXiv:2109.15222)."""

import math
from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.decoders import Decoder
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.blending import Pieces, median_filter, paste_pieces, shown
from onlygood.pretrain.views.views import Standardize, Views, black_white, random_view
from onlygood.runtime.strict import Strict

_STRIDE = 4  # px between logits
_MEDIAN = 5  # px


class NSAConfig(Strict):
    """Views, pieces and labels; the defaults are the paper's for textures.

    For objects, the paper takes ``resize`` [0.7, 1.3], ``mixed`` false, ``slope`` 0.083 and ``middle`` 24.
    """

    views: Views = Field(default_factory=lambda: Views(flip=False))
    pieces: int = Field(default=4, ge=1)  # at most, to an image
    sizes: tuple[float, float] = (0.03, 0.4)  # half of a piece's side, as a share of the image's
    resize: tuple[float, float] = (0.5, 2.0)
    mixed: bool = True  # the stronger gradients show, of the piece or of what it covers
    slope: float = Field(default=1 / 3, gt=0)  # of the labels' logistic function, per gray level
    middle: float = Field(default=7.0, gt=0)  # its middle: the gray levels of change that are half a defect

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        for name in ("sizes", "resize"):
            low, high = getattr(self, name)
            if not 0 < low <= high < math.inf:
                raise ValueError(f"{name} goes from a number above 0 to one that is not smaller")
        return self


class NSATask(Task):
    """How much of a defect is at each place: a decoder tells it every 4 px, from the encoder's last map.

    Labels say what shows, not where pieces are. Other than in the paper: no change is labelled 0 exactly, a
    logit stands for 4×4 px, and nobody must say where objects are: a piece of background on background does
    not show.
    """

    config: NSAConfig
    locates: ClassVar = True

    def __init__(self, encoder: Encoder, config: NSAConfig, standardize: Standardize = "image") -> None:
        super().__init__(encoder, config, standardize)
        self.decoder = Decoder(encoder, 1, _STRIDE)

    def locate(self, x: Tensor) -> Tensor:
        """Logits ``(N, 1, H/4, W/4)``, rounded up, of standardized images."""
        return self._logits(self.encoder.stages(x)[-1], x)

    def _logits(self, maps: Tensor, x: Tensor) -> Tensor:
        logits: Tensor = self.decoder(maps, (-(-x.shape[2] // _STRIDE), -(-x.shape[3] // _STRIDE)))
        return logits

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Binary cross entropy against soft labels; the metric ``shown`` is the mean of these."""
        config = self.config
        x = random_view(images, self.standardize, config.views, rng)
        black, white = black_white(images, self.standardize)
        pieces = Pieces(config.pieces, config.sizes, config.resize, config.mixed)
        pasted = paste_pieces(x, pieces, black, white, rng)
        change = ((pasted - x).abs() * (255 / (white - black))).mean(dim=1)
        labels = shown(median_filter(change, _MEDIAN, _STRIDE), config.slope, config.middle)
        maps = self.encoder.stages(pasted)[-1]
        logits = self._logits(maps, pasted)[:, 0]
        loss = functional.binary_cross_entropy_with_logits(logits.float(), labels)
        return TaskOutput(loss, {"shown": labels.mean()}, maps.detach().mean(dim=(2, 3)))
