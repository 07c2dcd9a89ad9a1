"""S4L: rotation of all images, and classes of the few with labels (Zhai et al. 2019, arXiv:1905.03670)."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.losses.measures import accuracy
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.views.fixed import turned_views
from onlygood.pretrain.views.geometry import rotations
from onlygood.pretrain.views.patches import square
from onlygood.pretrain.views.views import Standardize, Views, random_view
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.strict import Strict


class S4LConfig(Strict):
    """Views as for rotation, and how many labelled images join each batch.

    By default as many as the batch has; never more than there are labelled images.
    """

    views: Views = Field(default_factory=lambda: Views(brightness=0.15, contrast=0.15))
    labelled_batch: int | None = Field(default=None, ge=1)


class S4LTask(Task):
    """Labelled images, drawn anew for each step, go through the encoder together with the batch.

    ``labelled`` are uint8 images ``(M, C, H, W)`` of the training images' size, and their classes ``(M,)``
    from 0 on.
    """

    config: S4LConfig
    given = ("labelled_images", "labels")
    view_classifier: nn.Module
    older_names: ClassVar = {"classifier": "view_classifier"}
    labelled_images: Tensor
    labels: Tensor

    def __init__(
        self,
        encoder: Encoder,
        config: S4LConfig,
        standardize: Standardize = "fixed",
        *,
        labelled: tuple[Tensor, Tensor],
    ) -> None:
        super().__init__(encoder, config, standardize)
        images, labels = labelled
        if len(images) != len(labels) or not len(labels) or not 0 <= labels.min() < labels.max():
            raise OnlygoodError(
                f"S4L needs a class number, 0 or more, for each labelled image, and two classes at least: "
                f"here are {len(images)} images, and class numbers {sorted(set(labels.tolist()))[:5]} "
                f"of {len(labels)}"
            )
        self.register_buffer("labelled_images", images.clone())
        self.register_buffer("labels", labels.clone().long())
        self.test_views = turned_views()
        self.view_classifier = nn.Linear(encoder.dim, 4)
        self.label_classifier = nn.Linear(encoder.dim, int(labels.max()) + 1)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        """Cross entropy of labels, and that of turns: the mean of unlabelled and labelled images' means."""
        if images.shape[1:] != self.labelled_images.shape[1:]:
            sizes = [list(some.shape[1:]) for some in (self.labelled_images, images)]
            raise OnlygoodError(f"labelled images are of size {sizes[0]}, the others of size {sizes[1]}")
        batch = len(images)
        chosen = torch.randperm(len(self.labels), generator=rng, device=rng.device)
        chosen = chosen[: self.config.labelled_batch or batch]
        both = torch.cat([images, self.labelled_images[chosen]])
        x = square(random_view(both, self.standardize, self.config.views, rng), rng)
        features = self.encoder(rotations(x).flatten(0, 1))

        turns = torch.arange(4, device=x.device).repeat_interleave(len(x))
        turn_logits = self.view_classifier(features)
        each = functional.cross_entropy(turn_logits.float(), turns, reduction="none").view(4, -1)
        rotation = (each[:, :batch].mean() + each[:, batch:].mean()) / 2
        labels = self.labels[chosen].repeat(4)
        label_logits = self.label_classifier(features.view(4, len(x), -1)[:, batch:].flatten(0, 1))
        supervised = functional.cross_entropy(label_logits.float(), labels)
        metrics = {
            "rotation": rotation.detach(),
            "supervised": supervised.detach(),
            "rotation_accuracy": accuracy(turn_logits, turns),
            "label_accuracy": accuracy(label_logits, labels),
        }
        return TaskOutput(supervised + rotation, metrics, features.detach())
