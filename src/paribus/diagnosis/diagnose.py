"""Look for everything that can be found in a run's record."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from paribus.diagnosis import curves, layers, steps
from paribus.diagnosis.finding import NAMES, Finding
from paribus.diagnosis.trace import Trace, read_trace

# By finding: the function that looks for it, and the quantities it needs: all of one of these sets.
FINDINGS: Mapping[str, tuple[Callable[[Trace], Iterator[Finding]], tuple[tuple[str, ...], ...]]] = {
    "diverged": (steps.find_divergence, ((),)),
    "gradients_explode": (
        steps.find_exploding,
        (("grad_mean_abs", "weight_std"), ("activation_std",), ("steps/grad_norm",)),
    ),
    "gradients_vanish": (layers.find_vanishing, (("grad_mean_abs", "weight_std"),)),
    "dead_units": (layers.find_dead, (("dead_fraction",), ("activation_std",))),
    "saturated_units": (layers.find_saturated, (("saturated_fraction",), ("activation_std",))),
    "at_baseline": (curves.find_baseline, (("baseline_val_acc", "val/acc"), ("baseline_val_loss", "val/loss"))),
    "updates_too_large": (layers.find_large_updates, (("update_ratio",),)),
    "updates_too_small": (layers.find_small_updates, (("update_ratio",),)),
    "edge_of_stability": (curves.find_edge, (("curvature/stability_margin",),)),
    "loss_spikes": (steps.find_spikes, (("steps/train/loss",),)),
    "overfits": (curves.find_overfitting, (("val/loss", "train/loss"),)),
    "still_improving": (curves.find_early_end, (("val/loss",), ("train/loss",))),
}

# Why a network may learn nothing.
CAUSES = (
    "gradients_explode",
    "gradients_vanish",
    "dead_units",
    "saturated_units",
    "updates_too_large",
    "updates_too_small",
)
OF_UNITS = ("gradients_explode", "at_baseline")  # what targets far from 0 look like
OPTIONAL = ("edge_of_stability",)  # whose quantities are not among the default ones


@dataclass(frozen=True)
class Diagnosis:
    """The findings of a run, the gravest first, and what could not be looked for, since its quantities are absent."""

    findings: tuple[Finding, ...]
    unseen: tuple[str, ...]


def diagnose(trace: Trace) -> Diagnosis:
    """Look for all findings in the trace of a run."""
    found: list[Finding] = []
    unseen = []
    for name, (find, needs) in FINDINGS.items():
        if any(all(_has(trace, quantity) for quantity in one) for one in needs):
            found += find(trace)
        else:
            unseen.append(name)
    units, cause = curves.advise_on_units(trace), next((one for one in found if one.finding in CAUSES), None)
    if units is not None:  # activations and gradients have to grow until the outputs reach the targets
        found = [one for one in found if one.finding != "gradients_explode" or not curves.falls(trace)]
        found = [replace(one, remedy=units) if one.finding in OF_UNITS else one for one in found]
    elif cause is not None:  # one remedy, not two that contradict each other
        found = [replace(one, remedy=cause.remedy) if one.finding == "at_baseline" else one for one in found]
    return Diagnosis(tuple(found), tuple(unseen))


def diagnose_directory(directory: Path, summary: Mapping[str, Any]) -> Diagnosis:
    """Diagnose the run in a directory. Raises RecordError for a damaged record."""
    return diagnose(read_trace(directory, summary))


def recorded_findings(summary: Mapping[str, Any]) -> tuple[Finding, ...] | None:
    """Return the findings that a summary holds; None for a record of a version that made no diagnosis."""
    found = summary.get("diagnosis")
    if not isinstance(found, list):
        return None
    return tuple(
        Finding(**{**entry, "layers": tuple(entry["layers"])})
        for entry in found
        if isinstance(entry, dict) and {*entry, "step"} == {*Finding.__dataclass_fields__} and entry["finding"] in NAMES
    )


def _has(trace: Trace, quantity: str) -> bool:
    if quantity.startswith("steps/"):
        return trace.step_curve(quantity.removeprefix("steps/")) is not None
    return quantity in trace.layers or trace.curve(quantity) is not None or trace.statistic(quantity) is not None
