"""Patch SVDD: neighboring patches are alike, and tell where they lie (Yi & Yoon 2020, arXiv:2006.16067)."""

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.losses.measures import accuracy
from onlygood.pretrain.losses.regression import mean_distance
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.patches import windows_at
from onlygood.pretrain.views.views import Standardize, Views, normal, random_view
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.strict import Strict

_PATCH = 32  # px, side of a patch if none is given


class PatchSVDDConfig(Strict):
    """Patches of one scale, of side ``views.crop``; the paper has 64 and 32 px, of images of 256 px.

    The rest of ``views`` is of the whole image, before patches are cut. ``color_shift`` and ``noise`` are in
    units of "fixed" standardization, of which the paper has 0.08.
    """

    views: Views = Field(default_factory=lambda: Views(crop=_PATCH, flip=False))
    pull: float = Field(default=1.0, ge=0)  # the paper's lambda, which it chooses for each kind of object
    color_shift: float = Field(default=0.08, ge=0)  # of each channel of a patch that has a direction
    noise: float = Field(default=0.08, ge=0)  # of each of its pixels
    hidden: int = Field(default=128, ge=2)


Places = tuple[Tensor, Tensor]  # first rows and first columns of patches, (B,) each


def jittered_places(shape: tuple[int, int, int], patch: int, rng: torch.Generator) -> tuple[Places, Places]:
    """Two patches of each of B images ``(B, H, W)``, up to a 32nd of their side apart, and never the same."""
    reach = max(1, patch // 32)
    steps = _draw(shape[0], 0, (2 * reach + 1) ** 2 - 1, rng)
    steps = steps + (steps >= 2 * reach * (reach + 1))  # the middle one is no step
    down, right = steps // (2 * reach + 1) - reach, steps % (2 * reach + 1) - reach
    top, left = (_draw(shape[0], reach, side - patch - reach + 1, rng) for side in shape[1:])
    return (top, left), (top + down, left + right)


def neighboring_places(
    shape: tuple[int, int, int], patch: int, rng: torch.Generator
) -> tuple[Places, Places, Tensor]:
    """A patch of each of B images ``(B, H, W)``, one of its neighbors, and the direction to it, ``(B,)``.

    Directions count row by row around the first patch. Neighbors begin 3/4 of the side to almost the whole
    side further. The first patch lies where each of its neighbors has room, so its place tells no direction.
    """
    near, spare = 3 * patch // 4, patch // 4
    reach = near + spare - 1
    label = _draw(shape[0], 0, 8, rng)
    around = label + (label >= 4)
    top, left = (_draw(shape[0], reach, side - patch - reach + 1, rng) for side in shape[1:])
    down, right = (near + _draw(shape[0], 0, spare, rng) for _ in range(2))
    return (top, left), (top + (around // 3 - 1) * down, left + (around % 3 - 1) * right), label


def _draw(count: int, low: int, high: int, rng: torch.Generator) -> Tensor:
    return torch.randint(low, high, (count,), generator=rng, device=rng.device)


class PatchSVDDTask(Task):
    """Each image gives two patches that nearly coincide and two neighbors; all pass the encoder once.

    The features of the first two are pulled together. That alone would be solved by features that are all
    the same, so the features of the others must tell the direction from one to the other. A shift of the
    colors and noise hide how light and lenses change from patch to patch.

    What the paper does otherwise: it trains one encoder on two scales, of which the larger one joins four
    features of the smaller one, and bounds features by tanh; here there is one scale, and features are the
    encoder's. Its code moves neighbors that would leave the image back into it but keeps their direction;
    here first patches lie further inside.
    """

    config: PatchSVDDConfig
    classes = 8

    def __init__(self, encoder: Encoder, config: PatchSVDDConfig, standardize: Standardize = "fixed") -> None:
        super().__init__(encoder, config, standardize)
        self.head = mlp(encoder.dim, config.hidden, config.hidden, 8, norm=False)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """``pull`` times the distance of ``B`` pairs, and cross entropy of the directions of ``B`` others.

        Raises:
            OnlygoodError: the images have no room for a patch and its neighbors.
        """
        config, patch = self.config, self.config.views.crop or _PATCH
        x = random_view(images, self.standardize, config.views.model_copy(update={"crop": None}), rng)
        shape = (len(x), x.shape[2], x.shape[3])
        if min(shape[1:]) < 3 * patch:
            raise OnlygoodError(
                f"patches of {patch} px with neighbors on all sides need images of {3 * patch} px, not "
                f"{shape[2]} × {shape[1]} px (width × height); choose a smaller views.crop or larger images"
            )
        first, second = jittered_places(shape, patch, rng)
        middle, neighbor, labels = neighboring_places(shape, patch, rng)
        alike = [windows_at(x, *place, patch) for place in (first, second)]
        apart = [self._disguised(windows_at(x, *place, patch), rng) for place in (middle, neighbor)]
        features = self.encoder(torch.cat([*alike, *apart]))
        one, other, center, beside = features.float().chunk(4)
        distance = mean_distance(one, other)
        logits = self.head(center - beside)
        cross_entropy = functional.cross_entropy(logits.float(), labels)
        metrics = {
            "accuracy": accuracy(logits, labels),
            "cross_entropy": cross_entropy.detach(),
            "distance": distance.detach(),
        }
        return TaskOutput(config.pull * distance + cross_entropy, metrics, features.detach())

    def _disguised(self, patches: Tensor, rng: torch.Generator) -> Tensor:
        """Patches ``(B, C, s, s)``, each of whose channels is shifted, with noise."""
        shift = normal((*patches.shape[:2], 1, 1), 0.0, self.config.color_shift, rng)
        return patches + shift + normal(tuple(patches.shape), 0.0, self.config.noise, rng)
