"""The device of a stack: which one it is, how runs move to it, and how much memory it has."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from hydra.core.utils import env_override

from paribus.data.module import InMemory
from paribus.training.learner import Learner

CUDA = ("auto", "gpu", "cuda")  # values of trainer.accelerator by which Lightning takes a GPU of CUDA or ROCm
UNKNOWN_MEMORY = 4 * 2**30  # bytes, where the system does not tell


def choose_device(trainer: Mapping[str, Any]) -> torch.device | None:
    """Return the device of node `trainer`: the CPU, or one GPU of CUDA or ROCm. None where it is another one."""
    accelerator, devices = trainer["accelerator"], trainer["devices"]
    there = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator == "cpu" or (accelerator == "auto" and there is None):
        return torch.device("cpu")
    if accelerator in CUDA and there is not None and there.type == "cuda":
        return torch.device("cuda", devices[0] if isinstance(devices, list) else 0)
    return None


def describe_device(device: torch.device) -> str:
    """Return the name of a GPU, or "cpu", as the summary of a run has it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def move_parts(learner: Learner, data: InMemory, device: torch.device) -> None:
    """Move a run's network, loss and data to the device of its stack."""
    learner.to(device)
    learner.loss.to(device)
    assert data.train is not None and data.val is not None
    data.train, data.val = ((inputs.to(device), targets.to(device)) for inputs, targets in (data.train, data.val))


@contextmanager
def choosing_algorithms(trainer: Mapping[str, Any], device: torch.device) -> Iterator[None]:
    """Use deterministic algorithms on a GPU within the block if node `trainer` asks for them, as Lightning does."""
    if device.type == "cpu" or not trainer["deterministic"]:
        yield
        return
    name = "CUBLAS_WORKSPACE_CONFIG"
    with env_override({name: os.environ.get(name, ":4096:8")}):
        before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True, warn_only=trainer["deterministic"] == "warn")
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)


def count_free_bytes(device: torch.device) -> int:
    """Return how many bytes of the device's memory are free."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not every system reports it
        return UNKNOWN_MEMORY


def send_values(values: Sequence[float], device: torch.device) -> torch.Tensor:
    """Return numbers as a tensor on the device, without waiting for it."""
    tensor = torch.tensor(values, device="cpu")
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)
