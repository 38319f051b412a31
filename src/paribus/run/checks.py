"""Check that a network fits its data before it is trained."""

import logging
import os
from collections.abc import Callable

import torch
from torch import Tensor, nn

from paribus.data.foreign import ForeignData
from paribus.data.module import InMemory
from paribus.errors import UserError
from paribus.models.layers import BATCH_NORMS, Call, trace_calls
from paribus.training.losses import Loss

log = logging.getLogger(__name__)


def inspect_network(network: nn.Module, data: InMemory | ForeignData, loss: Loss) -> tuple[list[Call], Tensor]:
    """Pass two samples through the network; return the calls of its modules and the outputs.

    Raises UserError where the network does not accept the inputs, or returns another shape than the data need.
    """
    name = type(network).__name__
    inputs = data.get_first_inputs("train", 2)
    assert inputs is not None
    samples = len(inputs)
    expected = {"classification": (samples, data.out_features), "binary": (samples, 1), "regression": (samples,)}[
        loss.task
    ]
    try:
        output, calls = trace_calls(network, inputs)
    except RuntimeError as error:
        raise UserError(f"{name} does not take inputs of shape {tuple(inputs.shape[1:])}: {error}") from None
    if loss.binary and isinstance(output, Tensor) and output.shape == (samples,):
        return calls, output
    if not isinstance(output, Tensor) or tuple(output.shape) != expected:
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        hint = " Leave out the last axis: outputs.squeeze(-1)." if got == (*expected, 1) else ""
        needed = f"{data.task} on these data needs {expected}.{hint}"
        raise UserError(f"{name} returns {got} for {samples} samples; {needed}")
    return calls, output


def check_outputs(loss: Loss, output: Tensor, data: InMemory | ForeignData) -> None:
    """Raise UserError where the loss needs other outputs than these of an untrained network, or other targets."""
    if isinstance(loss.module, nn.NLLLoss) and not torch.allclose(output.exp().sum(1), torch.ones(1), atol=1e-3):
        raise UserError(
            "loss=nll needs a network that returns logarithms of probabilities (nn.LogSoftmax as its last module); "
            "the probabilities of this one do not sum to 1. For scores choose loss=cross_entropy."
        )
    if not isinstance(loss.module, nn.PoissonNLLLoss) or isinstance(data, ForeignData):
        return
    parts = [part for part in (data.train, data.val) if part is not None]
    if any(bool((targets < 0).any()) for _, targets in parts):
        raise UserError("loss=poisson is for counts, which are not negative; some targets are. Choose another loss.")


def check_memory(make_network: Callable[[], nn.Module]) -> None:
    """Raise UserError where a network and its gradients are larger than this machine's memory.

    It is built without values: to build it with them could take all memory, and end the process.
    """
    with torch.device("meta"):
        network = make_network()
    parameters = sum(p.numel() for p in network.parameters())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if 8 * parameters > memory:  # 4 bytes for a weight, and 4 for its gradient
        raise UserError(
            f"{type(network).__name__} would have {parameters:,} parameters, with their gradients "
            f"{8 * parameters / 2**30:,.0f} GiB; this machine has {memory / 2**30:,.0f} GiB. Choose a smaller model."
        )


def check_batch_norm(network: nn.Module, data: InMemory | ForeignData, processes: int, synchronised: bool) -> None:
    """Raise UserError where a batch norm would train on one sample; warn where processes do not share statistics."""
    if not any(isinstance(m, BATCH_NORMS) for m in network.modules()) or isinstance(data, ForeignData):
        return
    assert data.train is not None
    samples = len(data.train[0])
    last = samples % data.batch_size or min(samples, data.batch_size)
    if samples % data.batch_size == 1 or (processes > 1 and last // processes < 2):
        among = f", shared by {processes} processes" if processes > 1 else ""
        raise UserError(
            f"Batch normalisation cannot train on a batch of one sample: the last of {samples} in batches "
            f"of {data.batch_size}{among}. Choose another data.batch_size or data.train_subset."
        )
    if processes > 1 and not synchronised:
        log.warning(
            "Batch normalisation sees only the process's own share of a batch in each of the %d processes: results "
            "differ from those of one process.",
            processes,
        )
