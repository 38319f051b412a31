"""The best that is found, against the number of settings that one may try."""

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln


def best_of(values: Sequence[float], sign: int) -> dict[int, float]:
    """Compute the expected best of k of the (n,) values, drawn without replacement, for k = 1, 2, 4, ..., n.

    The expected validation performance of Dodge et al. (2019), without their replacement. `values` are a setting's
    mean each, the infinite ones of those that diverged among them; where all k may diverge the figure is infinite.

    Args:
        sign: 1 where more is better, -1 where less is.
    """
    ordered = np.sort(sign * np.asarray(values, dtype=float))  # worst first
    n = len(ordered)
    ks = sorted({min(2**i, n) for i in range(n.bit_length() + 1)}) if n else []
    found = {}
    for k in ks:
        # the i-th worst, counted from 1, is the best of k with probability C(i - 1, k - 1) / C(n, k)
        i = np.arange(k, n + 1)
        log = _choose(i - 1, k - 1) - _choose(np.array(n), k)
        weights = np.exp(log)
        found[k] = float(sign * (weights * ordered[k - 1 :]).sum())
    return found


def _choose(n: np.ndarray, k: int) -> np.ndarray:
    """The logarithm of the binomial coefficient."""
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
