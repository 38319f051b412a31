"""Findings that begin at an optimizer step: divergence, gradients that explode, a loss that spikes."""

import math
from collections.abc import Iterator

import numpy as np

from paribus.diagnosis import layers
from paribus.diagnosis.finding import Finding
from paribus.diagnosis.layers import find_last_stretch
from paribus.diagnosis.trace import Trace

# Thresholds; docs/diagnosis.md gives the source of each, and how often it is right.
WINDOW = 128  # steps before, of whose noise the deviation is taken; a quarter of them must be there
LATEST = 16  # of them, to whose mean a loss is compared
DEVIATIONS = 6.0  # above this mean
GIVEN_UP = 0.1  # of what the loss has fallen by since the first step
CHANCE = 0.05  # the probability of so many spikes, if high losses stood at random
LEAST_DEVIATION = 1e-6  # of the mean: rounding of float32


def find_divergence(trace: Trace) -> Iterator[Finding]:
    """Find where a loss, a gradient or a weight was no longer finite, and since when the loss had been rising."""
    at = trace.summary.get("diverged")
    if not at:
        return
    named = (str(at["layer"]),) if at.get("layer") else ()
    text = f"{at.get('what')} was not finite at step {at.get('step')}"
    losses = trace.step_curve("train/loss")
    if losses is not None and np.isfinite(losses[0]):
        risen = find_last_stretch(~(losses <= losses[0]))
        if np.isfinite(losses[risen:]).any():
            first, since = (f"step {trace.steps['step'][place]:.0f}" for place in (0, risen))
            text += f"; from {since} on the training loss lay above that of {first}"
    clip = trace.options("trainer.gradient_clip_val=1", otherwise="clipping gradients")
    remedy = f"{trace.scale_rate(0.1)} or {clip}"
    if at.get("step") == 1 and not str(at.get("what")).startswith("weight"):  # no update has been made yet
        remedy = "to mend the data, the network or the loss: the first batch has no finite result, at any learning rate"
    evidence = {"text": text, "value": at.get("step")}
    yield Finding("diverged", named, at.get("epoch"), evidence, None, remedy, at.get("step"))


def find_exploding(trace: Trace) -> Iterator[Finding]:
    """Find gradients that explode over the layers or, where these show nothing, from some step on to the end."""
    found = list(layers.find_exploding(trace))
    yield from found or _find_explosion(trace)


def _find_explosion(trace: Trace) -> Iterator[Finding]:
    """Find the step from which the gradient's norm stays above EXPLODED times that of the first step.

    Such a run has diverged soon after, or has gone on like that for most of its steps.
    """
    norms = trace.step_curve("grad_norm")
    if norms is None or not 0 < norms[0] < np.inf:
        return
    begins = find_last_stretch(~(norms <= layers.EXPLODED * norms[0]))  # also where it is not a number
    known = norms[begins:][np.isfinite(norms[begins:])]
    lasts = trace.summary.get("diverged") or len(norms) - begins >= layers.PERSISTENT * len(norms)
    if not len(known) or not lasts:
        return
    value = float(known.max() / norms[0])
    text = f"up to {value:.2g} times the norm of step {trace.steps['step'][0]:.0f}"
    clip = trace.options("trainer.gradient_clip_val=1", otherwise="clipping gradients")
    yield Finding("gradients_explode", (), int(trace.steps["epoch"][begins]), {"text": text, "value": value},
                  layers.EXPLODED, f"{clip} or {trace.scale_rate(0.1)}", int(trace.steps["step"][begins]))  # fmt: skip


def find_spikes(trace: Trace) -> Iterator[Finding]:
    """Find a loss that leaps far above its trailing mean, and stays there for a step or more."""
    losses = trace.step_curve("train/loss")
    if losses is None:
        return
    places = locate_spikes(losses)
    if not len(places):
        return
    first = places[0]
    before = losses[max(0, first - LATEST) : first]
    value = float(losses[first] / before[np.isfinite(before)].mean())
    count = "once" if len(places) == 1 else f"{len(places)} times"
    text = f"{count} in {trace.steps['step'][-1]:,.0f} steps, first to {value:.2g} times the mean before"
    clip = trace.options("trainer.gradient_clip_val=1", otherwise="clipping gradients")
    yield Finding("loss_spikes", (), int(trace.steps["epoch"][first]), {"text": text, "value": value}, DEVIATIONS,
                  f"{clip} or {trace.scale_rate(0.3)}", int(trace.steps["step"][first]))  # fmt: skip


def locate_spikes(losses: np.ndarray) -> np.ndarray:
    """Return the places (m,) in (n,) losses by step at which a spike begins.

    There the loss, and also the next one, lies above the mean of the LATEST losses before by more than DEVIATIONS
    standard deviations, and by GIVEN_UP of what the loss has fallen by since the first step. A batch of hard samples
    has a high loss alone: the next one, of other samples, shows whether the network itself was thrown off. The
    deviation is that of the noise of the WINDOW losses before: half the mean square of the differences between
    successive ones is its variance, which a fall of the loss does not enlarge (von Neumann et al., 1941).

    Of m high losses at random among n, m^2 / n follow another one: nothing is returned where chance would suffice.
    """
    known = np.isfinite(losses)
    if not known.any():
        return np.empty(0, int)
    filled = np.where(known, losses, 0.0)
    with np.errstate(all="ignore"):
        mean = _sum_before(filled, LATEST) / _sum_before(known, LATEST)  # NaN where there is none
        both = np.concatenate([[False], known[1:] & known[:-1]])
        squares = np.where(both, np.square(np.diff(filled, prepend=0.0)), 0.0)
        deviation = np.sqrt(_sum_before(squares, WINDOW - 1) / np.maximum(2 * _sum_before(both, WINDOW - 1), 1))
        height = np.maximum(DEVIATIONS * np.maximum(deviation, LEAST_DEVIATION * np.abs(mean)),
                            GIVEN_UP * (losses[known][0] - mean))  # fmt: skip
        limit = np.where(4 * _sum_before(known, WINDOW) >= WINDOW, mean + height, np.inf)
    high = known & (losses > limit)
    begins = high & ~np.concatenate([[False], high[:-1]])
    lasts = begins[:-1] & known[1:] & (losses[1:] > limit[:-1])
    places = np.flatnonzero(lasts)
    by_chance = float(begins.sum()) ** 2 / len(losses)
    return places if _exceed_chance(len(places), by_chance) else places[:0]


def _sum_before(values: np.ndarray, window: int) -> np.ndarray:
    """Sum for each of (n,) values the `window` ones before it, or as many as there are: (n,)."""
    whole = np.concatenate([np.zeros(window, values.dtype), values])
    return np.lib.stride_tricks.sliding_window_view(whole, window)[:-1].sum(1)


def _exceed_chance(count: int, expected: float) -> bool:
    """Return whether a Poisson variable of this mean comes up to `count`, above 0, with at most CHANCE."""
    if not count:
        return False
    below = sum(math.exp(i * math.log(expected) - expected - math.lgamma(i + 1)) for i in range(count))
    return 1 - below <= CHANCE
