"""Curvature, loss spikes and optimizer averages, against closed forms, numpy and whole Hessians."""

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from paribus.errors import UserError
from paribus.instruments.calls import InstrumentCalls
from paribus.instruments.critical_sharpness import CriticalSharpness
from paribus.instruments.curvature import find_critical_scale, find_largest_eigenvalue
from paribus.instruments.instrument import Instrument
from paribus.instruments.largest_eigenvalue import LargestEigenvalue
from paribus.instruments.loss_spikes import LossSpikes
from paribus.instruments.quantities import count_spikes
from paribus.stacked.modules import stack_modules


def make_symmetric(eigenvalues: np.ndarray, seed: int) -> np.ndarray:
    basis = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(eigenvalues),) * 2))[0]
    return basis * eigenvalues @ basis.T


def test_the_critical_scale_of_quadratics_is_that_in_closed_form() -> None:
    """L(s) = c + b s + a s² / 2 with b < 0 rises above c from s = -2 b / a."""
    a = torch.tensor([1.0, 3.0, 1e-4, 500.0], dtype=torch.float64)
    b = torch.tensor([-0.5, -40.0, -0.1, -1.0], dtype=torch.float64)
    found = find_critical_scale(lambda s: 7 + b * s + a * s**2 / 2, 1e-12)
    assert (found / (-2 * b / a)).tolist() == pytest.approx([1] * 4, rel=0.0101)


def test_there_is_no_critical_scale_without_descent_rise_or_finite_loss() -> None:
    slope = torch.tensor([1.0, -1.0, torch.nan, -1e-9, 0.0], dtype=torch.float64)
    curvature = torch.tensor([1.0, 0.0, 1.0, 1e-9, 0.0], dtype=torch.float64)
    found = find_critical_scale(lambda s: 1 + slope * s + curvature * s**2, 1e-6)
    assert found.isnan().all()


def test_largest_eigenvalues_of_matrices_are_numpys() -> None:
    """Some have a far larger negative eigenvalue; one has rank 1, one is 0, one is broken and spoils no other."""
    spectra = [np.linspace(-1, 3, 40), np.r_[-100, np.linspace(0, 2, 39)], np.r_[5.0, np.zeros(39)], np.zeros(40)]
    matrices = [make_symmetric(spectrum, seed) for seed, spectrum in enumerate(spectra)]
    stacked = torch.tensor(np.stack([*matrices, np.full((40, 40), np.nan)]))
    start = torch.randn(1, 40, generator=torch.Generator().manual_seed(3), dtype=torch.float64).expand(5, -1)
    found = find_largest_eigenvalue(lambda v: (stacked @ v.unsqueeze(2)).squeeze(2), start, 1e-3, 100)
    expected = [np.linalg.eigvalsh(matrix)[-1] for matrix in matrices]
    assert found[:4].tolist() == pytest.approx(expected, rel=1e-3, abs=1e-9)
    assert found[4].isnan()


def test_an_eigenvalue_that_is_not_found_in_time_is_none() -> None:
    matrix = torch.tensor(make_symmetric(np.linspace(-1, 1, 200), 1))
    start = torch.ones(1, 200, dtype=torch.float64)
    assert find_largest_eigenvalue(lambda v: v @ matrix, start, 1e-3, 3).isnan().all()


class Subject(SimpleNamespace):
    """A network, or a stack of K of them, with a mean squared error."""

    stepping = None
    loss_scaled = False
    device = torch.device("cpu")
    lr: Any = 0.1

    def compute_loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        with torch.enable_grad():
            return (self.network(inputs).squeeze(-1) - targets).double().square().mean(-1)


def make_networks(n: int) -> list[nn.Module]:
    made = []
    for seed in range(n):
        torch.manual_seed(seed)
        made.append(nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.LayerNorm(6), nn.Linear(6, 3), nn.Sigmoid(),
                                  nn.Linear(3, 1)))  # fmt: skip
    return made


