"""Small networks between the features and a loss; they are thrown away after training."""

from itertools import pairwise

from torch import Tensor, nn


class RowNorm(nn.BatchNorm1d):
    """Batch norm of ``(..., D)``, over all rows."""

    def forward(self, input: Tensor) -> Tensor:
        """``(..., D)`` to ``(..., D)``."""
        return super().forward(input.flatten(0, -2)).view_as(input)


def mlp(*widths: int, norm: bool = True, norm_last: bool = False, bias_last: bool = True) -> nn.Sequential:
    """Maps ``(..., widths[0])`` to ``(..., widths[-1])``: linear, batch norm and ReLU; a last linear layer.

    ``norm=False`` leaves the batch norms out. ``norm_last`` ends with a batch norm that has no parameters.
    Layers before a batch norm have no bias. ``bias_last=False`` is for losses that do not change when all
    embeddings shift.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers.append(nn.Linear(inputs, outputs, bias=not norm))
        if norm:
            layers.append(RowNorm(outputs))
        layers.append(nn.ReLU(inplace=True))
    layers.append(nn.Linear(widths[-2], widths[-1], bias=bias_last and not norm_last))
    if norm_last:
        layers.append(RowNorm(widths[-1], affine=False))
    return nn.Sequential(*layers)
