"""Define the interface of instruments."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import Tensor

from paribus.data.foreign import ForeignData
from paribus.data.module import InMemory
from paribus.instruments.measurement import Measured
from paribus.instruments.step_gradients import StepGradients
from paribus.instruments.subject import Subject
from paribus.loggers.histogram import Histogram
from paribus.models.layers import WeightLayer

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Instrument:
    """A measurement of a network in training. Subclass it and override what you need; every method has a default.

    To use an instrument, name its class in a callbacks config (`_target_: my_parts.Largest`). This one records the
    largest absolute weight of each layer, before training and after each epoch:

        class Largest(Instrument):
            def measure(self, epoch):
                layers = self.learner.layers
                yield Measured("weight_largest", "weight", layers, torch.stack([x.weight.abs().max() for x in layers]))

    Order of calls: attach, load_state_dict (resumed runs only), measure, histograms and figures of epoch 0 (new runs
    only); in each epoch before_step and after_step for every optimizer step, then measure, scalars, histograms and
    find_nonfinite_step; at the end finish, histograms and figures with `last`.

    Rules:
        - An instrument belongs to one run and sees the network through `self.learner` alone (see Subject).
        - It draws no random number and changes nothing: results with and without it are equal.
        - before_step and after_step must not wait for the device: no .item(), no branch on a tensor's value.
        - An exception ends the run as failed. From attach, measure and finish, the message names the instrument.

    One Lightning callback carries all instruments, because each callback costs 29 us per step (2 cores, MLP).

    Attributes:
        learner: the network and its layers.
        gradients: those of the step that is about to be taken, in before_step; shared by all instruments of a run.
        data: the data set, with `train` and `val` loaded; of a user's LightningDataModule both are None.
        in_stack: how it works if K runs are trained as one (hydra/launcher=stacked). None: such runs are not stacked.
            "together": one instance steps and measures for all runs; every tensor, value and histogram has a first
            axis of K, and learner.lead is 1. `finish` and the last histograms are called on an instance for each run.
            "once a run": an instance for each run, without before_step, after_step and measure.
    """

    learner: Subject
    data: InMemory | ForeignData
    gradients: StepGradients
    in_stack: ClassVar[Literal["together", "once a run"] | None] = None

    def attach(self, learner: Subject, data: InMemory | ForeignData) -> None:
        """Prepare for a run; called once, before training, with the network on its device and the data loaded.

        An override calls super().attach(learner, data). In a resumed run the network already has its trained weights;
        `learner.initial` has the initial ones.
        """
        self.learner = learner
        self.data = data

    def state_dict(self, *run: int) -> dict[str, Any]:
        """Return what a resumed run needs to know of past epochs, as tensors and plain values, for last.ckpt.

        `run`: number of the run in a stack.
        """
        return {}

    def load_state_dict(self, *states: dict[str, Any]) -> None:
        """Load what `state_dict` returned, in a stack that of each run; called after `attach` in a resumed run."""

    def before_step(self, step: int, samples: int | Tensor) -> None:
        """Observe the gradients of a step, before clipping; they are unscaled also under mixed precision.

        Args:
            step: number of the step in this epoch, from 0.
            samples: number of samples that the gradients are the mean of; (K,) for a last batch of which the runs of
                a stack have different numbers, where all instruments are Paribus' own.
        """

    def after_step(self, step: int) -> None:
        """Observe the weights after the optimizer's step; also after a step that a loss scaler has skipped."""

    def measure(self, epoch: int) -> Iterable[Measured]:
        """Yield the quantities of an epoch (from 1; 0 is before training) for layers.parquet and the loggers.

        Called without gradients. Each pair of quantity and tensor may have one value per layer and epoch; a second
        one, or values of another shape, raise UserError.
        """
        return ()

    def scalars(self, epoch: int) -> Mapping[str, Tensor]:
        """Return quantities of the whole network by column of metrics.csv, GROUP/NAME: each (), or (K,) in a stack.

        Called after each epoch (from 1), without gradients. NaN stands for a value that could not be measured in this
        epoch: its cell stays empty.
        """
        return {}

    def histograms(self, epoch: int, last: bool) -> Iterable[Histogram]:
        """Yield histograms for TensorBoard; called after `measure`, and at the end of the run with `last`."""
        return ()

    def figures(self, epoch: int, last: bool) -> Iterable[tuple[str, "Figure"]]:
        """Yield (tag, figure) for TensorBoard; called with epoch 0 and at the end of the run with `last`."""
        return ()

    def finish(self, directory: Path, best: dict[str, Tensor]) -> None:
        """Write files at the end of the run, before the last histograms and figures.

        Args:
            best: state_dict of `learner.network` at the best epoch; at the last one without validation.
        """

    def find_nonfinite_step(self, *run: int) -> int | None:
        """Return the first step (from 0) of the ended epoch with a non-finite value, or None; called after `measure`.

        The run has diverged there if its weights are not finite either. `run`: number of the run in a stack.
        """
        return None

    def find_nonfinite_layer(self, step: int, *run: int) -> tuple[WeightLayer, str] | None:
        """Return the layer that became non-finite first in a step, with "activation" or "gradient"; None if unknown."""
        return None