def draw_probe(n: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(9)
    return torch.randn(n, 50, 4, generator=generator), torch.randn(n, 50, generator=generator)


def compute_whole_hessian(network: nn.Module, inputs: Tensor, targets: Tensor) -> np.ndarray:
    network = network.double()
    parameters = dict(network.named_parameters())
    shapes = {name: p.shape for name, p in parameters.items()}

    def loss(flat: Tensor) -> Tensor:
        parts = flat.split([s.numel() for s in shapes.values()])
        values = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        output = torch.func.functional_call(network, values, inputs.double())
        return (output.squeeze(-1) - targets).square().mean()

    flat = torch.cat([p.detach().flatten() for p in parameters.values()])
    return torch.autograd.functional.hessian(loss, flat).numpy()


def attach(instrument: Instrument, subject: Any, probe: Any) -> None:
    instrument.attach(subject, SimpleNamespace(get_training_probe=lambda n: probe))  # type: ignore[arg-type]


def test_the_largest_eigenvalue_of_networks_is_that_of_the_whole_hessian_alone_and_in_a_stack() -> None:
    networks, (inputs, targets) = make_networks(3), draw_probe(3)
    together = LargestEigenvalue()
    attach(together, Subject(network=stack_modules(networks), lead=1), (inputs, targets))
    stacked = together.scalars(1)["curvature/largest_eigenvalue"]
    assert stacked.shape == (3,)
    for k, network in enumerate(networks):
        alone = LargestEigenvalue()
        attach(alone, Subject(network=network, lead=0), (inputs[k], targets[k]))
        found = float(alone.scalars(1)["curvature/largest_eigenvalue"])
        assert found == pytest.approx(float(stacked[k]), rel=1e-4)
        hessian = compute_whole_hessian(network, inputs[k], targets[k])
        assert found == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=1e-3)


def test_frozen_parameters_have_no_curvature(caplog: pytest.LogCaptureFixture) -> None:
    [network], (inputs, targets) = make_networks(1), draw_probe(1)
    for parameter in network[:5].parameters():  # type: ignore[index]
        parameter.requires_grad_(False)
    instrument = LargestEigenvalue()
    attach(instrument, Subject(network=network, lead=0), (inputs[0], targets[0]))
    hidden = np.c_[network[:5](inputs[0]).detach().numpy(), np.ones(50)]  # type: ignore[index]
    expected = np.linalg.eigvalsh(2 / 50 * hidden.T @ hidden)[-1]
    assert float(instrument.scalars(1)["curvature/largest_eigenvalue"]) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("weight", [0.0, 0.9])
def test_critical_sharpness_on_a_quadratic_is_the_curvature_along_the_update(weight: float) -> None:
    """Of least squares: sᶜ = -2 gᵀu / uᵀHu. Without momentum u = -lr g, so that 2 / (sᶜ lr) = gᵀHg / gᵀg."""
    torch.manual_seed(0)
    network, (inputs, targets) = nn.Linear(4, 1), draw_probe(1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=weight)
    instrument = CriticalSharpness()
    subject = Subject(network=network, lead=0, lr=0.05)
    attach(instrument, subject, (inputs[0], targets[0]))
    features = np.c_[inputs[0].numpy(), np.ones(50)].astype(float)
    hessian = 2 / 50 * features.T @ features
    weights = []
    for step, samples in enumerate([50, 50, 50, 10]):  # the last batch is smaller, and not measured
        weights.append(nn.utils.parameters_to_vector(network.parameters()).detach().numpy().astype(float))
        optimizer.zero_grad()
        subject.compute_loss(inputs[0], targets[0]).backward()
        instrument.before_step(step, samples)
        optimizer.step()
        instrument.after_step(step)
    after = nn.utils.parameters_to_vector(network.parameters()).detach().clone()
    found = instrument.scalars(1)
    update = weights[3] - weights[2]
    gradient = 2 / 50 * features.T @ (features @ weights[2] - targets[0].numpy())
    critical = -2 * gradient @ update / (update @ hessian @ update)
    assert float(found["curvature/stability_margin"]) == pytest.approx(1 / critical, rel=0.02)
    assert float(found["curvature/critical_sharpness"]) == pytest.approx(2 / critical / 0.05, rel=0.02)
    if not weight:
        expected = gradient @ hessian @ gradient / (gradient @ gradient)
        assert float(found["curvature/critical_sharpness"]) == pytest.approx(expected, rel=0.02)
    assert torch.equal(nn.utils.parameters_to_vector(network.parameters()).detach(), after), "nothing is changed"


class OnceDifferentiable(nn.Linear):
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            return 2 * ctx.saved_tensors[0] * gradient

    def forward(self, inputs: Tensor) -> Tensor:
        return self.Square.apply(super().forward(inputs))


