"""What is read of an encoder: one stage, or several joined, as PaDiM and PatchCore do."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from onlygood.anomaly.recipe import FeaturesConfig
from onlygood.pretrain.networks.base import Encoder
from onlygood.runtime.errors import OnlygoodError

_PROBE = 128  # px of the image by which strides are found


class Layers(nn.Module):
    """The features of the stages that a recipe names, side by side.

    With ``average`` each value of a map is first the
    mean of a window around it, so that it knows its neighbors (PatchCore, Roth et al. 2022,
    arXiv:2106.08265). Beyond the border of a map there are zeros, as there, which draws border features, odd
    ones through the convolutions' own zeros, towards zero. Without these, the farthest place of nearly every
    good tile was at its border.

    Raises:
        OnlygoodError: the encoder does not have such a stage.
    """

    def __init__(self, encoder: Encoder, config: FeaturesConfig) -> None:
        super().__init__()
        self.encoder = encoder
        self.average = config.average
        count = len(encoder.stage_dims)
        for stage in config.stages:
            if not 1 <= abs(stage) <= count:
                raise OnlygoodError(
                    f"encoder {encoder.name!r} has no stage {stage}: its stages are 1 to {count}"
                )
        self.numbers = sorted({stage - 1 if stage > 0 else count + stage for stage in config.stages})
        self.dim = sum(encoder.stage_dims[number] for number in self.numbers)
        self.last_only = self.numbers == [count - 1]
        self.stride = encoder.stride if self.last_only else _stride(encoder, self.numbers[0])

    def pooled(self, x: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` to features ``(N, D)``: each stage averaged over space."""
        if self.last_only:
            features: Tensor = self.encoder(x)
            return features
        stages = self.encoder.stages(x)
        return torch.cat([stages[number].mean(dim=(2, 3)) for number in self.numbers], dim=1)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Images ``(N, C, H, W)`` to the map ``(N, D_i, H_i, W_i)`` of each stage, the finest first."""
        stages = self.encoder.stages(x)
        return [self._averaged(stages[number]) for number in self.numbers]

    def _averaged(self, maps: Tensor) -> Tensor:
        if self.average == 1:
            return maps
        return functional.avg_pool2d(maps, self.average, 1, self.average // 2)


def _stride(encoder: Encoder, number: int) -> int:
    """Pixels between the values of a stage's map; 0 where that is no map."""
    parameter = next(encoder.parameters())
    training = encoder.training
    encoder.eval()
    with torch.no_grad():
        maps = encoder.stages(parameter.new_zeros(1, encoder.channels, _PROBE, _PROBE))[number]
    encoder.train(training)
    return _PROBE // maps.shape[2] if maps.shape[2] > 1 else 0
