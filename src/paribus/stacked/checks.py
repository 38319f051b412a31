"""Check before training that a stack computes the same outputs and gradients as its networks alone."""

import pickle
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn

from paribus.models.layers import evaluation_mode
from paribus.stacked.modules import NotStackable, set_generators
from paribus.stacked.view import StackView
from paribus.training.learner import Learner

LARGEST_ERROR = 0.1  # of a gradient, relative to its norm
LEAST_GRADIENT = 1e-3  # of the norm of a network's largest gradient: differences below it are rounding


def check_outputs(learners: Sequence[Learner], view: StackView, inputs: Tensor) -> None:
    """Raise NotStackable unless the stack computes what its K networks compute, for `inputs` (K, n, ...).

    Outputs are compared and, since those of a last layer that starts at 0 say nothing of the layers before it, also the
    gradients: roughly, because rounding grows in a deep network.
    """
    name = type(learners[0].network).__name__
    with _explaining_failures(name):
        outputs = view.infer(inputs)
    for learner, own_inputs, output in zip(learners, inputs, outputs, strict=True):
        if not torch.allclose(learner.infer(own_inputs), output, rtol=1e-3, atol=1e-4):
            raise NotStackable(f"{name} returns other outputs in a stack")
    with _explaining_failures(name):
        stacked = _compute_gradients(view.network, inputs, lead=1)
    for k, (learner, own_inputs) in enumerate(zip(learners, inputs, strict=True)):
        gradients = _compute_gradients(learner.network, own_inputs)
        least = LEAST_GRADIENT * max((float(gradient.norm()) for gradient in gradients.values()), default=0.0)
        for path, gradient in gradients.items():
            error = float((stacked[path][k] - gradient).norm())
            if error > LARGEST_ERROR * float(gradient.norm()) + least:  # never where one is NaN, as alone
                raise NotStackable(f"{name} has other gradients in a stack")


def _compute_gradients(network: nn.Module, inputs: Tensor, lead: int = 0) -> dict[str, Tensor]:
    """Compute the gradients of a weighted sum of the outputs in evaluation mode, by path; `lead` is 1 in a stack."""
    named = {path: p for path, p in network.named_parameters() if p.requires_grad}
    with evaluation_mode(network), torch.enable_grad():
        outputs = network(inputs)
        own = outputs.shape[lead:]
        weights = torch.linspace(1, 2, own.numel(), device=outputs.device).view(own)
        gradients = torch.autograd.grad((outputs * weights).sum(), list(named.values()), materialize_grads=True)
    return dict(zip(named, gradients, strict=True))


def check_step(view: StackView, inputs: Tensor) -> None:
    """Raise NotStackable where a training step fails to give all gradients, or draws from a global generator.

    Parameters, buffers and the generators are left unchanged.
    """
    network = view.network
    name = type(network).__name__
    buffers = {path: buffer.clone() for path, buffer in network.named_buffers()}
    set_generators(network, lambda: [torch.Generator(inputs.device) for _ in inputs])
    network.train()
    with isolate_rng(), _explaining_failures(name):
        states = _read_generators(inputs.device)
        network(inputs).sum().backward()
        draws = states != _read_generators(inputs.device)
    if draws:
        raise NotStackable(f"{name} draws random numbers outside its dropout layers")
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if any(parameter.grad is None for parameter in trained):
        raise NotStackable("the loss does not depend on a part of the network")
    for parameter in trained:
        parameter.grad = None
    for path, buffer in network.named_buffers():
        buffer.copy_(buffers[path])


def _read_generators(device: torch.device) -> list[bytes]:
    """Return the states of the global generators: of Python, NumPy, and torch on the CPU and on the device."""
    states = [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]
    others = [pickle.dumps(random.getstate()), pickle.dumps(np.random.get_state())]
    return [*(state.numpy().tobytes() for state in states), *others]


@contextmanager
def _explaining_failures(name: str) -> Iterator[None]:
    """Raise an error in the block as NotStackable: alone, the network has computed the same before.

    An AttributeError is one of these, since a stacked layer has not all attributes of a layer alone.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise NotStackable(f"{name} fails in a stack ({str(error).splitlines()[0].rstrip('.')})") from error
