import pytest
import torch
from torch import nn

from paribus.training import schedulers


def optimizer(kind: type[torch.optim.Optimizer] = torch.optim.SGD, **arguments: float) -> torch.optim.Optimizer:
    return kind([nn.Parameter(torch.zeros(1))], lr=1.0, **arguments)


@pytest.mark.parametrize(("epochs", "size", "expected"), [
    (9, None, [1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01]),
    (2, None, [1, 0.1]),  # a third of two epochs is none: drop after one
    (5, 2, [1, 1, 0.1, 0.1, 0.01]),
])  # fmt: skip
def test_step_drops_after_a_third_of_the_epochs_or_as_told(epochs: int, size: int | None, expected: list) -> None:
    sgd = optimizer()
    schedule = schedulers.step(sgd, size, 0.1, epochs)
    rates = []
    for _ in range(epochs):
        rates.append(sgd.param_groups[0]["lr"])
        sgd.step()
        schedule.step()
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize(("kind", "arguments", "cycled"), [
    (torch.optim.SGD, {}, None),
    (torch.optim.SGD, {"momentum": 0.9}, "momentum"),
    (torch.optim.RMSprop, {}, None),
    (torch.optim.Adagrad, {}, None),
    (torch.optim.Adam, {}, "betas"),
])  # fmt: skip
def test_one_cycle_gives_no_optimizer_a_momentum_that_it_did_not_have(kind, arguments, cycled) -> None:
    used = optimizer(kind, **arguments)
    before = used.param_groups[0].get("momentum")
    schedule = schedulers.one_cycle(
        used, max_lr=2.0, total_steps=100, pct_start=0.3, div_factor=25, final_div_factor=1e4
    )
    rates, momenta = [], []
    for i in range(100):
        rates.append(used.param_groups[0]["lr"])
        momenta.append(used.param_groups[0].get(cycled))
        used.step()
        if i < 99:
            schedule.step()
    assert rates[0] == pytest.approx(2 / 25)
    assert max(rates) == pytest.approx(2)
    assert rates.index(max(rates)) == 29
    assert rates[-1] == pytest.approx(2 / 25 / 1e4)
    if cycled is None:
        assert used.param_groups[0].get("momentum") == before
    else:
        first = [m[0] if cycled == "betas" else m for m in momenta]
        assert first[0] == pytest.approx(0.95)
        assert min(first) == pytest.approx(0.85)
