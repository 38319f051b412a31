"""Findings in the curves of a run: stability, the baseline, overfitting, an end that came too early."""

import math
from collections.abc import Iterator

import numpy as np

from paribus.diagnosis.finding import Finding
from paribus.diagnosis.trace import Trace

# Thresholds; docs/diagnosis.md gives the source of each, and how often it is right.
AT_EDGE = 0.9  # of the stability margin, rate * sharpness / 2
NO_GAIN = 0.05  # of what a constant prediction leaves
ERRORS_OF_CHANCE = 3.0  # standard errors by which an accuracy exceeds the baseline by chance
RISE = 0.1  # of the validation loss, above its lowest mean
ERRORS_OF_RISE = 3.0  # standard errors by which a rise has to exceed the jitter: the lowest mean is low by chance too
LAST_SHARE = 0.1  # of the epochs: how long a mean is
LEAST_EPOCHS = 3
LARGE_UPDATE, SMALL_UPDATE = 1e-2, 1e-4  # of a step, as a share of the weights: 1e-3 is healthy (Karpathy, CS231n)
FALLEN = 0.9  # of the first epoch's training loss
LARGE_SPREAD = 100.0  # of a regression's targets: default rates suit tens
ENOUGH_EPOCHS = 10  # to tell a network that cannot learn from one that has not begun to
LEAST_GAIN = 0.05  # over the last fifth, of what is left: of the loss, or of 1 less the accuracy
ERRORS = 2.0  # standard errors by which a gain has to exceed the jitter


