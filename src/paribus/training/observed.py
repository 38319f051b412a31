"""Show instruments a network that Lightning trains: its outputs, its loss on a probe, and its optimizer's averages."""

from collections.abc import Mapping

import lightning
import torch
from torch import Tensor, nn

from paribus.instruments.subject import select_moments
from paribus.models.layers import evaluation_mode
from paribus.training.losses import Loss
from paribus.training.sums import EpochSums


class Observed(lightning.LightningModule):
    """A LightningModule with a `network`, a `loss` and `training_sums`, as instruments see it (see Subject)."""

    network: nn.Module
    loss: Loss
    training_sums: EpochSums

    @property
    def loss_scaled(self) -> bool:
        """True if the loss is scaled (16-mixed). The optimizer then skips a step whose gradients overflow."""
        return getattr(self.trainer.precision_plugin, "scaler", None) is not None

    @property
    def step_losses(self) -> Tensor | None:
        return self.training_sums.ended if self.trainer.world_size == 1 else None

    def has_finite_weights(self) -> bool:
        """Return whether every parameter is finite. This waits for the device."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self.parameters())

    def infer(self, inputs: Tensor) -> Tensor:
        """Return the network's outputs in evaluation mode, in the run's precision; without a trainer in its own."""
        try:
            precision = self.trainer.precision_plugin
        except RuntimeError:  # there is no trainer
            with evaluation_mode(self.network):
                return self.network(inputs)
        with evaluation_mode(self.network), precision.forward_context():
            return self.network(precision.convert_input(inputs))

    def predict(self, inputs: Tensor) -> Tensor:
        """Return what the outputs for `inputs` mean, in single precision; see Loss.interpret."""
        return self.loss.interpret(self.infer(inputs).float())

    def compute_loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        # not under autocast, whose rounding would hide the small differences that curvature is computed from
        inputs, targets = self.trainer.precision_plugin.convert_input((inputs, targets))
        with evaluation_mode(self.network), torch.enable_grad():
            return average_loss(self.loss, self.network(inputs), targets)

    def get_moments(self, parameter: Tensor) -> Mapping[str, Tensor]:
        return select_moments(self.trainer.optimizers, parameter)


def average_loss(loss: Loss, output: Tensor, targets: Tensor, lead: int = 0) -> Tensor:
    """Average the losses of samples in double precision, where the device has it: (), or (K,) with `lead` 1.

    A loss without values for samples is returned as it is. With `lead`, outputs and targets are (K, n, ...).
    """
    if not loss.has_samples:
        return loss(output, targets)
    if lead:
        losses = loss.of_samples(output.flatten(0, 1), targets.flatten(0, 1)).unflatten(0, output.shape[:2])
    else:
        losses = loss.of_samples(output, targets)
    if losses.device.type != "mps":
        losses = losses.double()
    return loss.average(losses.flatten(lead), targets.flatten(lead))
