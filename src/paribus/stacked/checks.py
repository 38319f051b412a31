"""Check before training that a stack computes the same outputs as its networks alone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from paribus.stacked.modules import NotStackable, set_generators
from paribus.stacked.view import StackView
from paribus.training.learner import Learner


def check_outputs(learners: Sequence[Learner], view: StackView, inputs: Tensor) -> None:
    """Raise NotStackable unless the stack returns the same outputs as its K networks, for `inputs` (K, n, ...)."""
    name = type(learners[0].network).__name__
    with _explaining_failures(name):
        outputs = view.infer(inputs)
    for learner, own_inputs, output in zip(learners, inputs, outputs, strict=True):
        if not torch.allclose(learner.infer(own_inputs), output, rtol=1e-3, atol=1e-4):
            raise NotStackable(f"{name} returns other outputs in a stack")


def check_step(view: StackView, inputs: Tensor) -> None:
    """Raise NotStackable where a training step fails to give all gradients, or draws from torch's global generator.

    Parameters, buffers and the generator are left unchanged.
    """
    network = view.network
    name = type(network).__name__
    buffers = {path: buffer.clone() for path, buffer in network.named_buffers()}
    set_generators(network, lambda: [torch.Generator(inputs.device) for _ in inputs])
    states = _read_generators(inputs.device)
    network.train()
    with _explaining_failures(name):
        network(inputs).sum().backward()
    if any(not torch.equal(*pair) for pair in zip(states, _read_generators(inputs.device), strict=True)):
        torch.set_rng_state(states[0])
        if inputs.is_cuda:
            torch.cuda.set_rng_state(states[1], inputs.device)
        raise NotStackable(f"{name} draws random numbers outside its dropout layers")
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if any(parameter.grad is None for parameter in trained):
        raise NotStackable("the loss does not depend on a part of the network")
    for parameter in trained:
        parameter.grad = None
    for path, buffer in network.named_buffers():
        buffer.copy_(buffers[path])


def _read_generators(device: torch.device) -> list[Tensor]:
    """Return the states of torch's global generators of the CPU and, if it is another one, of the device."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


@contextmanager
def _explaining_failures(name: str) -> Iterator[None]:
    """Raise an error of torch in the block as NotStackable: alone, the network has computed the same before."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise NotStackable(f"{name} fails in a stack ({str(error).splitlines()[0].rstrip('.')})") from error
