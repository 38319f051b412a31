"""Findings in the layers of a network: gradients over depth, units, updates."""

from collections.abc import Iterator

import numpy as np

from paribus.diagnosis.finding import Finding
from paribus.diagnosis.trace import LayerTable, Trace

# Thresholds; docs/diagnosis.md gives the source of each, and how often it is right.
VANISHED = 1e-3  # of the largest relative gradient of the layers nearer the output
EXPLODED = 100.0  # times the relative gradient of the output layer, or the scale of the first hidden activations
DEAD = 0.7  # of a layer's units
SATURATED = 0.7  # of a layer's outputs
LARGE_UPDATE = 0.1  # of the weights, in a step
SHORT_PATH = 0.05  # of the weights: the sum of all updates
PERSISTENT = 0.5  # of the epochs


def find_vanishing(trace: Trace) -> Iterator[Finding]:
    """Find layers whose gradient is far below that of a layer nearer the output, in most epochs."""
    relative = _relative_gradients(trace)
    if relative is None or len(relative.layers) < 2:
        return
    values = np.nan_to_num(relative.values, nan=0.0, posinf=0.0)
    nearer = np.maximum.accumulate(values[:, ::-1], axis=1)[:, ::-1]  # the largest from each layer to the output
    reference = np.concatenate([nearer[:, 1:], np.zeros((len(values), 1))], axis=1)
    known = (reference > 0) & ~np.isnan(relative.values)
    share = np.divide(values, reference, out=np.ones_like(values), where=known)
    low = share < VANISHED
    found = _persistent(low)
    if found.any():
        smallest = float(share[low & found].min())
        evidence = {"text": f"{smallest:.2g} of the gradient nearer the output", "value": smallest}
        remedy = trace.options("activation=relu", "model.init=auto", "model.norm=batch",
                               otherwise="fewer layers or a norm")  # fmt: skip
        yield Finding("gradients_vanish", *_locate(relative, low, found), evidence, VANISHED, remedy)


def find_exploding(trace: Trace) -> Iterator[Finding]:
    """Find gradients that grow towards the input, or activations that grow with depth, by a large factor.

    In a network of rectifiers activations grow on their way to the output as gradients do on their way back.
    """
    remedy = trace.options("model.init=auto", "model.norm=batch", otherwise="a smaller initialisation or a norm")
    relative = _relative_gradients(trace)
    if relative is not None and len(relative.layers) > 1:
        last = relative.values[:, -1:]
        known = (last > 0) & np.isfinite(last)
        growth = np.divide(relative.values, last, out=np.ones_like(relative.values), where=known)
        large = growth > EXPLODED
        found = _persistent(large)
        if found.any():
            value = float(growth[large & found].max())
            evidence = {"text": f"{value:.2g} times the output layer's gradient", "value": value}
            yield Finding("gradients_explode", *_locate(relative, large, found), evidence, EXPLODED, remedy)
            return
    mean, std = trace.layers.get("activation_mean"), trace.layers.get("activation_std")
    if mean is None or std is None or len(std.layers) < 3:
        return
    hidden = std.depths < trace.last_depth
    scale = np.hypot(mean.values, std.values)[:, hidden]
    first = scale[:, :1]
    growth = np.divide(scale, first, out=np.ones_like(scale), where=(first > 0) & np.isfinite(first))
    large = np.nan_to_num(growth, nan=0.0, posinf=np.inf) > EXPLODED
    if large[0].any() or _persistent(large).any():
        names = tuple(name for name, kept in zip(std.layers, hidden, strict=True) if kept)
        bad = tuple(name for name, is_large in zip(names, large.any(axis=0), strict=True) if is_large)
        row = int(np.flatnonzero(large.any(axis=1))[0])
        value = float(growth[row].max())
        text = f"activations {value:.2g} times those of {names[0]}"
        yield Finding("gradients_explode", bad, int(std.epochs[row]), {"text": text, "value": value}, EXPLODED, remedy)


def find_dead(trace: Trace) -> Iterator[Finding]:
    """Find hidden layers most of whose units are 0 on the whole probe at the end."""
    remedy = f"{trace.scale_rate(0.1)} or {trace.options('activation=leaky_relu', otherwise='a leaky activation')}"
    yield from _find_share(trace, "dead_units", "dead_fraction", DEAD, "of the units are always 0", remedy)


def find_saturated(trace: Trace) -> Iterator[Finding]:
    """Find hidden layers of tanh or sigmoid most of whose outputs lie near a bound at the end."""
    remedy = f"{trace.scale_rate(0.1)} or {trace.options('model.init=auto', otherwise='a smaller initialisation')}"
    yield from _find_share(trace, "saturated_units", "saturated_fraction", SATURATED, "of the outputs", remedy)


