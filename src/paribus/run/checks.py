"""Check that a network fits its data before it is trained."""

import logging

import torch
from torch import nn

from paribus.data.foreign import ForeignData
from paribus.data.module import InMemory
from paribus.errors import UserError
from paribus.models.layers import BATCH_NORMS, Call, trace_calls

log = logging.getLogger(__name__)


def inspect_network(network: nn.Module, data: InMemory | ForeignData) -> list[Call]:
    """Pass two samples through the network and return the calls of its modules.

    Raises UserError where the network does not accept the inputs, or returns another shape than the data need.
    """
    name = type(network).__name__
    inputs = data.get_first_inputs("train", 2)
    assert inputs is not None
    expected = (len(inputs), data.out_features) if data.task == "classification" else (len(inputs),)
    try:
        output, calls = trace_calls(network, inputs)
    except RuntimeError as error:
        raise UserError(f"{name} does not take inputs of shape {tuple(inputs.shape[1:])}: {error}") from None
    if not isinstance(output, torch.Tensor) or tuple(output.shape) != expected:
        got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise UserError(f"{name} returns {got} for {len(inputs)} samples; {data.task} on these data needs {expected}.")
    return calls


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
