import torch
from hypothesis import given
from hypothesis import strategies as st

from paribus.randomness import derive_seed, make_generator

seeds = st.integers(0, 2**32)
epochs = st.integers(0, 10_000)


@given(seeds, epochs)
def test_a_stream_is_a_function_of_seed_and_epoch(seed: int, epoch: int) -> None:
    first, again = (torch.rand(3, generator=make_generator(seed, "batches", epoch)) for _ in range(2))
    assert torch.equal(first, again)


@given(st.lists(st.tuples(seeds, st.sampled_from(["split", "weights", "batches", "training"]), epochs), unique=True))
def test_different_seeds_purposes_and_epochs_never_share_a_stream(uses: list[tuple[int, str, int]]) -> None:
    assert len({derive_seed(*use) for use in uses}) == len(uses)


def test_seed_is_one_that_torch_takes() -> None:
    assert 0 <= derive_seed(0, "split") < 2**63