@pytest.mark.parametrize("case", ["no second derivative", "weights of torch.bfloat16", "loaders of their own"])
def test_what_cannot_be_measured_is_left_out_and_said_once(case: str, caplog: pytest.LogCaptureFixture) -> None:
    network: nn.Module = OnceDifferentiable(4, 1) if case == "no second derivative" else nn.Linear(4, 1)
    if "bfloat16" in case:
        network.bfloat16()
    inputs, targets = draw_probe(1)
    instrument = LargestEigenvalue()
    with caplog.at_level(logging.INFO):
        probe = None if case == "loaders of their own" else (inputs[0], targets[0])
        attach(instrument, Subject(network=network, lead=0), probe)
        assert instrument.scalars(1) == instrument.scalars(2) == {}
    assert [case in record.message for record in caplog.records] == [True]


def count_by_hand(losses: np.ndarray, window: int) -> int:
    found = 0
    for i in range(len(losses)):
        before = losses[max(0, i - window) : i]
        before = before[np.isfinite(before)]
        if 4 * len(before) >= window and np.isfinite(losses[i]):
            found += losses[i] > before.mean() + 6 * max(before.std(), 1e-6 * abs(before.mean()))
    return found


def test_loss_spikes_are_those_counted_one_by_one() -> None:
    random = np.random.default_rng(2)
    losses = 2 + 0.1 * random.standard_normal((300, 3)) + np.linspace(1, 0, 300)[:, None]
    losses[[3, 60, 61, 299], 0] += 5  # the first has too few before it, the third one of its height
    losses[[100, 200], 1] = 50.0, np.inf
    expected = [count_by_hand(run, 32) for run in losses.T]
    assert expected == [2, 1, 0]
    assert count_spikes(torch.tensor(losses), torch.empty(0, 3), 32).tolist() == expected
    # in four epochs, alone and together; in the third the run goes on from its stored state
    parts = torch.tensor(losses).split(75)
    for k in (None, 0):
        subject = SimpleNamespace(lead=1 if k is None else 0, step_losses=None)
        instrument, counts = LossSpikes(32), []
        instrument.learner = subject  # type: ignore[assignment]
        for epoch, part in enumerate(parts):
            subject.step_losses = part if k is None else part[:, k]
            if epoch == 2:
                states = [instrument.state_dict(j) for j in range(3)] if k is None else [instrument.state_dict()]
                instrument = LossSpikes(32)
                instrument.learner = subject  # type: ignore[assignment]
                instrument.load_state_dict(*states)
            counts.append(instrument.scalars(epoch + 1)["train/loss_spikes"])
        assert sum(counts).tolist() == (expected if k is None else expected[k])  # type: ignore[union-attr]


class Odd(Instrument):
    def __init__(self, **found: Tensor):
        self.found = found
        self.learner = SimpleNamespace(lead=0)  # type: ignore[assignment]

    def scalars(self, epoch: int) -> dict[str, Tensor]:
        return {name.replace("_of_", "/"): value for name, value in self.found.items()}


@pytest.mark.parametrize(
    ("instruments", "said"),
    [
        ([Odd(trace=torch.tensor(1.0))], "names no quantity"),
        ([Odd(val_of_trace=torch.tensor(1.0))], "val/ is for"),
        ([Odd(curvature_of_trace=torch.ones(2))], "one number an epoch"),
        ([Odd(curvature_of_trace=torch.tensor(1.0))] * 2, "measured twice"),
    ],
)
def test_a_quantity_of_the_network_has_a_name_and_one_number(instruments: list[Instrument], said: str) -> None:
    calls = InstrumentCalls({str(i): instrument for i, instrument in enumerate(instruments)})
    with pytest.raises(UserError, match=said) as caught:
        calls.measure_scalars(1)
    assert caught.value.__notes__ == [f"(In callbacks.{len(instruments) - 1}.)"]


def test_the_price_is_the_time_in_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))  # each look at the clock is a second after the one before
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))

    class Stepping(Odd):
        def before_step(self, step: int, samples: int) -> None:
            """Take a second."""

    calls = InstrumentCalls({"a": Stepping(), "b": Odd()})
    for step in range(4):
        calls.before_step(step, 10)
    calls.measure_scalars(1)
    found = calls.summarise([8.0, 10.0], ["curvature/trace"])
    price = {"epochs": 2, "seconds": {"a": 5.0, "b": 1.0}, "share": 6 / (18 + 2)}
    assert found == {**price, "columns": ["curvature/trace"]}
