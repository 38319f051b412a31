"""Each quantity against numpy in double precision."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from paribus.instruments import quantities

shapes = arrays.array_shapes(min_dims=1, max_dims=4, max_side=5)
some = st.lists(shapes, min_size=1, max_size=4).flatmap(
    lambda all_shapes: st.tuples(
        *(
            arrays.arrays(np.float32, s, elements=st.one_of(st.just(0.0), st.floats(-1e3, 1e3, width=32)))
            for s in all_shapes
        )
    )
)


def summarise(name: str, tensors: list[torch.Tensor], lead: int = 0) -> torch.Tensor:
    place = ("sum_abs", "std", "zero_fraction").index(name)
    return quantities.summarise(tensors, lead, quantities.norm(tensors, lead))[place]


def measure(name: str, tensors: list[torch.Tensor], lead: int = 0) -> torch.Tensor:
    if hasattr(quantities, name):
        return getattr(quantities, name)(tensors, lead)  # type: ignore[no-any-return]
    return summarise(name, tensors, lead)


def tensors(found: tuple[np.ndarray, ...]) -> list[torch.Tensor]:
    return [torch.from_numpy(a.copy()) for a in found]


@given(some)
def test_statistics_of_tensors_are_numpys(found: tuple[np.ndarray, ...]) -> None:
    wide = [a.astype(float) for a in found]
    for name, expected in {
        "sum_abs": [np.abs(a).sum() for a in wide],
        "norm": [np.sqrt((a**2).sum()) for a in wide],
        "mean": [a.mean() for a in wide],
        "std": [a.std() for a in wide],
        "zero_fraction": [(a == 0).mean() for a in wide],
    }.items():
        measured = measure(name, tensors(found))
        assert measured.shape == (len(found),)
        assert measured.tolist() == pytest.approx(expected, rel=1e-4, abs=2e-3), name
        if name == "std":
            assert summarise(name, tensors(found)).tolist() == pytest.approx(expected, rel=1e-4, abs=2e-3)


def test_large_tensors_and_small_ones_are_measured_alike() -> None:
    large, small = torch.randn(200, 300), torch.randn(7)
    expected = [np.abs(t.numpy().astype(float)).sum() for t in (large, small)]
    assert summarise("sum_abs", [large, small]).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_overflow(dtype: torch.dtype) -> None:
    large = torch.full((100, 300), 30.0, dtype=dtype)  # its sum is beyond float16
    assert summarise("sum_abs", [large, large[0]]).tolist() == [900_000, 9_000]
    assert quantities.norm([large]).item() == pytest.approx(30 * 30_000**0.5)
    assert quantities.std([large]).item() == 0


def test_one_element_has_no_deviation() -> None:
    assert quantities.std([torch.tensor([3.0])]).tolist() == [0.0]
    several = quantities.std([torch.tensor([[3.0], [-1e-30], [math.inf], [math.nan]])], lead=1)
    assert several[:2].tolist() == [[0.0], [0.0]]
    assert several[2:].isnan().all()


@pytest.mark.parametrize("offset", [0.0, 1.0, 5.0, 1e3])
def test_deviations_of_a_stack_are_those_of_numpy_far_from_zero_too(offset: float) -> None:
    rng = np.random.default_rng(2)
    rows = [(rng.standard_normal((4, n)) + offset).astype(np.float32) for n in (3, 900, 2500)]
    rows[1][2] = 0  # a run whose gradient is zero
    rows[2][3, 7] = np.nan
    found = quantities.std([torch.from_numpy(r) for r in rows], lead=1)
    expected = np.stack([r.astype(float).std(1) for r in rows], 1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-7)


@given(some, st.floats(0.5, 2))
def test_update_norms(found: tuple[np.ndarray, ...], factor: float) -> None:
    before = tensors(found)
    moved, size = quantities.update_norms(before, [factor * t for t in before])
    assert size.tolist() == pytest.approx([np.linalg.norm(a.astype(float).ravel()) for a in found], rel=1e-4, abs=1e-3)
    assert moved.tolist() == pytest.approx([abs(factor - 1) * s for s in size.tolist()], rel=1e-2, abs=1e-2)


def test_a_unit_is_dead_where_it_is_zero_for_every_sample_and_place() -> None:
    features = torch.tensor([[0.0, 1.0, 0.0, -0.0], [0.0, 0.0, 2.0, 0.0]])
    assert quantities.dead_fraction(features, -1).item() == 0.5
    image = torch.zeros(3, 4, 2, 2)  # four channels
    image[2, 1, 0, 1] = 1e-30
    assert quantities.dead_fraction(image, 1).item() == 0.75
    assert quantities.dead_fraction(torch.stack([image, image * 0]), 1, lead=1).tolist() == [0.75, 1]
    assert quantities.dead_fraction(image.flatten(1), 1).item() == 15 / 16  # each place is then a unit


def test_what_is_no_number_is_not_zero() -> None:
    values = torch.tensor([math.nan, 0.0, math.inf, -0.0])
    assert summarise("zero_fraction", [values]).tolist() == [0.5]
    assert summarise("zero_fraction", [values.repeat(2, 1)], lead=1).tolist() == [[0.5], [0.5]]


def test_saturated_outputs_lie_at_the_ends() -> None:
    a = torch.tensor([-0.98, -0.5, 0.0, 0.02, 0.5, 0.96, 0.98, 1.0])
    assert quantities.saturated_fraction(a, low=False).item() == 3 / 8
    assert quantities.saturated_fraction(a[2:], low=True).item() == pytest.approx(4 / 6)


def test_what_is_no_number_stays_none() -> None:
    broken = [torch.tensor([1.0, float("nan")]), torch.tensor([1.0, float("inf")]), torch.tensor([1.0, 2.0])]
    for name in ("sum_abs", "norm", "mean", "std"):
        assert torch.isfinite(measure(name, broken)).tolist() == [False, False, True], name


def test_types_may_be_mixed() -> None:
    mixed = [torch.ones(4, dtype=torch.float64), torch.ones(9, dtype=torch.bfloat16), torch.ones(16)]
    assert quantities.norm(mixed).tolist() == [2, 3, 4]


@given(some, st.integers(1, 3), st.randoms(use_true_random=False))
def test_of_a_stack_each_run_has_what_it_has_alone(found: tuple[np.ndarray, ...], runs: int, random: object) -> None:
    rng = np.random.default_rng(random.randrange(1000))  # type: ignore[attr-defined]
    stacks = [
        torch.from_numpy(np.stack([rng.permutation(a.ravel()).reshape(a.shape) * (k + 1) for k in range(runs)]))
        for a in found
    ]
    alone = [[stack[k] for stack in stacks] for k in range(runs)]
    for name in ("sum_abs", "norm", "mean", "std", "zero_fraction"):
        together = measure(name, stacks, lead=1)
        assert together.shape == (runs, len(found))
        expected = torch.stack([measure(name, tensors) for tensors in alone]).to(together.dtype)
        assert torch.allclose(together, expected, rtol=1e-4, atol=2e-3), name
    after = [stack + 0.5 for stack in stacks]
    together = quantities.update_norms(stacks, after, lead=1)
    for k in range(runs):
        expected = quantities.update_norms(alone[k], [stack[k] for stack in after])
        assert torch.allclose(together[:, k], expected, rtol=1e-4, atol=2e-3)


def test_activations_of_a_stack() -> None:
    torch.manual_seed(0)
    stacked = torch.randn(3, 20, 5).relu() * (torch.rand(3, 1, 5) > 0.5)
    dead = quantities.dead_fraction(stacked, -1, lead=1)
    assert dead.tolist() == [float(quantities.dead_fraction(run, -1)) for run in stacked]
    for low in (True, False):
        saturated = quantities.saturated_fraction(stacked, low, lead=1)
        assert saturated.tolist() == [float(quantities.saturated_fraction(run, low)) for run in stacked]


@pytest.mark.parametrize("scale", [1e-36, 1e-25, 1e-19, 1.0, 1e20])
@pytest.mark.parametrize("lead", [0, 1])
def test_squares_may_be_beyond_single_precision(scale: float, lead: int) -> None:
    """As the gradients of deep networks are, also where denormals are flushed."""
    values = np.random.default_rng(1).standard_normal((3, 500)) * scale
    rows = torch.tensor(values, dtype=torch.float32)
    tensors = [rows.reshape(3, 20, 25)] if lead else list(rows)
    torch.set_flush_denormal(True)
    try:
        norm, std = quantities.norm(tensors, lead), quantities.std(tensors, lead)
        moved, before = quantities.update_norms(tensors, [2 * t for t in tensors], lead)
    finally:
        torch.set_flush_denormal(False)
    exact = rows.double().numpy()
    for found in (norm, moved, before):
        np.testing.assert_allclose(found.double().flatten(), np.linalg.norm(exact, axis=1), rtol=1e-5)
    np.testing.assert_allclose(std.double().flatten(), exact.std(axis=1), rtol=1e-5)


@pytest.mark.parametrize("elements", [700, 1024, 1500, 401_408])
@pytest.mark.parametrize("lead", [0, 1])
def test_norms_of_many_equal_numbers(elements: int, lead: int) -> None:
    """As the first steps of Adam are. Sums in single precision would be wrong by 3e-4."""
    moved = torch.full((2, elements), 1e-3)
    found = quantities.norm([moved] if lead else list(moved), lead).flatten()
    assert found.tolist() == pytest.approx([float(moved[0, 0]) * elements**0.5] * 2, rel=2e-6)


def test_a_number_a_run() -> None:
    stacked = [torch.tensor([3.0, -4.0]), torch.ones(2, 5)]
    assert quantities.norm(stacked, 1).flatten().tolist() == pytest.approx([3, 5**0.5, 4, 5**0.5])
    assert summarise("sum_abs", stacked, 1).tolist() == [[3, 5], [4, 5]]


def test_squares_beyond_double_precision_raise_no_error() -> None:
    huge = torch.tensor([1e200, -1e200, 3.0], dtype=torch.float64)
    assert not math.isfinite(quantities.norm([huge]).item())
    assert not math.isfinite(summarise("std", [huge]).item())
