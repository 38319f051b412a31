"""What the instruments measure, as plain functions of tensors.

Each takes a list of n tensors of any shapes, on one device, and gives a value for each, (n,), on that device: nothing
waits for it. Deviations are population deviations (divided by the number of elements), so that one element has 0.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

SATURATED_LOW, SATURATED_HIGH = 0.03, 0.97


def sum_abs(tensors: Sequence[Tensor]) -> Tensor:
    """Sum of absolute values, in single precision at least; divided by the sizes it is mean |g|."""
    # torch's 1-norm on the CPU takes number after number: two vectorised passes over a large tensor take half as long
    return _norm([_single(t).abs().sum() if t.is_cpu and t.numel() > 8192 else t for t in tensors], 1)


def norm(tensors: Sequence[Tensor], double: bool = False) -> Tensor:
    """2-norm. In single precision it is infinite beyond 1e19, where squares are; `double` takes four times as long, and
    counts on devices that have double precision."""
    double = double and tensors[0].device.type != "mps"
    return _norm(tensors, 2, torch.float64 if double else None)


def mean(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([_single(t).mean() for t in tensors])


def std(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([_single(t).std(correction=0) for t in tensors])


def zero_fraction(tensors: Sequence[Tensor]) -> Tensor:
    """Share of elements that are exactly 0."""
    return torch.stack([1 - torch.count_nonzero(t) / t.numel() for t in tensors])


def update_norms(before: Sequence[Tensor], after: Sequence[Tensor]) -> Tensor:
    """‖after - before‖ and ‖before‖, (2, n); the first by the second is the update ratio."""
    return torch.stack([norm(torch._foreach_sub(list(after), list(before))), norm(before)])


def dead_fraction(activation: Tensor, unit_axis: int) -> Tensor:
    """Share of units that are exactly 0 for all samples (and positions); a scalar."""
    return (activation.movedim(unit_axis, -1).flatten(0, -2) == 0).all(0).float().mean()


def saturated_fraction(activation: Tensor, low: bool) -> Tensor:
    """Share of elements at the ends of their range; a scalar.

    `low` (sigmoid): a < 0.03 or a > 0.97; else (tanh): |a| > 0.97.
    """
    high = (activation if low else activation.abs()) > SATURATED_HIGH
    return ((high | (activation < SATURATED_LOW)) if low else high).float().mean()


def _norm(tensors: Sequence[Tensor], order: int, dtype: torch.dtype | None = None) -> Tensor:
    return torch.stack(torch._foreach_norm([_single(t) for t in tensors], order, dtype=dtype))


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
