"""Define a finding, and put findings into words."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

NAMES = {  # of findings, as a sentence has them
    "diverged": "diverged",
    "gradients_vanish": "gradients vanish",
    "gradients_explode": "gradients explode",
    "dead_units": "dead units",
    "saturated_units": "saturated units",
    "updates_too_large": "updates too large",
    "updates_too_small": "updates too small",
    "edge_of_stability": "at the edge of stability",
    "loss_spikes": "loss spikes",
    "at_baseline": "no better than a constant prediction",
    "overfits": "overfits",
    "still_improving": "still improving at the end",
}
MOST_LAYERS = 2  # that are named one by one


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a run.

    Attributes:
        finding: a key of NAMES.
        layers: the layers in which it was found, input first; none for the network as a whole.
        epoch: the epoch, from 1, in which it begins; 0: before training; None: it has none.
        evidence: `text` in words, and the `value` that was held against the threshold.
        threshold: of that value; None where there is none.
        remedy: options to try, or what to do in words where the run has no such option.
        step: the optimizer step, from 1, at which it begins; None where only the epoch is known.
    """

    finding: str
    layers: tuple[str, ...]
    epoch: int | None
    evidence: Mapping[str, Any]
    threshold: float | None
    remedy: str
    step: int | None = None

    def as_object(self) -> dict[str, Any]:
        """Return the entry of summary.json."""
        return {**asdict(self), "layers": list(self.layers), "evidence": dict(self.evidence)}

    @property
    def where(self) -> str:
        """The layers in words; empty for the network as a whole."""
        if not self.layers:
            return ""
        named = self.layers if len(self.layers) <= MOST_LAYERS else (self.layers[0], self.layers[-1])
        return (" and " if len(self.layers) <= MOST_LAYERS else " to ").join(named)

    def describe(self) -> str:
        """Put it into one sentence, without the remedy."""
        where = f" in {self.where}" if self.layers else ""
        since = "" if self.epoch is None else " before training" if self.epoch == 0 else f" from epoch {self.epoch}"
        if self.step is not None:
            since += f", step {self.step:,}"
        if self.finding == "diverged":
            since = f" in epoch {self.epoch}"
        elif self.finding == "still_improving":
            since = ""
        return f"{NAMES[self.finding]}{where}{since} ({self.evidence['text']})"


def describe_findings(findings: Sequence[Finding]) -> str:
    """Put findings into one line, with the remedy of the first, which is the gravest."""
    return f"{'; '.join(found.describe() for found in findings)}. Try {findings[0].remedy}."
