"""Motion segmentation: what of a still image will move? (Pathak et al. 2017, arXiv:1612.06370).

It is the fourth task of Doersch & Zisserman (2017, arXiv:1708.07860).
"""

import torch
from pydantic import Field
from torch import Tensor, nn

from onlygood.pretrain.losses.segmentation import cell_cross_entropy, cell_iou, shares
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.patches import halves, left_square
from onlygood.pretrain.views.views import (
    Standardize,
    Views,
    as_image,
    random_blur,
    random_view,
    recolor,
)
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.strict import Strict

_PLAIN = dict.fromkeys(["brightness", "contrast", "saturation", "hue", "gray", "blur"], 0.0)


class MotionSegmentationConfig(Strict):
    """Views: crops of frames and, in the same places, of their masks; colors of frames alone."""

    views: Views = Field(default_factory=lambda: Views(scale=(0.5, 1.0), brightness=0.2, contrast=0.2))


class MotionSegmentationTask(Task):
    """An image is a square of a frame on the left and its mask on the right, each as wide as high.

    Each place of the encoder's last map says, from the frame alone, what share of it is white in the mask,
    because it moves by itself. What is gray in the mask is in doubt and does not count. A frame shows no
    motion, so the encoder learns what things can move. Pathak et al. predict finer masks by further layers;
    here one layer reads the map.
    """

    config: MotionSegmentationConfig

    def __init__(
        self, encoder: Encoder, config: MotionSegmentationConfig, standardize: Standardize = "fixed"
    ) -> None:
        super().__init__(encoder, config, standardize)
        if not encoder.stride:
            raise OnlygoodError(
                f"encoder {encoder.name!r} keeps no map of places to say what moves; use 'small' or a ResNet"
            )
        self.mask_head = nn.Conv2d(encoder.dim, 1, 1)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Logistic cross entropy of places; the metric ``iou`` is of those that move for the most part.

        Raises:
            OnlygoodError: the images are no frames with their masks.
        """
        x, moves, known = self._views(images, rng)
        maps = self.encoder.stages(x)[-1]
        logits = self.mask_head(maps)[:, 0]
        share, weight = shares(moves, known, (logits.shape[1], logits.shape[2]))
        loss = cell_cross_entropy(logits, share, weight)
        return TaskOutput(loss, {"iou": cell_iou(logits, share, weight)}, maps.detach().mean(dim=(2, 3)))

    def embed(self, images: Tensor) -> Tensor:
        """Features ``(B, D)`` of frames without their masks, or of plain images as they are."""
        return super().embed(left_square(images))

    def _views(self, images: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Views of frames ``(B, C, S, S)``, and what moves and what is known in them, bool ``(B, S, S)``."""
        views = self.config.views
        frames, masks = halves(images, "motion-segmentation takes frames and their masks")
        both = torch.cat([frames, masks[:, :1]], dim=1)
        both = random_view(both, "fixed", views.model_copy(update=_PLAIN), rng)
        x = recolor(both[:, :-1], views, rng)
        x = random_blur(x, views.blur, rng) if views.blur else x
        mask = both[:, -1]  # -2 where still, 0 where in doubt, 2 where something moves
        return as_image(x) if self.standardize == "image" else x, mask > 1, mask.abs() > 1
