"""Define an instrument: something that is measured of a network while it trains."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import Tensor

from paribus.data.module import InMemory
from paribus.instruments.measurement import Measured
from paribus.instruments.subject import Subject
from paribus.loggers.histogram import Histogram
from paribus.models.layers import WeightLayer

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Instrument:
    """Something that is measured of a network while it trains. A subclass overrides what it needs.

    It belongs to one run, sees the network only through `learner`, draws no random number and changes nothing: with
    and without instruments a run has the same numbers. What is called within an epoch must not wait for the device
    (no .item(), no branch on a tensor's value).

    One Lightning callback, the recorder, carries all instruments: each further callback would cost every step 29
    microseconds on 2 cores (10 empty ones added to an MLP run of 422 steps an epoch).
    """

    learner: Subject
    data: InMemory
    in_stack: ClassVar[Literal["together", "once a run"] | None] = None
    """What becomes of it where many runs are trained as one (hydra/launcher=stacked). "together": one of it steps and
    measures for all, with a first axis of runs in every tensor (learner.lead is 1), also of an epoch's histograms; one
    for each run finishes, with its last histograms. "once a run": there is only that one, and nothing that steps or
    measures. None: its runs are not stacked."""

    def attach(self, learner: Subject, data: InMemory) -> None:
        """Called once, before training, with the network on its device and the data read. In a run that goes on the
        network is the trained one already."""
        self.learner = learner
        self.data = data

    def state_dict(self) -> dict[str, Any]:
        """What has to be known of past epochs to go on with an interrupted run: tensors and plain values. It goes into
        last.ckpt. `learner.initial` has the weights before training in any case."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Called after `attach` in a run that goes on, with what `state_dict` returned."""

    def before_step(self, step: int, samples: int) -> None:
        """Called with each step's gradients in place, neither clipped nor scaled.

        Args:
            step: of this epoch, counted from 0.
            samples: that the gradients are the mean of.
        """

    def after_step(self, step: int) -> None:
        """Called when the optimizer has moved the weights."""

    def measure(self, epoch: int) -> Iterable[Measured]:
        """Called after each epoch, counted from 1, and before training with 0; without gradients."""
        return ()

    def histograms(self, epoch: int, last: bool) -> Iterable[Histogram]:
        """Called after `measure`; and once more at the end of the run, then with `last`."""
        return ()

    def figures(self, epoch: int, last: bool) -> Iterable[tuple[str, "Figure"]]:
        """Figures under their tags. Called before training with epoch 0, and with `last` at the end of the run."""
        return ()

    def finish(self, directory: Path, best: dict[str, Tensor]) -> None:
        """Called at the end of the run, before the last figures.

        Args:
            directory: the run's, for files.
            best: the state of `learner.network` in the best epoch, the last one where nothing was validated.
        """

    def find_nonfinite_step(self, *run: int) -> int | None:
        """The first step of the epoch that has ended (counted from 0) whose values were not finite, if it is theirs to
        say so. A run has diverged by it if the weights are not finite either. Called after `measure`; of a stack with
        the number of the run."""
        return None

    def find_nonfinite_layer(self, step: int, *run: int) -> tuple[WeightLayer, str] | None:
        """The layer to blame for that step, and what of it was not finite, "activation" or "gradient"."""
        return None
