"""Compute the statistics of tensors that instruments record.

Unless said otherwise a function takes n tensors of any shapes on one device and returns (n,) on that device, without
waiting for it. For a stack of K runs, `lead` is 1, all tensors have a first axis of K, and the result is (K, n).
Half-precision tensors are computed in float32. Functions are named after the quantity, as in torch.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from paribus.private_names import compute_norms

SATURATED_LOW, SATURATED_HIGH = 0.03, 0.97
PIECE_LENGTH = 1024
LEAST_SINGLE, LARGEST_SINGLE = 1e-12, 1e18  # norms between which squares in float32 lose nothing
KEPT_SHARE = 0.1  # of the mean square: a variance below it is not computed as a difference, whose digits would cancel


def sum_abs(tensors: Sequence[Tensor], lead: int = 0) -> Tensor:
    """Return sum |x| over the elements, in float32 at least; divided by the size it is mean |x|."""
    if not lead and not tensors[0].is_cpu:
        return torch.stack(compute_norms([_to_single(t) for t in tensors], 1))
    return torch.stack([_flatten(t, lead).abs().sum(-1) for t in tensors], -1)  # torch's 1-norm is not vectorised


def norm(tensors: Sequence[Tensor], lead: int = 0) -> Tensor:
    """Return the 2-norm, in float64 except on MPS: squares of numbers below 1e-19 or above 1e19 leave float32."""
    if lead:
        return _compute_row_norms([_flatten(t, lead) for t in tensors])
    if not tensors[0].is_cpu:
        wide = torch.float64 if tensors[0].device.type != "mps" else None
        return torch.stack(compute_norms([_to_single(t) for t in tensors], 2, wide))
    norms = [n.item() for n in compute_norms([_condense(_to_single(t)) for t in tensors], 2)]  # no device to wait for
    for i, tensor in enumerate(tensors):
        if not LEAST_SINGLE < norms[i] < LARGEST_SINGLE:
            norms[i] = torch.linalg.vector_norm(tensor, dtype=torch.float64).item()
    return torch.tensor(norms, dtype=torch.float64)


def mean(tensors: Sequence[Tensor], lead: int = 0) -> Tensor:
    """Return the mean of the elements."""
    return torch.stack([_flatten(t, lead).mean(-1) for t in tensors], -1)


def std(tensors: Sequence[Tensor], lead: int = 0, norms: Tensor | None = None) -> Tensor:
    """Return the population standard deviation of the elements: divided by their number, so 0 for one element.

    `norms`: the 2-norms, where they are known already. On the CPU the deviation follows from them and the sums, unless
    too many digits cancel: torch's own is not vectorised there.
    """
    flat = [_flatten(t, lead) for t in tensors]
    if not flat[0].is_cpu:
        return torch.stack([f.std(-1, correction=0) for f in flat], -1)
    norms = norm(flat, lead) if norms is None else norms
    if lead:
        return _compute_row_deviations(flat, norms)
    deviations = []
    for values, size in zip(flat, norms.tolist(), strict=True):
        mean_square = size**2 / max(1, len(values))
        variance = mean_square - (values.sum().item() / max(1, len(values))) ** 2
        exact = variance > KEPT_SHARE * mean_square and size > LEAST_SINGLE
        deviations.append(math.sqrt(variance) if exact else values.double().std(correction=0).item())
    return torch.tensor(deviations, dtype=flat[0].dtype)


def zero_fraction(tensors: Sequence[Tensor], lead: int = 0) -> Tensor:
    """Return the fraction of elements that are exactly 0."""
    flat = [_flatten(t, lead) for t in tensors]
    # into numbers, not bools: takes less than half the time of torch.count_nonzero
    return torch.stack([torch.eq(f, 0, out=torch.empty_like(f)).mean(-1) for f in flat], -1)


def update_norms(before: Sequence[Tensor], after: Sequence[Tensor], lead: int = 0) -> Tensor:
    """Return ‖after - before‖ and ‖before‖, (2, n) or (2, K, n); their quotient is the update ratio."""
    moved = [new - old for old, new in zip(before, after, strict=True)]
    return torch.stack([norm(moved, lead), norm(before, lead)])


def rms(tensors: Sequence[Tensor], lead: int = 0, norms: Tensor | None = None) -> Tensor:
    """Return the root of the mean square of the elements: norm / sqrt(size). `norms`: where they are known already."""
    sizes = torch.tensor([t.shape[lead:].numel() for t in tensors], dtype=torch.float64)
    norms = norm(tensors, lead) if norms is None else norms
    return norms / sizes.sqrt().to(norms)


def largest_abs(tensors: Sequence[Tensor], lead: int = 0) -> Tensor:
    """Return the largest absolute value of the elements; NaN if one of them is."""
    flat = [_flatten(t, lead) for t in tensors]
    return torch.stack([torch.maximum(f.amax(-1), -f.amin(-1)) for f in flat], -1)


def singular_values(weight: Tensor, lead: int = 0) -> Tensor:
    """Return the singular values of one weight as a matrix (units, fan-in), the largest first: (r,), or (K, r).

    They are NaN where the weight is not finite.
    """
    matrix = _to_single(weight.detach()).flatten(lead + 1)
    finite = torch.isfinite(matrix).all(-1).all(-1)[..., None]
    singular = torch.linalg.svdvals(torch.nan_to_num(matrix, 0.0, 0.0, 0.0))  # which raises an error otherwise
    return torch.where(finite, singular, torch.nan)


def stable_rank(singular: Tensor) -> Tensor:
    """Return ‖W‖_F² / ‖W‖₂² from the singular values of W (..., r), the largest first: (...).

    It is at most the rank, and unlike the rank it changes little where small singular values do (Rudelson & Vershynin,
    2007). NaN for W = 0.
    """
    return (singular / singular[..., :1]).square().sum(-1)


def dead_fraction(activation: Tensor, unit_axis: int, lead: int = 0) -> Tensor:
    """Return the fraction of units of one activation that are exactly 0 for all samples and positions: (), or (K,).

    `unit_axis`: that of WeightLayer, without the axis of runs.
    """
    by_unit = activation.movedim(unit_axis + lead if unit_axis > 0 else unit_axis, -1).flatten(lead, -2)
    # takes a fifth of the time of (by_unit == 0).all(-2)
    return ((by_unit.amax(-2) == 0) & (by_unit.amin(-2) == 0)).float().mean(-1)


def saturated_fraction(activation: Tensor, low: bool, lead: int = 0) -> Tensor:
    """Return the fraction of elements of one activation a at the ends of its range: (), or (K,).

    With `low` (sigmoid): a < 0.03 or a > 0.97, where its derivative a(1 - a) is below 12 % of its maximum. Else (tanh):
    |a| > 0.97, where 1 - a^2 is below 6 %. Why saturation matters: Glorot & Bengio, 2010.
    """
    high = (activation if low else activation.abs()) > SATURATED_HIGH
    return ((high | (activation < SATURATED_LOW)) if low else high).float().flatten(lead).mean(-1)


def count_spikes(losses: Tensor, before: Tensor, window: int, deviations: float = 6.0) -> Tensor:
    """Count the losses (n, ...) that lie above the trailing mean by more than `deviations` standard deviations: (...).

    Mean and deviation are those of the finite ones among the `window` losses before each, of which at least a quarter
    must be there; `before` (m, ...) has those before the first. A deviation is at least 1e-6 of the mean, the rounding
    of float32. Losses that are not finite are no spikes: the run has diverged. After the spike score of OLMo 2 (2025),
    which has 7 deviations and the last 1,000 steps.
    """
    whole = torch.cat([before, losses])
    known = torch.where(torch.isfinite(whole), whole, torch.nan)
    missing = torch.full((window, *losses.shape[1:]), torch.nan, dtype=known.dtype)
    trailing = torch.cat([missing, known]).unfold(0, window, 1)[len(before) : -1]
    mean = trailing.nanmean(-1)
    deviation = (trailing - mean.unsqueeze(-1)).square().nanmean(-1).sqrt()
    enough = 4 * (~trailing.isnan()).sum(-1) >= window
    height = known[len(before) :] - mean
    return (enough & (height > deviations * torch.maximum(deviation, 1e-6 * mean.abs()))).sum(0)


def _compute_row_norms(tensors: Sequence[Tensor]) -> Tensor:
    """Return the 2-norms (K, n), in float64, of the rows of n tensors (K, m).

    On the CPU squares in float64 take eight times as long. So they are summed in float32 over short pieces (relative
    error at most 1e-6), and the pieces in float64; tensors whose squares may leave float32 are computed in float64.
    """
    if not tensors[0].is_cpu:  # where choosing tensors by their norms would wait for the device
        return torch.stack([torch.linalg.vector_norm(rows, dim=-1, dtype=torch.float64) for rows in tensors], -1)
    norms = torch.stack([_compute_norms_by_pieces(rows) for rows in tensors], -1)
    found = norms.numpy()
    for i in np.flatnonzero(~((found > LEAST_SINGLE) & (found < LARGEST_SINGLE)).all(0)).tolist():
        norms[:, i] = torch.linalg.vector_norm(tensors[i], dim=-1, dtype=torch.float64)
    return norms


def _compute_norms_by_pieces(rows: Tensor) -> Tensor:
    size = rows.shape[-1]
    whole = size // PIECE_LENGTH * PIECE_LENGTH
    if not whole:
        return torch.linalg.vector_norm(rows, dim=-1).double()
    even = rows if whole == size else rows[:, :whole]
    pieces = torch.linalg.vector_norm(even.unflatten(-1, (-1, PIECE_LENGTH)), dim=-1)
    if whole < size:
        pieces = torch.cat([pieces, torch.linalg.vector_norm(rows[:, whole:], dim=-1, keepdim=True)], -1)
    return torch.linalg.vector_norm(pieces, dim=-1, dtype=torch.float64)


def _compute_row_deviations(rows: Sequence[Tensor], norms: Tensor) -> Tensor:
    """Return the deviations (K, n) of the rows of n tensors (K, m) on the CPU, from their 2-norms (K, n)."""
    sizes = torch.tensor([r.shape[-1] for r in rows], dtype=torch.float64)
    means = torch.stack([r.mean(-1) for r in rows], -1).double()
    mean_squares = norms.square() / sizes
    variances = mean_squares - means.square()
    deviations = variances.sqrt()
    # of one element it is exactly 0, or NaN
    exact = ((variances > KEPT_SHARE * mean_squares) & (norms > LEAST_SINGLE)) | (sizes == 1)
    for i in (~exact.all(0)).nonzero().flatten().tolist():
        centred = rows[i] - rows[i].mean(-1, keepdim=True)
        deviations[:, i] = norm([centred], 1)[:, 0] / math.sqrt(centred.shape[-1])
    return deviations.to(rows[0].dtype)


def _condense(tensor: Tensor) -> Tensor:
    """Return a short vector of the same 2-norm: norms of pieces, and the elements of the rest. Error as above."""
    if tensor.numel() < 2 * PIECE_LENGTH:
        return tensor
    flat = tensor.flatten()
    whole = len(flat) // PIECE_LENGTH * PIECE_LENGTH
    pieces = torch.linalg.vector_norm(flat[:whole].view(-1, PIECE_LENGTH), dim=-1)
    return pieces if whole == len(flat) else torch.cat([pieces, flat[whole:]])


def _flatten(tensor: Tensor, lead: int) -> Tensor:
    """Flatten all axes behind the `lead` ones."""
    return _to_single(tensor).flatten(lead)


def _to_single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
