"""What the instruments measure, as plain functions of tensors.

Each takes a list of n tensors of any shapes, on one device, and gives a value for each, (n,), on that device: nothing
waits for it. Deviations are population deviations (divided by the number of elements), so that one element has 0.

Of a stack of K runs, whose tensors all have a first axis that counts the runs, each gives (K, n): `lead` is then 1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

SATURATED_LOW, SATURATED_HIGH = 0.03, 0.97
PIECE_LENGTH = 1024


def sum_abs(tensors: Sequence[Tensor], lead: int = 0) -> Tensor:
    """Sum of absolute values, in single precision at least; divided by the sizes it is mean |g|."""
    if lead:
        return torch.stack([_flatten(t, lead).abs().sum(-1) for t in tensors], -1)
    # torch's 1-norm on the CPU takes number after number: two vectorised passes over a large tensor take half as long
    return _compute_norms([_to_single(t).abs().sum() if t.is_cpu and t.numel() > 8192 else t for t in tensors], 1)


def norm(tensors: Sequence[Tensor], lead: int = 0) -> Tensor:
    """2-norm, in double precision on devices that have it: squares of numbers below 1e-19 or above 1e19 leave single
    precision."""
    if lead:
        return _compute_row_norms([_flatten(t, lead) for t in tensors])
    return _compute_norms(tensors, 2, torch.float64 if tensors[0].device.type != "mps" else None)


def mean(tensors: Sequence[Tensor], lead: int = 0) -> Tensor:
    return torch.stack([_flatten(t, lead).mean(-1) for t in tensors], -1)


def std(tensors: Sequence[Tensor], lead: int = 0) -> Tensor:
    if not lead:
        return torch.stack([_flatten(t, lead).std(correction=0) for t in tensors])
    # torch's deviation along an axis takes number after number
    centred = [flat - flat.mean(-1, keepdim=True) for flat in (_flatten(t, lead) for t in tensors)]
    sizes = torch.tensor([c.shape[-1] for c in centred], dtype=torch.float64)
    return (_compute_row_norms(centred) / sizes.sqrt()).to(centred[0].dtype)


def zero_fraction(tensors: Sequence[Tensor], lead: int = 0) -> Tensor:
    """Share of elements that are exactly 0."""
    flat = [t.flatten(lead) for t in tensors]
    # a third of the time that torch.count_nonzero takes
    return torch.stack([1 - t.bool().sum(-1) / t.shape[-1] for t in flat], -1)


def update_norms(before: Sequence[Tensor], after: Sequence[Tensor], lead: int = 0) -> Tensor:
    """‖after - before‖ and ‖before‖, (2, n) or (2, K, n); the first by the second is the update ratio."""
    moved = torch._foreach_sub(list(after), list(before))
    return torch.stack([norm(moved, lead), norm(before, lead)])


def dead_fraction(activation: Tensor, unit_axis: int, lead: int = 0) -> Tensor:
    """Share of units that are exactly 0 for all samples (and positions); a scalar, or (K,)."""
    by_unit = activation.movedim(unit_axis, -1).flatten(lead, -2)
    # a fifth of the time that (by_unit == 0).all(-2) takes
    return ((by_unit.amax(-2) == 0) & (by_unit.amin(-2) == 0)).float().mean(-1)


def saturated_fraction(activation: Tensor, low: bool, lead: int = 0) -> Tensor:
    """Share of elements at the ends of their range; a scalar, or (K,).

    `low` (sigmoid): a < 0.03 or a > 0.97; else (tanh): |a| > 0.97.
    """
    high = (activation if low else activation.abs()) > SATURATED_HIGH
    return ((high | (activation < SATURATED_LOW)) if low else high).float().flatten(lead).mean(-1)


def _compute_norms(tensors: Sequence[Tensor], order: int, dtype: torch.dtype | None = None) -> Tensor:
    return torch.stack(torch._foreach_norm([_to_single(t) for t in tensors], order, dtype=dtype))


def _compute_row_norms(tensors: Sequence[Tensor]) -> Tensor:
    """2-norms (K, n) of the rows of n tensors (K, m) of a stack, which is on the CPU, as doubles.

    Squares in double precision take eight times as long. So they are summed in single precision over pieces that are
    short enough (a relative error of 1e-6 at most), and from there in double precision; but all in double precision
    where squares of single precision may have left its range.
    """
    norms = torch.stack([_compute_norms_by_pieces(rows) for rows in tensors], -1)
    doubtful = ~((norms > 1e-12) & (norms < 1e18)).all(0)
    for i in doubtful.nonzero().flatten().tolist():
        norms[:, i] = torch.linalg.vector_norm(tensors[i], dim=-1, dtype=torch.float64)
    return norms


def _compute_norms_by_pieces(rows: Tensor) -> Tensor:
    whole = rows.shape[-1] // PIECE_LENGTH * PIECE_LENGTH
    rest = torch.linalg.vector_norm(rows[:, whole:], dim=-1).double() if whole < rows.shape[-1] else None
    if not whole and rest is not None:
        return rest
    pieces = torch.linalg.vector_norm(rows[:, :whole].unflatten(-1, (-1, PIECE_LENGTH)), dim=-1)
    norms = torch.linalg.vector_norm(pieces.double(), dim=-1)
    return norms if rest is None else torch.hypot(norms, rest)


def _flatten(tensor: Tensor, lead: int) -> Tensor:
    """All elements along one axis, behind those that count runs."""
    return _to_single(tensor).flatten(lead)


def _to_single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
