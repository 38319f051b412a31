"""The response to a factor of ordered numbers."""

import math
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from multirun_analysis.compare.context_means import average_contexts
from multirun_analysis.compare.design import Contest, Levels, Replicate, numbers
from multirun_analysis.compare.inference import estimate_replicates, mean_variance, p_two_sided, prior_df, shrink
from multirun_analysis.compare.results import Trend
from multirun_analysis.compare.sequential import Look

LEAST_NEAR = 5  # levels around the best
Series = dict[Replicate, float]


def find_trend(
    contest: Contest, series: Mapping[tuple[Levels, Hashable], Series], levels: Sequence[Hashable], sign: int
) -> Trend | None:
    """The response to ordered numbers, of three levels or more, over the contexts that have all of them."""
    found = numbers(levels)
    contexts = [c for c in contest.entries if all((c, level) in series for level in levels)]
    if found is None or len(levels) < 3 or not contexts:
        return None
    log = min(found) > 0 and max(found) >= 4 * min(found)
    x = np.log10(found) if log else np.array(found)
    keys = sorted({key for c in contexts for level in levels for key in series[c, level]}, key=str)
    # (replicates, contexts, levels); a context in which a level is missing is a gap
    cube = np.array([[[series[c, level].get(key, math.nan) for level in levels] for c in contexts] for key in keys])
    cube[np.isnan(cube).any(axis=2)] = math.nan
    means = np.stack([average_contexts(cube[:, :, i]) for i in range(len(levels))], axis=1)
    rows = {key: row for key, row in zip(keys, means, strict=True) if not np.isnan(row).any()}
    if not rows:
        return None
    ordered, table = list(rows), np.array(list(rows.values()))
    contrasts = _polynomials(x)
    estimates = [estimate_replicates(table @ c, ordered, float(len(contexts))) for c in contrasts]
    look = contest.look_at(ordered)
    estimates = [found._replace(look=look) for found in estimates]
    estimates = shrink(estimates, prior_df(len(estimates)), mean_variance(estimates))
    slope, curvature = estimates[0], estimates[1]
    best = int((sign or 1) * table.mean(axis=0).argmax()) if sign >= 0 else int(table.mean(axis=0).argmin())
    edge = "lowest" if best == 0 else "highest" if best == len(levels) - 1 else ""
    return Trend(
        log, slope, curvature, (p_two_sided(slope, table @ contrasts[0]), p_two_sided(curvature, table @ contrasts[1])),
        optimum=_optimum(x, table, ordered, best, sign, log, look), at_edge=edge,
    )  # fmt: skip


def _polynomials(x: np.ndarray) -> np.ndarray:
    """Orthonormal contrasts (L - 1, L) of the levels x (L,): linear, quadratic, and the rest."""
    centred = (x - x.mean()) / (np.ptp(x) or 1)
    q, r = np.linalg.qr(np.vander(centred, len(x), increasing=True))
    return (q * np.sign(np.diag(r)))[:, 1:].T


def _optimum(
    x: np.ndarray,
    table: np.ndarray,
    replicates: Sequence[Replicate],
    best: int,
    sign: int,
    log: bool,
    look: Look | None,
) -> tuple[float, float, float] | None:
    """The vertex of a quadratic through the levels around the best, with its interval by Fieller's theorem.

    Those are the levels within a quarter of the range on either side, five at least.
    The interval is that of all points at which the derivative cannot be told from 0 (Fieller 1954).
    """
    if sign == 0 or len(table) < 3:
        return None
    near = np.abs(x - x[best]) <= max(np.ptp(x) / 4, np.sort(np.abs(x - x[best]))[:LEAST_NEAR][-1])
    centre = x[near].mean()
    design = np.vander(x[near] - centre, 3, increasing=True)
    coefficients = np.linalg.pinv(design) @ table[:, near].T  # (3, replicates)
    linear, square = coefficients[1], coefficients[2]
    if sign * square.mean() >= 0:
        return None
    vertex = -linear.mean() / (2 * square.mean())
    grid = np.linspace(x[near].min(), x[near].max(), 1001) - centre
    derivatives = [estimate_replicates(linear + 2 * square * at, replicates)._replace(look=look) for at in grid]
    inside = grid[[abs(found.mean) <= found.half_width() for found in derivatives]]
    if not grid[0] <= vertex <= grid[-1] or not len(inside):
        return None
    found = np.array([vertex, inside.min(), inside.max()]) + centre
    low, middle, high = (float(v) for v in ((10**found if log else found)[[1, 0, 2]]))
    return middle, low, high
