"""Distance, singular values and agreement of gradients, against numpy and closed forms."""

import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas
import pytest
import torch
from conftest import main, read_layers
from torch import nn

from paribus import record
from paribus.instruments import quantities
from paribus.instruments.calls import InstrumentCalls
from paribus.instruments.grad_signal import GradSignal
from paribus.instruments.spectrum import Spectrum
from paribus.models.layers import WeightLayer

SHORT = ("model=regression", "trainer=cpu", "threads=1", "logger=none", "callbacks=curvature", "trainer.max_epochs=4",
         "optim.lr=0.003")  # fmt: skip


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 3, 2, 2), (1, 7)])
def test_singular_values_of_a_stack_are_numpys_of_each(shape: tuple[int, ...]) -> None:
    weights = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    found = quantities.singular_values(weights, lead=1)
    for weight, singular in zip(weights, found, strict=True):
        matrix = weight.numpy().astype(float).reshape(len(weight), -1)
        assert singular.tolist() == pytest.approx(np.linalg.svd(matrix, compute_uv=False), abs=1e-5)
        expected = (matrix**2).sum() / np.linalg.norm(matrix, 2) ** 2
        assert float(quantities.stable_rank(quantities.singular_values(weight))) == pytest.approx(expected, rel=1e-5)


def test_a_weight_that_is_broken_or_zero_has_no_stable_rank() -> None:
    weights = torch.stack([torch.eye(3), torch.full((3, 3), torch.inf), torch.zeros(3, 3)])
    rank = quantities.stable_rank(quantities.singular_values(weights, lead=1))
    assert rank[0] == 3 and rank[1:].isnan().all()


def test_rms_and_largest_value_are_numpys() -> None:
    tensor = torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(3)) - 1
    array = tensor.numpy().astype(float)
    assert quantities.rms([tensor]).item() == pytest.approx((array**2).mean() ** 0.5, rel=1e-6)
    assert quantities.largest_abs([tensor]).item() == pytest.approx(np.abs(array).max())
    assert quantities.rms([tensor], 1)[:, 0].tolist() == pytest.approx((array**2).mean((1, 2)) ** 0.5, rel=1e-6)
    assert quantities.largest_abs([tensor], 1)[:, 0].tolist() == pytest.approx(np.abs(array).max((1, 2)))


def make_subject(module: nn.Linear) -> SimpleNamespace:
    layer = WeightLayer("layer", 0, "0 layer", module, module.weight, module.bias)
    return SimpleNamespace(network=module, stepping=None, layers=[layer], lead=0, loss_scaled=False)


def test_grad_signal_is_what_was_planted() -> None:
    d, n, noise = 400, 200, 0.5
    generator = torch.Generator().manual_seed(5)
    module = nn.Linear(d, 1)
    signal = torch.randn(1, d, generator=generator)
    instrument = GradSignal()
    calls = InstrumentCalls({"grad_signal": instrument})
    instrument.attach(make_subject(module), None)  # type: ignore[arg-type]
    for step in range(n):
        module.weight.grad = signal + noise * torch.randn(1, d, generator=generator)
        module.bias.grad = torch.tensor([2.0])
        calls.before_step(step, 10)
    weight, bias = instrument.measure(1)
    squared = float(signal.square().sum())
    expected = (squared + noise**2 * d / n) / (squared + noise**2 * d)
    assert weight.values.item() == pytest.approx(expected, rel=0.02)
    assert bias.values.item() == pytest.approx(1)


def test_gradients_are_free_once_the_instruments_have_seen_them() -> None:
    """Held, they would be a second copy beside those of the next backward pass."""
    module, instrument = nn.Linear(3, 2), GradSignal()
    calls = InstrumentCalls({"grad_signal": instrument})
    instrument.attach(make_subject(module), None)  # type: ignore[arg-type]
    module(torch.ones(4, 3)).sum().backward()
    calls.before_step(0, 4)
    seen = [weakref.ref(p.grad) for p in module.parameters() if p.grad is not None]
    module.zero_grad()
    assert len(seen) == 2 and not any(gradient() is not None for gradient in seen)


