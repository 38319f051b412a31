"""The learning rates of schedules and warm-ups, in closed form; what cannot be is refused."""

from math import ceil, cos, pi, sqrt
from typing import Any

import pytest
import torch
from conftest import ROOT, main
from omegaconf import OmegaConf
from torch import nn

from paribus.config.schedules import check_schedules
from paribus.errors import UserError
from paribus.run.optimization import plan_schedule
from paribus.training.muon import Muon
from paribus.training.schedule import Schedule

EPOCHS, AN_EPOCH = 12, 5
TOTAL = EPOCHS * AN_EPOCH


def node_of(group: str, name: str, **changed: Any) -> dict[str, Any]:
    text = (ROOT / "conf" / group / f"{name}.yaml").read_text().replace("${trainer.max_epochs}", str(EPOCHS))
    node: Any = OmegaConf.to_container(OmegaConf.create(text.replace("${optim.lr}", "1.0")))
    return node | changed


def config_of(scheduler: dict[str, Any], warmup: dict[str, Any] | None = None) -> dict[str, Any]:
    config = {"scheduler": scheduler, "trainer": {"max_epochs": EPOCHS}, "optim": {"_target_": "torch.optim.SGD"}}
    return config if warmup is None else config | {"warmup": warmup}


def rates_of(config: dict[str, Any], metrics: list[float] | None = None, resume: int | None = None) -> list[float]:
    """The rate of each step of a run whose optimizer begins with 1; resumed after an epoch, if one is given."""
    check_schedules(config)
    plan = plan_schedule(config)
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    schedule = None if plan.make is None else plan.make(optimizer, TOTAL)
    rates = []
    for n in range(TOTAL):
        rates.append(optimizer.param_groups[0]["lr"])
        parameter.grad = torch.zeros(1)
        optimizer.step()
        ended = (n + 1) % AN_EPOCH == 0
        if schedule is not None and n + 1 < TOTAL and (plan.interval == "step" or ended):
            schedule.step()
        if plan.monitor is not None and ended:
            assert isinstance(schedule, Schedule) and metrics is not None
            schedule.observe(metrics[n // AN_EPOCH])
        if ended and resume == (n + 1) // AN_EPOCH:
            assert plan.make is not None and schedule is not None
            stored = optimizer.state_dict(), schedule.state_dict()
            optimizer = torch.optim.SGD([parameter], lr=1.0)
            schedule = plan.make(optimizer, TOTAL)
            optimizer.load_state_dict(stored[0])
            schedule.load_state_dict(stored[1])
    return rates


def by_epoch(rate: Any) -> list[float]:
    return [rate(n // AN_EPOCH) for n in range(TOTAL)]


FORMS: dict[str, list[float]] = {
    "none": [1.0] * TOTAL,
    "linear": by_epoch(lambda e: 1 - e / EPOCHS),
    "polynomial": by_epoch(lambda e: (1 - e / EPOCHS) ** 0.9),
    "inverse_sqrt": [sqrt(6 / max(n, 6)) for n in range(1, TOTAL + 1)],
    "wsd": [*(n / 3 for n in range(1, 4)), *[1.0] * 45, *(1 - sqrt(n / 12) for n in range(12))],
    "warm_restarts": by_epoch(lambda e: (1 + cos(pi * (e / 10 if e < 10 else (e - 10) / 20))) / 2),
    "cosine": by_epoch(lambda e: (1 + cos(pi * e / EPOCHS)) / 2),
    "step": by_epoch(lambda e: 0.1 ** (e // 4)),
    "exponential": by_epoch(lambda e: 0.9**e),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("resume", [None, 1, 7])
def test_rates(name: str, resume: int | None) -> None:
    config = config_of(node_of("scheduler", name))
    if name == "none" and resume:
        return
    assert rates_of(config, resume=resume) == pytest.approx(FORMS[name], rel=1e-6)


@pytest.mark.parametrize("name", sorted(set(FORMS) - {"wsd"}))
@pytest.mark.parametrize(
    ("given", "steps"), [({"steps": 7}, 7), ({"epochs": 2}, 10), ({"share": 0.21}, ceil(0.21 * TOTAL))]
)
@pytest.mark.parametrize("resume", [None, 1, 7])
def test_a_warm_up_multiplies_the_rates_of_its_first_steps(
    name: str, given: dict[str, float], steps: int, resume: int | None
) -> None:
    config = config_of(node_of("scheduler", name), node_of("warmup", "linear", **given))
    expected = [rate * min(1, n / steps) for n, rate in enumerate(FORMS[name], start=1)]
    assert rates_of(config, resume=resume) == pytest.approx(expected, rel=1e-6)


def test_a_warm_up_takes_a_twentieth_of_the_run_unless_told() -> None:
    rates = rates_of(config_of(node_of("scheduler", "none"), node_of("warmup", "linear")))
    assert rates == pytest.approx([1 / 3, 2 / 3, *[1.0] * 58])


def test_vaswanis_rates() -> None:
    """d^-0.5 min(n^-0.5, n w^-1.5), but for its factor."""
    rates = rates_of(config_of(node_of("scheduler", "inverse_sqrt"), node_of("warmup", "linear", steps=6)))
    assert rates == pytest.approx([sqrt(6) * min(n**-0.5, n * 6**-1.5) for n in range(1, TOTAL + 1)])


@pytest.mark.parametrize("resume", [None, 3, 6])
@pytest.mark.parametrize("warmup", [None, 8])
def test_a_plateau_lowers_the_rate_when_nothing_has_improved(resume: int | None, warmup: int | None) -> None:
    losses = [5, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, 3.0]
    # no improvement for more than one epoch: after epoch 4, and after 7, 9, 11
    expected = by_epoch(lambda e: 0.5 ** sum(e >= end for end in (4, 7, 9, 11)))
    linear = None if warmup is None else node_of("warmup", "linear", steps=warmup)
    config = config_of(node_of("scheduler", "plateau", patience=1, factor=0.5), linear)
    expected = [rate * min(1, n / (warmup or 1)) for n, rate in enumerate(expected, start=1)]
    assert rates_of(config, losses, resume) == pytest.approx(expected)
    if warmup is None and resume is None:
        node = node_of("scheduler", "plateau", patience=1, factor=0.5, monitor="val/acc")
        assert rates_of(config_of(node), [10 - loss for loss in losses]) == pytest.approx(expected)


def test_schedulers_of_schedulers_are_built_within() -> None:
    parts = [
        {"_target_": "torch.optim.lr_scheduler.ConstantLR", "factor": 0.5, "total_iters": 2},
        {"_target_": "torch.optim.lr_scheduler.ExponentialLR", "gamma": 0.8},
    ]
    node = {"_target_": "torch.optim.lr_scheduler.SequentialLR", "schedulers": parts, "milestones": [2]}
    assert rates_of(config_of(node)) == pytest.approx(by_epoch(lambda e: 0.5 if e < 2 else 0.8 ** (e - 2)))
    chained = {"_target_": "torch.optim.lr_scheduler.ChainedScheduler", "schedulers": parts}
    assert rates_of(config_of(chained)) == pytest.approx(by_epoch(lambda e: (0.5 if e < 2 else 1) * 0.8**e))


@pytest.mark.muon
def test_a_cycle_keeps_the_ratio_of_the_rates_of_two_groups() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 1))
    optimizer = Muon(network.parameters(), lr=1.0, adamw_lr=0.01)
    plan = plan_schedule(config_of(node_of("scheduler", "onecycle")))
    assert plan.make is not None
    schedule = plan.make(optimizer, TOTAL)
    for n in range(TOTAL):
        one, other = (group["lr"] for group in optimizer.param_groups)
        assert other == pytest.approx(0.01 * one)
        optimizer.step()
        if n + 1 < TOTAL:
            schedule.step()


@pytest.mark.parametrize(
    ("scheduler", "warmup", "said"),
    [
        (node_of("scheduler", "cosine", T_max=20), None, r"scheduler.T_max is 20, but the run has 12 epochs.*max_epochs=20"),
        (node_of("scheduler", "step", step_size=13), None, "scheduler.step_size is 13, but the run has 12 epochs"),
        (node_of("scheduler", "linear", total_iters=13), None, "scheduler.total_iters is 13"),
        (node_of("scheduler", "warm_restarts", T_0=13), None, "scheduler.T_0 is 13"),
        (node_of("scheduler", "cosine", T_max=61, interval="step"), None, r"T_max is 61, but the run has 60 steps.*=13\."),
        (node_of("scheduler", "onecycle", total_steps=61), None, "scheduler.total_steps is 61, but the run has 60 steps"),
        (node_of("scheduler", "wsd", decay_share=0.96), None, "are more than the whole run together"),
        (node_of("scheduler", "wsd", decay="cubic"), None, "There is no 'cubic' in scheduler.decay"),
        (node_of("scheduler", "wsd"), {}, "warms up by itself. Leave out warmup="),
        (node_of("scheduler", "onecycle"), {}, "warms up by itself"),
        (node_of("scheduler", "none"), {"steps": 61}, "warmup.steps is 61, but the run has 60 steps in 12 epochs"),
        (node_of("scheduler", "none"), {"epochs": 13}, "warmup.epochs is 13, but the run"),
        (node_of("scheduler", "none"), {"epochs": 1, "share": 0.1}, "warmup.share and warmup.epochs are given together"),
        (node_of("scheduler", "plateau", monitor="val/f1"), None, "a higher val/f1 is better is not known.*scheduler.mode"),
        (node_of("scheduler", "plateau", interval="step"), None, "scheduler.interval is step"),
        (node_of("scheduler", "cosine", monitor="val/loss"), None, "follows no metric"),
        ({"_target_": "torch.optim.lr_scheduler.SequentialLR", "schedulers": [3], "milestones": [1]}, None, "must be a list"),
        ({"_target_": "torch.optim.lr_scheduler.SequentialLR", "milestones": [1]}, None, "^scheduler: .*schedulers"),
    ],
    ids=lambda value: str(value.get("_target_") if isinstance(value, dict) else value)[-20:],
)  # fmt: skip
def test_what_cannot_be_is_refused(scheduler: dict[str, Any], warmup: dict[str, Any] | None, said: str) -> None:
    with pytest.raises(UserError, match=said):
        rates_of(config_of(scheduler, warmup), [1.0] * EPOCHS)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("optim=schedulefree_sgd", "averaging=ema"), "averages the weights by itself. Leave out averaging="),
        (("scheduler=plateau", "scheduler.monitor=val/acc"), "There is no 'val/acc' in scheduler.monitor"),
        (("warmup=linear", "warmup.lenght=3"), "There is no 'lenght' in warmup"),
    ],
)
@pytest.mark.slow
def test_the_command_line_refuses(typed: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("train.py", "model=regression", "trainer=cpu", "trainer.max_epochs=2", "logger=none", *typed) == 1
    assert said in capsys.readouterr().err
