"""Check before training that a stack computes the same outputs as its networks alone."""

from collections.abc import Sequence

import torch
from torch import Tensor

from paribus.stacked.modules import NotStackable, set_generators
from paribus.stacked.view import StackView
from paribus.training.learner import Learner


def check_outputs(learners: Sequence[Learner], view: StackView, inputs: Tensor) -> None:
    """Raise NotStackable unless the stack returns the same outputs as its K networks, for `inputs` (K, n, ...)."""
    for learner, own_inputs, output in zip(learners, inputs, view.infer(inputs), strict=True):
        if not torch.allclose(learner.infer(own_inputs), output, rtol=1e-3, atol=1e-4):
            raise NotStackable(f"{type(learner.network).__name__} returns other outputs in a stack")


def check_step(view: StackView, inputs: Tensor) -> None:
    """Raise NotStackable where a training step fails to give all gradients, or draws from torch's global generator.

    Parameters, buffers and the generator are left unchanged.
    """
    network = view.network
    name = type(network).__name__
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    set_generators(network, lambda: [torch.Generator() for _ in inputs])
    state = torch.get_rng_state()
    network.train()
    network(inputs).sum().backward()
    if not torch.equal(state, torch.get_rng_state()):
        torch.set_rng_state(state)
        raise NotStackable(f"{name} draws random numbers outside its dropout layers")
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if any(parameter.grad is None for parameter in trained):
        raise NotStackable("the loss does not depend on a part of the network")
    for parameter in trained:
        parameter.grad = None
    for name, buffer in network.named_buffers():
        buffer.copy_(buffers[name])