def test_grad_signal_weighs_batches_by_their_samples() -> None:
    module = nn.Linear(1, 1, bias=False)
    instrument = GradSignal()
    calls = InstrumentCalls({"grad_signal": instrument})
    instrument.attach(make_subject(module), None)  # type: ignore[arg-type]
    for step, (gradient, samples) in enumerate([(3.0, 30), (-1.0, 10)]):
        module.weight.grad = torch.tensor([[gradient]])
        calls.before_step(step, samples)
    (measured,) = instrument.measure(1)
    assert measured.values.item() == pytest.approx(((30 * 3 - 10 * 1) / 40) ** 2 / ((30 * 9 + 10 * 1) / 40))


def test_spectrum_keeps_its_cadence() -> None:
    instrument = Spectrum(every_n_epochs=2)
    instrument.attach(make_subject(nn.Linear(3, 2)), None)  # type: ignore[arg-type]
    assert [bool(list(instrument.measure(epoch))) for epoch in (0, 1, 2, 3)] == [True, False, True, False]


def values(frame: pandas.DataFrame, quantity: str, epoch: int) -> dict[str, float]:
    chosen = frame[(frame.quantity == quantity) & (frame.epoch == epoch) & (frame.tensor == "weight")]
    return dict(zip(chosen.layer, chosen.value, strict=True))


@pytest.mark.slow
def test_a_run_records_where_its_weights_went(train: Callable[..., Path]) -> None:
    directory = train(*SHORT)
    frame = read_layers(directory)
    arrays = np.load(directory / record.WEIGHTS)
    distance, share = values(frame, "distance", 4), values(frame, "relative_distance", 4)
    norm, rank = values(frame, "spectral_norm", 4), values(frame, "stable_rank", 4)
    assert set(distance) == set(rank) == {"linear1", "linear2", "linear3"}
    for layer in distance:
        before, after = (arrays[f"{when}/{layer}"].astype(float) for when in ("before", "after"))
        assert distance[layer] == pytest.approx(np.linalg.norm(after - before), rel=1e-4)
        assert share[layer] == pytest.approx(np.linalg.norm(after - before) / np.linalg.norm(before), rel=1e-4)
        assert norm[layer] == pytest.approx(np.linalg.norm(after, 2), rel=1e-4)
        assert rank[layer] == pytest.approx((after**2).sum() / np.linalg.norm(after, 2) ** 2, rel=1e-4)
    signal = frame[frame.quantity == "grad_signal"]
    assert signal.value.between(0, 1).all() and set(signal.tensor) == {"weight", "bias"}


@pytest.mark.slow
def test_runs_in_a_stack_record_the_same(tmp_path: Path, train: Callable[..., Path]) -> None:
    expected = {seed: read_layers(train(*SHORT, f"seed={seed}", directory=f"alone{seed}")) for seed in (1, 2)}
    sweep = ("--multirun", "study=s", *SHORT, "seed=1,2", "hydra/launcher=stacked", "hydra.launcher.n_jobs=1")
    assert main("train.py", *sweep, "trainer.max_epochs=4") == 0
    runs = record.find_runs([tmp_path / "outputs" / "s"])
    assert [record.read_summary(run)["stacked"] for run in runs] == [2, 2]
    for run in runs:
        frame = read_layers(run)
        alone = expected[record.read_summary(run)["seed"]]
        keys = ["epoch", "layer", "tensor", "quantity"]
        both = frame.astype({"quantity": str, "layer": str, "tensor": str}).merge(
            alone.astype({"quantity": str, "layer": str, "tensor": str}),
            on=keys,
            suffixes=("", "_alone"),
            validate="1:1",
        )
        assert len(both) == len(frame) == len(alone)
        new = both[both.quantity.isin(["distance", "relative_distance", "spectral_norm", "stable_rank", "grad_signal"])]
        assert len(new) and np.allclose(new.value, new.value_alone, rtol=2e-3, atol=1e-5)


@pytest.mark.slow
def test_a_resumed_run_measures_from_where_it_began(train: Callable[..., Path]) -> None:
    whole = read_layers(train(*SHORT, directory="whole"))
    directory = train(*SHORT, "trainer.max_epochs=2", directory="parts")
    assert main("train.py", f"resume={directory}", "trainer.max_epochs=4") == 0
    resumed = read_layers(directory)
    assert values(resumed, "distance", 4) == values(whole, "distance", 4)
    assert values(resumed, "grad_signal", 3) == values(whole, "grad_signal", 3)
