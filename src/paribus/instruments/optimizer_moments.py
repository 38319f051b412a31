"""Measure the averages that an optimizer keeps."""

from collections.abc import Iterable

from torch import Tensor

from paribus.instruments import quantities
from paribus.instruments.instrument import Instrument
from paribus.instruments.measurement import Measured, require_positive, split_by_tensor
from paribus.instruments.subject import list_stepped
from paribus.models.layers import WeightLayer


class OptimizerMoments(Instrument):
    """The 2-norms of the averages that the optimizer keeps of each layer's gradients, at the end of an epoch.

    Quantities of tensors "weight" and "bias": the name of each state tensor of the parameter's shape, with _norm.
        exp_avg_norm, exp_avg_sq_norm: of Adam and its relatives (Kingma & Ba, 2015), without correction of their bias;
            the second average is in squared units of the gradient.
        momentum_buffer_norm: of SGD with momentum, in units of the gradient / (1 - momentum).

    Other optimizers have names of their own. Plain SGD has no averages, and nothing is recorded.

    Args:
        every_n_epochs: epochs between measurements, from the first.

    Raises UserError for an argument below 1.
    """

    in_stack = "together"

    def __init__(self, every_n_epochs: int = 1):
        require_positive("optimizer_moments.every_n_epochs", every_n_epochs)
        self.every_n_epochs = every_n_epochs

    def measure(self, epoch: int) -> Iterable[Measured]:
        if epoch == 0 or (epoch - 1) % self.every_n_epochs:
            return
        found: dict[str, tuple[list[tuple[WeightLayer, str]], list[Tensor]]] = {}
        for layer, tensor, parameter in list_stepped(self.learner):
            for name, value in self.learner.get_moments(parameter).items():
                owners, values = found.setdefault(name, ([], []))
                owners.append((layer, tensor))
                values.append(value)
        for name, (owners, values) in found.items():
            yield from split_by_tensor(f"{name}_norm", owners, quantities.norm(values, self.learner.lead))
