"""A stack on a device of its own: what a step may not do there, and a stack that is too large for it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from small_stacks import jobs, read_summary
from torch.utils._python_dispatch import TorchDispatchMode

from paribus.run.attempt import Outcome
from paribus.stacked import device
from paribus.stacked.attempt import attempt_stack
from paribus.stacked.optimizer import StackedOptimizer
from paribus.stacked.stack import Stack

pytestmark = pytest.mark.slow
WAITING = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "unique", "masked_select")  # for the device


class Noting(TorchDispatchMode):
    """Notes operations that would wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.partition(".")[0]
        if name in WAITING:
            self.noted.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "typed",
    [
        "model=regression model.dropout=0.2 model.norm=batch optim=adam optim.lr=0.01,0.02 scheduler=onecycle",
        "model=regression model.dropout=0.2 data.split=grouped data.batch_size=160 seed=1,2",  # the fifth is padded
        "model=vgg6 model.width_multiplier=0.02 optim=muon trainer.gradient_clip_val=1,2 seed=1",
    ],
)
def test_a_step_neither_waits_for_the_device_nor_makes_tensors_elsewhere(
    tmp_path: Path, cifar_root: Path, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    """Between the first and the last step of an epoch a tensor made on the default device is one on "meta", which no
    operation combines with others."""
    more = ["callbacks=none", "logger=none"]
    if "vgg6" in typed:
        more += [f"data.root={cifar_root}", "data.verify=false", "data.val_size=10", "data.batch_size=16"]
    mode, taken, build, step = Noting(), [0], Stack.__init__, StackedOptimizer.step
    elsewhere = torch.device("meta")  # not torch.set_default_device: torch 2.6 cannot take that back

    def build_as_on_a_gpu(self: Stack, *given: Any) -> None:
        build(self, *given)
        self.looks = False

    def noting_step(self: StackedOptimizer) -> Any:
        failed = step(self)
        taken[0] += 1
        if taken[0] == 1:
            elsewhere.__enter__()
            mode.__enter__()
        elif taken[0] == 5:
            mode.__exit__(None, None, None)
            elsewhere.__exit__(None, None, None)
        return failed

    monkeypatch.setattr(Stack, "__init__", build_as_on_a_gpu)
    monkeypatch.setattr(StackedOptimizer, "step", noting_step)
    assert attempt_stack(jobs(tmp_path / "s", *typed.split(), *more)) == [Outcome()] * 2
    assert taken[0] > 5 and mode.noted == []


def test_a_stack_that_does_not_fit_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check, built = Stack.__init__, list[int]()

    def refuse_large(self: Stack, members: Any, *others: Any) -> None:
        built.append(len(members))
        if len(members) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        check(self, members, *others)

    monkeypatch.setattr(Stack, "__init__", refuse_large)
    studied = jobs(tmp_path / "s", "seed=range(5)", "callbacks=none", "logger=none")
    assert attempt_stack(studied) == [Outcome()] * 5
    assert built == [5, 2, 3, 2]  # of the three, one is trained alone
    sizes = [read_summary(job.directory).get("stacked") for job in studied]
    assert sorted(sizes, key=str) == [2, 2, 2, 2, None]
    [log] = studied[0].directory.glob("*.log")
    assert "A stack of 5 runs does not fit into the device's memory: cut into 2 and 3." in log.read_text()


@pytest.mark.parametrize(
    ("there", "trainer", "expected"),
    [
        (None, {"accelerator": "auto", "devices": 1}, "cpu"),
        ("cuda", {"accelerator": "cpu", "devices": 1}, "cpu"),
        ("cuda", {"accelerator": "auto", "devices": [3]}, "cuda:3"),
        ("cuda", {"accelerator": "gpu", "devices": 1}, "cuda:0"),
        ("mps", {"accelerator": "auto", "devices": 1}, None),
        (None, {"accelerator": "gpu", "devices": 1}, None),
    ],
)
@pytest.mark.cases(6)
def test_the_device_is_that_of_the_trainer(
    monkeypatch: pytest.MonkeyPatch, there: str | None, trainer: dict[str, Any], expected: str | None
) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: there is not None)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: there and torch.device(there))
    found = device.choose_device(trainer)
    assert (found and str(found)) == expected
