"""Optimizers, schedules, norms and activations in stacks: each run has the record that it would have alone."""

from pathlib import Path

import pandas
import pytest
import torch
from small_stacks import curves, jobs
from test_stack import FEWER, Both, both, same_curves  # noqa: F401  both is a fixture
from torch import nn

from paribus.models.mlp import MLP
from paribus.stacked.attempt import attempt_stack
from paribus.stacked.grouping import group_runs
from paribus.stacked.modules import get_member_state, stack_modules

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("optim", ["muon", "radam", "nadamw", "adamax", "amsgrad"])
@pytest.mark.cases(2)
def test_optimizers(both: Both, optim: str) -> None:  # noqa: F811
    same_curves(both(*FEWER, f"optim={optim}", "optim.lr=0.001,0.0005", "optim.weight_decay=0,0.1"))


@pytest.mark.parametrize("values", [
    "scheduler=linear,polynomial",
    "scheduler=inverse_sqrt",
    "scheduler=wsd scheduler.decay=linear,sqrt",
    "scheduler=warm_restarts scheduler.T_0=1,2",
    "warmup=linear warmup.steps=3,5",
    "warmup=linear scheduler=cosine warmup.epochs=1.5",
    "warmup=none,linear",
    "model.norm=layer",
    "model.norm=group activation=prelu",
    "model.norm=rms activation=relu2",
])  # fmt: skip
@pytest.mark.cases(2)
def test_values(both: Both, values: str) -> None:  # noqa: F811
    separate = [value for value in values.split() if "," in value and value.startswith(("scheduler=", "warmup="))]
    if separate:  # runs with and without, or of two classes, are no stack
        name, _, options = separate[0].partition("=")
        for option in options.split(","):
            same_curves(both(*FEWER, f"{name}={option}", "optim.lr=0.001,0.0005", f"study={option}"))
    else:
        same_curves(both(*FEWER, *values.split(), "optim.lr=0.001,0.0005"))


@pytest.mark.parametrize("norm", ["layer", "group", "rms"])
def test_a_stacked_norm_has_the_outputs_and_gradients_of_its_networks(norm: str) -> None:
    torch.manual_seed(0)
    networks = [MLP((8,), 3, nn.PReLU, hidden=[64, 32], norm=norm) for _ in range(3)]
    for parameter in (p for network in networks for p in network.parameters()):
        parameter.data += torch.randn_like(parameter) / 10
    stacked, inputs = stack_modules(networks), torch.randn(3, 10, 8)
    output, expected = stacked(inputs), torch.stack([n(own) for n, own in zip(networks, inputs, strict=True)])
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
    output.square().sum().backward()
    expected.square().sum().backward()
    for name, parameter in stacked.named_parameters():
        assert parameter.grad is not None
        own = torch.stack([network.get_parameter(name).grad for network in networks])
        torch.testing.assert_close(parameter.grad, own, rtol=1e-3, atol=1e-3)
    for name, tensor in networks[1].state_dict().items():
        assert torch.equal(get_member_state(stacked, 1)[name], tensor)


@pytest.mark.parametrize(("typed", "reason"), [
    (["optim=schedulefree_adamw"], "the optimizer is AdamWScheduleFree, whose step may need more than the gradients"),
    (["optim=sam"], "the optimizer is SAM"),
    (["averaging=ema"], "its weights are averaged"),
    (["scheduler=plateau"], "the schedule depends on the run's own metrics"),
])  # fmt: skip
def test_what_is_executed_alone_says_why(tmp_path: Path, typed: list[str], reason: str) -> None:
    groups, alone = group_runs(jobs(tmp_path / "s", *FEWER, *typed, "seed=1,2"))
    assert not groups
    assert [text.startswith(reason) for text in alone] == [True]


def test_a_stack_with_a_warm_up_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = (*FEWER, "warmup=linear", "warmup.steps=7", "scheduler=cosine", "optim=radam", "optim.lr=0.001,0.0005")
    whole = jobs(tmp_path / "whole", *typed)
    attempt_stack(whole)
    from paribus.stacked.stack import Stack

    trained = Stack._train_epoch

    def stop(self: Stack) -> None:
        if self.epoch == 1:
            self._write_checkpoints()
            raise KeyboardInterrupt
        trained(self)

    with monkeypatch.context() as patch:
        patch.setattr(Stack, "_train_epoch", stop)
        attempt_stack(jobs(tmp_path / "stopped", *typed))
    resumed = jobs(tmp_path / "stopped", *typed)
    attempt_stack(resumed)
    for one, other in zip(whole, resumed, strict=True):
        pandas.testing.assert_frame_equal(curves(one.directory), curves(other.directory), check_exact=True)