def find_large_updates(trace: Trace) -> Iterator[Finding]:
    """Find layers whose updates are a large part of their weights in most epochs after the first.

    In the first epoch, of few steps, they are in healthy runs too; so nothing is said of runs of one or two epochs.
    """
    table = trace.layers.get("update_ratio")
    if table is None or len(table.since(2).epochs) < 2:
        return
    large = np.nan_to_num(table.values, nan=0.0, posinf=np.inf) > LARGE_UPDATE
    found = _persistent(large[table.epochs >= 2])
    if found.any():
        finite = table.values[:, found][np.isfinite(table.values[:, found])]
        value = float(np.median(finite)) if len(finite) else np.inf
        evidence = {"text": f"a step changes weights by {100 * value:.3g} %", "value": value}
        place = _locate(table, large, found)
        yield Finding("updates_too_large", *place, evidence, LARGE_UPDATE, trace.scale_rate(0.1))


def find_small_updates(trace: Trace) -> Iterator[Finding]:
    """Find a network none of whose layers can have moved far, even if all of its steps pointed the same way."""
    table, steps = trace.layers.get("update_ratio"), trace.curve("step")
    if table is None or steps is None:
        return
    of_epoch = np.diff(steps, prepend=0.0)
    places = table.epochs.astype(int) - 1
    if not len(places) or places.max() >= len(of_epoch) or np.isnan(table.values).any():
        return
    path = (table.values * of_epoch[places][:, None]).sum(axis=0)  # of epochs without a measurement nothing is known
    path *= of_epoch.sum() / of_epoch[places].sum()
    longest = float(path.max())
    if longest < SHORT_PATH:
        text = f"all {int(steps[-1]):,} steps together at most {100 * longest:.2g} % of any layer's weights"
        yield Finding("updates_too_small", (), 1, {"text": text, "value": longest}, SHORT_PATH, trace.scale_rate(100.0))


def _find_share(
    trace: Trace, finding: str, quantity: str, threshold: float, what: str, remedy: str
) -> Iterator[Finding]:
    """Find hidden layers in which a share lies above the threshold from some epoch to the last."""
    table = trace.layers.get(quantity)
    if table is None:
        return
    above = np.nan_to_num(table.values) > threshold
    found = above[-1] & (table.depths < trace.last_depth)
    if not found.any():
        return
    begins = min(find_last_stretch(above[:, i]) for i in np.flatnonzero(found))
    value = float(table.values[-1, found].max())
    text = f"{100 * value:.0f} % {what}"
    yield Finding(finding, _names(table, found), int(table.epochs[begins]), {"text": text, "value": value}, threshold,
                  remedy)  # fmt: skip


def _relative_gradients(trace: Trace) -> LayerTable | None:
    """Divide each layer's mean |g| by the root mean square of its weights: (epochs from 1, layers)."""
    gradient, mean, std = (trace.layers.get(name) for name in ("grad_mean_abs", "weight_mean", "weight_std"))
    if gradient is None or mean is None or std is None:
        return None
    gradient, mean, std = gradient.since(1), mean.since(1), std.since(1)
    epochs, mine, theirs = np.intersect1d(gradient.epochs, std.epochs, return_indices=True)
    depths, at, of = np.intersect1d(gradient.depths, std.depths, return_indices=True)
    size = np.hypot(mean.values, std.values)[np.ix_(theirs, of)]
    with np.errstate(divide="ignore", invalid="ignore"):
        values = gradient.values[np.ix_(mine, at)] / size
    return LayerTable(tuple(gradient.layers[i] for i in at), depths, epochs, values) if len(epochs) else None


def _persistent(holds: np.ndarray) -> np.ndarray:
    """Say of each layer whether something holds in most epochs; (epochs, layers) to (layers,)."""
    return holds.mean(axis=0) >= PERSISTENT if len(holds) else np.zeros(holds.shape[1], bool)


def find_last_stretch(holds: np.ndarray) -> int:
    """Return the place at which the unbroken stretch begins that reaches to the end of (n,) truth values."""
    misses = np.flatnonzero(~holds)
    return int(misses[-1]) + 1 if len(misses) else 0


def _names(table: LayerTable, found: np.ndarray) -> tuple[str, ...]:
    return tuple(name for name, here in zip(table.layers, found, strict=True) if here)


def _locate(table: LayerTable, holds: np.ndarray, found: np.ndarray) -> tuple[tuple[str, ...], int]:
    """Name the layers that were found, (layers,), and the first epoch in which something holds in one of them."""
    return _names(table, found), int(table.epochs[(holds & found).any(axis=1)][0])
