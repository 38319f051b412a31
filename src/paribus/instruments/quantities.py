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
SHORT = 2**13  # elements, up to which numpy is faster than torch, and its dot product takes one thread
LEAST_SINGLE, LARGEST_SINGLE = 1e-12, 1e18  # norms between which squares in float32 lose nothing
KEPT_SHARE = 0.1  # of the mean square: a variance below it is not computed as a difference, whose digits would cancel


def norm(tensors: Sequence[Tensor], lead: int = 0) -> Tensor:
    """Return the 2-norm, in float64 except on MPS: squares of numbers below 1e-19 or above 1e19 leave float32."""
    if lead:
        return _compute_row_norms([_flatten(t, lead) for t in tensors])
    if not tensors[0].is_cpu:
        wide = torch.float64 if tensors[0].device.type != "mps" else None
        return torch.stack(compute_norms([_to_single(t) for t in tensors], 2, wide))
    with np.errstate(over="ignore"):  # what overflows is computed again
        norms = [_compute_norm(_to_single(t).numpy().ravel()) for t in tensors]
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
        total = torch.stack([f.sum(-1) for f in flat], -1).double().numpy()
        return torch.from_numpy(_compute_deviations(flat, norms.numpy(), total)).to(flat[0].dtype)
    found = [_compute_deviation(f, size, f.sum().item()) for f, size in zip(flat, norms.tolist(), strict=True)]
    return torch.tensor(found, dtype=flat[0].dtype)


def summarise(tensors: Sequence[Tensor], lead: int, norms: Tensor) -> Tensor:
    """Return sum |x| (divided by the size it is mean |x|), std, and the fraction of elements that are exactly 0.

    All in one, since each of them alone would go through the tensors again. Shape (3, n) or (3, K, n), in the type of
    `norms`, the 2-norms.
    """
    flat = [_flatten(t, lead) for t in tensors]
    if not flat[0].is_cpu:
        absolute = [f.abs().sum(-1) for f in flat] if lead else compute_norms(flat, 1)
        zeros = [(f == 0).float().mean(-1) for f in flat]
        found = [torch.stack(list(values), -1).to(norms.dtype) for values in (absolute, zeros)]
        return torch.stack([found[0], std(flat, lead, norms).to(norms.dtype), found[1]])
    if not lead:
        summaries = [_summarise_vector(f, size) for f, size in zip(flat, norms.tolist(), strict=True)]
        return torch.tensor(summaries, dtype=norms.dtype).T
    sums = torch.stack([_sum_rows(f) for f in flat], -1).to(norms.dtype)  # (3, K, n)
    sums[2] /= torch.tensor([f.shape[-1] for f in flat], dtype=norms.dtype)
    sums[1] = torch.from_numpy(_compute_deviations(flat, norms.numpy(), sums[1].numpy()))
    return sums


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
    matrix = _to_single(weight).flatten(lead + 1)
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
    norms = torch.stack([_compute_norms_by_pieces(rows) for rows in tensors], -1).double()
    found = norms.numpy()
    if not (found.min() > LEAST_SINGLE and found.max() < LARGEST_SINGLE):
        outside = (found <= LEAST_SINGLE) | (found >= LARGEST_SINGLE)  # NaN stays what it is
        for i in np.flatnonzero(outside.any(0)).tolist():
            norms[:, i] = torch.linalg.vector_norm(tensors[i], dim=-1, dtype=torch.float64)
    return norms


def _compute_norms_by_pieces(rows: Tensor) -> Tensor:
    size = rows.shape[-1]
    if size < 2 * PIECE_LENGTH:
        return torch.linalg.vector_norm(rows, dim=-1)
    whole = size // PIECE_LENGTH * PIECE_LENGTH
    even = rows if whole == size else rows[:, :whole]
    pieces = torch.linalg.vector_norm(even.unflatten(-1, (-1, PIECE_LENGTH)), dim=-1)
    if whole < size:
        pieces = torch.cat([pieces, torch.linalg.vector_norm(rows[:, whole:], dim=-1, keepdim=True)], -1)
    return torch.linalg.vector_norm(pieces, dim=-1, dtype=torch.float64)


def _compute_norm(values: np.ndarray) -> float:
    """Return the 2-norm of a vector, by numpy: of a short one in half the time of torch. Relative error below 1e-6."""
    total = 0.0
    for start in range(0, len(values), SHORT):
        piece = values[start : start + SHORT]
        total += float(np.dot(piece, piece))
    norm = math.sqrt(total)
    if norm <= LEAST_SINGLE or norm >= LARGEST_SINGLE:  # NaN stays what it is
        norm = float(np.linalg.norm(values.astype(float)))
    return norm


def _summarise_vector(vector: Tensor, norm: float) -> tuple[float, float, float]:
    """Return the three of `summarise` for a vector on the CPU, by what is fastest for its length."""
    values = vector.numpy()
    if len(values) <= SHORT:
        with np.errstate(all="ignore"):
            total, absolute = values.sum().item(), np.abs(values).sum().item()
        zeros = len(values) - np.count_nonzero(values)
    else:
        total, absolute, zeros = vector.sum().item(), vector.abs().sum().item(), np.count_nonzero(values == 0)
    return absolute, _compute_deviation(vector, norm, total), zeros / max(1, len(values))


def _compute_deviation(vector: Tensor, norm: float, total: float) -> float:
    """Return the deviation of a vector on the CPU from its 2-norm and sum, or where digits cancel from its elements."""
    n = max(1, len(vector))
    mean_square, mean = norm * norm / n, total / n  # products become infinite, powers raise an error
    variance = mean_square - mean * mean
    if norm == 0 or (variance > KEPT_SHARE * mean_square and norm > LEAST_SINGLE):
        return math.sqrt(variance)
    return vector.double().std(correction=0).item()


def _sum_rows(rows: Tensor) -> Tensor:
    """Return sum |x|, sum x and the number of zeros of each row of a tensor (K, m) on the CPU, (3, K)."""
    scratch = rows.abs()
    absolute = scratch.sum(-1)
    # into numbers, not bools: takes less than half the time of torch.count_nonzero
    return torch.stack([absolute, rows.sum(-1), torch.eq(rows, 0, out=scratch).sum(-1)])


def _compute_deviations(rows: Sequence[Tensor], norms: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Return the deviations (K, n) of the rows of n tensors (K, m) on the CPU, from 2-norms and sums (K, n)."""
    sizes = np.array([r.shape[-1] for r in rows])
    with np.errstate(all="ignore"):
        mean_squares = norms**2 / sizes
        variances = mean_squares - (totals / sizes) ** 2
        deviations: np.ndarray = np.sqrt(variances)
    # where it is 0 or NaN, it is so exactly
    exact = ((variances > KEPT_SHARE * mean_squares) & (norms > LEAST_SINGLE)) | (norms == 0) | ~np.isfinite(norms)
    if not exact.all():
        for i in np.flatnonzero(~exact.all(0)).tolist():
            deviations[:, i] = rows[i].double().std(-1, correction=0)
    return deviations


def _flatten(tensor: Tensor, lead: int) -> Tensor:
    """Flatten all axes behind the `lead` ones."""
    return _to_single(tensor).reshape(*tensor.shape[:lead], -1)


def _to_single(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
