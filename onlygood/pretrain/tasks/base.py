"""The only base class of pretext tasks, and all that the trainer knows of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from onlygood.pretrain.networks.renamed import read_older_names
from onlygood.pretrain.views.fixed import FixedViews
from onlygood.pretrain.views.views import Standardize, to_float
from onlygood.runtime.strict import Strict

if TYPE_CHECKING:
    from onlygood.pretrain.networks.base import Encoder


@dataclass
class TaskOutput:
    """What one batch says: ``loss`` () to descend, detached 0-dim ``metrics``, detached ``features`` (N, D).

    The metric named ``accuracy`` is the pretext accuracy (share right, 0 to 1): progress shows it and the
    health checks compare it with chance. A K-way task whose loss has further terms gives the K-way one as the
    metric ``cross_entropy``.
    """

    loss: Tensor
    metrics: dict[str, Tensor] = field(default_factory=dict)
    features: Tensor | None = None


class Task(nn.Module, ABC):
    """A self-supervised objective over an encoder: views, labels and negatives are made inside, batched.

    All state (queues, banks, centroids, moving averages) is parameters and persistent buffers made in
    ``__init__``, so that a checkpoint of the state dict is a checkpoint of the task.
    """

    # Whether there is anything to train.
    trains: ClassVar[bool] = True
    # K, where the task is a K-way classification whose loss starts at log K.
    classes: int | None = None
    # What a detector shows the encoder; the first view is the image as it is.
    test_views: FixedViews
    # Maps features (N, D) of any test view to logits (N, K); of test view k, class k is the true one. A
    # detector may score its confidence, so no other classifier may have this name.
    view_classifier: nn.Module | None
    # Maps features (N, D) to embeddings that the loss compares, if there is such a network.
    projector: nn.Module | None
    # Whether it has `restore`, and `locate`.
    restores: ClassVar[bool] = False
    locates: ClassVar[bool] = False
    # Where features (D,) are pulled to, if anywhere.
    center: Tensor | None
    # Names in states that were written before, and what they became; of parts and buffers.
    older_names: ClassVar[Mapping[str, str]] = {}
    # Buffers made of further data, which a resume must be given again.
    given: tuple[str, ...] = ()
    config: Strict
    # Share of training done, from 0 to 1.
    progress: Tensor

    def __init__(self, encoder: "Encoder", config: Strict, standardize: Standardize) -> None:
        super().__init__()
        self.encoder = encoder
        self.config = config
        self.standardize: Standardize = standardize
        self.test_views = FixedViews()
        self.view_classifier = None
        self.projector = None
        self.register_buffer("progress", torch.zeros(()))
        self.register_buffer("center", None)
        self.register_load_state_dict_pre_hook(_without_progress)  # type: ignore[no-untyped-call]
        read_older_names(self, self.older_names)

    @abstractmethod
    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """One step's objective; ``images`` uint8 (B, C, H, W), ``ids`` (B,) int64, both on the device.

        ``ids`` count the training images from 0 and index the rows of ``start_epoch``'s ``embed()``.
        ``rng`` lives on the same device and is seeded anew before every step.
        """

    def forward(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """``loss``; the way in for DistributedDataParallel."""
        return self.loss(images, ids, rng)

    def embed(self, images: Tensor) -> Tensor:
        """Features (B, D) of plain images, uint8 (B, C, H, W), as the detector will see them."""
        features: Tensor = self.encoder(to_float(images, self.standardize))
        return features

    def restore(self, x: Tensor) -> Tensor:
        """Standardized images (N, C, H, W) as the task reconstructs them; where ``restores``."""
        raise NotImplementedError

    def locate(self, x: Tensor) -> Tensor:
        """Logits (N, 1, h, w) of a defect at each place of standardized images; where ``locates``."""
        raise NotImplementedError

    def start_epoch(self, epoch: int, embed: Callable[[], Tensor]) -> None:
        """Called before each epoch; ``embed()`` gives every training image's features, float32 (n, D)."""

    def after_step(self, progress: float) -> None:
        """Called after each optimiser step with the share of training done, in (0, 1]."""
        self.progress.fill_(progress)

    def param_groups(self) -> list[dict[str, Any]]:
        """Optimiser groups; ``weight_decay`` may be set on each.

        Biases and normalisation parameters (fewer than two dimensions) are not decayed: shrinking them
        regularises nothing and, for the scales of normalisation, changes the step size instead.
        """
        trained = [p for p in self.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in trained if p.ndim >= 2]},
            {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]


def _without_progress(task: Task, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """States that were written before tasks had ``progress`` are still read."""
    state.setdefault(f"{prefix}progress", task.progress)
