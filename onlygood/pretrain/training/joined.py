"""Several processes that train one task as one process would, and a part of the work for each.

Every process has the whole batch and the same random draws, so losses, negatives, queues, memories and
clusterings are those of one process, whatever the task. What costs most is shared: each process sends its
part of the views through the encoder, and all get all features. Batch norms inside see the statistics of all
parts. Averaged over processes, gradients are those of one process, but for rounding; this holds as well for
what every process computes by itself.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, overload

import torch
from torch import Tensor, distributed, nn

from onlygood.pretrain.networks.base import Encoder

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@contextmanager
def joined(task: nn.Module) -> Iterator[None]:
    """Within, the encoders in ``task``, slow copies too, are shared by all processes of the default group.

    All processes must call them in the same order with the same views. An encoder with a batch norm of a kind
    that is not known here is left to each process, and so are less views than processes.
    """
    encoders = [part for part in task.modules() if isinstance(part, Encoder) and _known(part)]
    for encoder in encoders:
        _share(encoder)
    try:
        yield
    finally:
        for encoder in encoders:
            del encoder.forward, encoder.stages  # the class has them again
            for norm in _norms(encoder):
                del norm.forward


def average(parameters: Sequence[nn.Parameter]) -> None:
    """Replace the gradients of ``parameters`` by their means over all processes."""
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not grads:
        return
    flat = torch.cat([grad.flatten() for grad in grads])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for grad, mean in zip(grads, torch.split(flat, [grad.numel() for grad in grads]), strict=True):
        grad.copy_(mean.view_as(grad))


def _norms(encoder: Encoder) -> list[nn.Module]:
    return [part for part in encoder.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]


def _known(encoder: Encoder) -> bool:
    return all(type(norm) in _NORMS for norm in _norms(encoder))


def _share(encoder: Encoder) -> None:
    """Let ``encoder`` compute this process's part of its views, and have the features of all."""
    at_work = [False]  # within a shared call, of which others may be parts

    def shared(compute: Callable[[Tensor], Any], finish: Callable[[Any, int], Any], x: Tensor) -> Any:
        if at_work[0] or len(x) < distributed.get_world_size():
            return compute(x)
        at_work[0] = True
        try:
            part = compute(x.tensor_split(distributed.get_world_size())[distributed.get_rank()])
        finally:
            at_work[0] = False
        return finish(part, len(x))

    encoder.forward = partial(shared, encoder.forward, _whole)  # type: ignore[method-assign]
    encoder.stages = partial(shared, encoder.stages, _Maps)  # type: ignore[method-assign]
    for norm in _norms(encoder):
        norm.forward = partial(_normalized, norm, norm.forward, at_work)


class _Maps(Sequence[Tensor]):
    """The maps of all views at each stage, joined where they are asked for."""

    def __init__(self, parts: Sequence[Tensor], count: int) -> None:
        self._parts, self._count = parts, count

    def __len__(self) -> int:
        return len(self._parts)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | list[Tensor]:
        found = self._parts[index]
        return (
            _whole(found, self._count)
            if isinstance(found, Tensor)
            else [_whole(part, self._count) for part in found]
        )


def _whole(part: Tensor, count: int) -> Tensor:
    """The ``count`` rows of all processes; ``part`` are this one's."""
    whole: Tensor = _Whole.apply(part, count)
    return whole


class _Whole(torch.autograd.Function):
    """An all-gather of parts whose lengths differ by one at most, which keeps gradients.

    It adds parts within zeros, which is exact. Backwards the gradients of all processes are added.
    """

    @staticmethod
    def forward(ctx: Any, part: Tensor, count: int) -> Tensor:
        sizes = [len(rows) for rows in torch.empty(count).tensor_split(distributed.get_world_size())]
        ctx.begin, ctx.size, ctx.kind = sum(sizes[: distributed.get_rank()]), len(part), part.dtype
        whole = part.new_zeros(count, *part.shape[1:], dtype=_exact(part))
        whole[ctx.begin : ctx.begin + ctx.size] = part
        distributed.all_reduce(whole)
        return whole.to(part.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        whole = grads[0].to(_exact(grads[0]), copy=True).contiguous()
        distributed.all_reduce(whole)
        return whole[ctx.begin : ctx.begin + ctx.size].to(ctx.kind), None


def _exact(values: Tensor) -> torch.dtype:
    return torch.promote_types(values.dtype, torch.float32)


def _normalized(norm: Any, alone: Callable[[Tensor], Tensor], at_work: list[bool], x: Tensor) -> Tensor:
    """Batch norm of this process's part ``(n, C, …)`` by the statistics of all parts.

    The mean and the squared deviations of each part are joined (Chan et al. 1979), not sums of squares, which
    would lose digits.
    """
    if not at_work[0] or not (norm.training or norm.running_mean is None):
        return alone(x)
    with torch.autocast(x.device.type, enabled=False):
        values = x.to(_exact(x))
        over = [0, *range(2, x.ndim)]
        variance, mean = torch.var_mean(values, over, correction=0)
        count = torch.full_like(mean, values.numel() / len(mean))
        counts, means, variances = _whole(
            torch.stack([count, mean, variance])[None], distributed.get_world_size()
        ).unbind(1)
        shares = counts / counts.sum(0)
        mean = (shares * means).sum(0)
        variance = (shares * (variances + (means - mean) ** 2)).sum(0)
        if norm.training and norm.running_mean is not None:
            _remember(norm, mean.detach(), variance.detach(), counts.sum(0))
        shape = [-1, *[1] * (x.ndim - 2)]
        scale = (variance + norm.eps).rsqrt()
        if norm.affine:
            scale = scale * norm.weight
        normal = (values - mean.view(shape)) * scale.view(shape)
        shifted: Tensor = normal + norm.bias.view(shape) if norm.affine else normal
        return shifted.to(x.dtype)


@torch.no_grad()
def _remember(norm: Any, mean: Tensor, variance: Tensor, count: Tensor) -> None:
    """Update the running statistics as torch does, with the unbiased variance."""
    norm.num_batches_tracked.add_(1)
    momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean, momentum)
    norm.running_var.lerp_(variance * count / (count - 1), momentum)