def find_edge(trace: Trace) -> Iterator[Finding]:
    """Find a learning rate at which the curvature allows no larger one."""
    margin = trace.curve("curvature/stability_margin")
    if margin is None:
        return
    last = margin[len(margin) // 2 :]
    if np.isnan(last).all() or (value := float(np.nanmedian(last))) < AT_EDGE:
        return
    reached = np.flatnonzero(np.nan_to_num(margin) >= AT_EDGE)
    text = f"rate x sharpness / 2 is {value:.2g}"
    remedy = trace.scale_rate(0.3)
    yield Finding("edge_of_stability", (), int(reached[0]) + 1, {"text": text, "value": value}, AT_EDGE, remedy)


def find_baseline(trace: Trace) -> Iterator[Finding]:
    """Find a network that ends no better than a constant: the training mean, or the most frequent class."""
    if trace.summary.get("diverged"):
        return
    part, baseline = "acc", trace.statistic("baseline_val_acc")
    if baseline is None or trace.curve("val/acc") is None:
        part, baseline = "loss", trace.statistic("baseline_val_loss")
    values, train = trace.curve(f"val/{part}"), trace.curve(f"train/{part}")
    if baseline is None or values is None:
        return
    known = np.flatnonzero(~np.isnan(values))
    settled = float(values[known][-_window(len(known)) :].mean())
    if part == "acc":
        samples = trace.summary.get("data", {}).get("val") or 1
        differ = max(settled + baseline - 2 * settled * baseline, 0.0)  # share that one alone has right, if by chance
        chance = ERRORS_OF_CHANCE * math.sqrt(differ / samples)
        bound, sign = baseline + max(NO_GAIN * (1 - baseline), chance), 1
        text = f"accuracy {{:.2%}}, the most frequent class {baseline:.2%}"
    else:
        bound, sign = (1 - NO_GAIN) * baseline, -1
        text = f"validation loss {{:.4g}}, a constant {baseline:.4g}"
    if sign * settled > sign * bound:
        return
    gained = np.flatnonzero(sign * values[known] > sign * bound)
    begins = known[gained[-1] + 1] if len(gained) and gained[-1] + 1 < len(known) else known[0]
    learns = train is not None and sign * train[-1] > sign * bound
    learns = learns and trace.epochs >= LEAST_EPOCHS  # fewer say nothing of the inputs
    remedy = "inputs that say something of the targets" if learns else _advise_at_baseline(trace)
    evidence = {"text": text.format(settled), "value": settled}
    yield Finding("at_baseline", (), int(begins) + 1, evidence, float(bound), remedy)


def _advise_at_baseline(trace: Trace) -> str:
    """Say what may help a network that learns nothing: more epochs, or a rate by the size of its first updates."""
    if trace.summary.get("config", {}).get("optim", {}).get("lr") == 0:
        return "a learning rate above 0"
    if trace.epochs < LEAST_EPOCHS:
        return f"trainer.max_epochs={ENOUGH_EPOCHS}"
    ratios = trace.layers["update_ratio"].since(1).values if "update_ratio" in trace.layers else np.empty((0, 0))
    first = float(np.nanmedian(ratios[0])) if len(ratios) and not np.isnan(ratios[0]).all() else math.nan
    if first > LARGE_UPDATE:
        return trace.scale_rate(0.1)
    return trace.scale_rate(10) if first < SMALL_UPDATE else f"{trace.scale_rate(10)} or {trace.scale_rate(0.1)}"


def advise_on_units(trace: Trace) -> str | None:
    """Say what helps a regression whose targets are far larger than a network's first outputs; None where they are not.

    How much targets vary is told by the loss of a constant, or its square root for squared errors.
    """
    baseline = trace.statistic("baseline_val_loss")
    if baseline is None or not baseline > 0:
        return None
    loss = str(trace.summary.get("config", {}).get("loss", {}).get("_target_"))
    spread = math.sqrt(baseline) if loss.endswith("MSELoss") else baseline
    if spread <= LARGE_SPREAD:
        return None
    if math.isinf(spread):
        return "a target in larger units (the loss of a constant is beyond single precision)"
    data = trace.summary.get("config", {}).get("data", {})
    is_table = data.get("_target_") == "paribus.data.table.Table"
    unit = float(data.get("target_unit") or 1) * 10 ** math.floor(math.log10(spread))
    wish = f"data.target_unit={unit:.12g}" if is_table else "a target in larger units"
    return f"{wish} (it varies by about {spread:.2g}; the outputs begin near 0)"


def falls(trace: Trace) -> bool:
    """Return whether the training loss has ended well below its first epoch's: the network learns."""
    train = trace.curve("train/loss")
    return train is not None and bool(train[-1] < FALLEN * train[0])


def find_overfitting(trace: Trace) -> Iterator[Finding]:
    """Find a validation loss that rises well above its lowest while the training loss falls on."""
    loss, train = trace.curve("val/loss"), trace.curve("train/loss")
    if loss is None or train is None:
        return
    known = np.isfinite(loss) & np.isfinite(train)
    values, train, epochs = loss[known], train[known], np.flatnonzero(known) + 1
    if len(values) < LEAST_EPOCHS:
        return
    window = max(2, _window(len(values)))
    means = np.convolve(values, np.full(window, 1 / window), "valid")
    lowest = int(means.argmin())
    place, at = lowest + (window - 1) // 2, slice(lowest, lowest + window)
    jitter = math.sqrt((values[at].var(ddof=1) + values[-window:].var(ddof=1)) / window)
    rise = float(means[-1] - means[lowest])
    falls_on = train[-window:].mean() < train[at].mean()
    if rise > max(RISE * abs(means[lowest]), ERRORS_OF_RISE * jitter) and falls_on:
        text = f"validation loss {means[lowest]:.4g} there, {means[-1]:.4g} at the end; training loss falls on"
        regular = trace.options("optim.weight_decay=0.01", "model.dropout=0.2", otherwise="weight decay or dropout")
        shorter = f"trainer.max_epochs={int(epochs[place])}"
        evidence = {"text": text, "value": rise}
        yield Finding("overfits", (), int(epochs[place]), evidence, RISE, f"{shorter} or {regular}")


def find_early_end(trace: Trace) -> Iterator[Finding]:
    """Find a run that still improves over the last fifth of its epochs."""
    if trace.summary.get("diverged"):
        return
    for name in ("val/acc", "val/loss", "train/loss"):
        values = trace.curve(name)
        if values is None:
            continue
        values = values[~np.isnan(values)]
        gain = relative_gain(values, higher=name == "val/acc", share=name == "val/acc")
        if gain is not None and gain > LEAST_GAIN:
            text = f"{name} gains {100 * gain:.2g} % of what is left over the last fifth"
            remedy = f"trainer.max_epochs={2 * trace.epochs}"
            yield Finding("still_improving", (), trace.epochs, {"text": text, "value": gain}, LEAST_GAIN, remedy)
        return


def relative_gain(values: np.ndarray, higher: bool, share: bool) -> float | None:
    """Return what a run's (n,) metric by epoch gains over its last fifth, as a share of what is left; None if nothing.

    The mean of the last fifth is compared with that of the fifth before. A gain below two standard errors of the two
    means is none.

    Args:
        higher: whether more is better.
        share: whether it is a fraction, of which 1 less the value is left.
    """
    n = len(values)
    if n < LEAST_EPOCHS or not np.isfinite(values).all():
        return None
    k = max(1, n // 5)
    last, before = values[-k:], values[-2 * k : -k]
    gain = (last.mean() - before.mean()) * (1 if higher else -1)
    left = 1 - before.mean() if share and higher else abs(before.mean())
    error = np.sqrt((last.var(ddof=1) + before.var(ddof=1)) / k) if k > 1 else 0.0
    return float(gain / left) if gain > ERRORS * error and left > 0 else None


def _window(epochs: int) -> int:
    return max(1, math.ceil(LAST_SHARE * epochs))
