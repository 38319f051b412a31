"""The concrete data are read to the last digit as pandas reads them, and standardised in double precision."""

from io import StringIO

import numpy as np
import pandas as pd
import pytest
import torch

from paribus.data.cells import format_number
from paribus.data.concrete import CONCRETE, Concrete
from paribus.data.dialect import to_numbers
from paribus.randomness import make_generator


@pytest.mark.parametrize("seed", [1, 42])
def test_inputs_and_targets_are_exact(seed: int) -> None:
    data = Concrete(None, "strength", "random", False, 64, 0.15, 0.15, None, False, seed)
    data.setup("fit")
    data.setup("test")
    frame = pd.read_csv(CONCRETE).astype(float)
    order = torch.randperm(1030, generator=make_generator(seed, "split")).numpy()
    val, test, train = order[:154], order[154:308], order[308:]
    features = frame.drop(columns="strength").to_numpy()
    mean, std = features[train].mean(axis=0), features[train].std(axis=0)
    for part, rows in ((data.train, train), (data.val, val), (data.test, test)):
        assert part is not None
        assert np.array_equal(part[0].numpy(), ((features[rows] - mean) / std).astype(np.float32))
        assert np.array_equal(part[1].numpy(), frame.strength.to_numpy()[rows].astype(np.float32))


def test_cells_are_numbers_to_the_last_digit() -> None:
    values = np.random.default_rng(0).normal(size=1000) * 10.0 ** np.random.default_rng(1).integers(-9, 9, 1000)
    texts = [repr(float(value)) for value in values]
    assert to_numbers(texts, ".").tolist() == pd.read_csv(StringIO("x\n" + "\n".join(texts))).x.tolist()


def test_a_class_is_named_as_its_number() -> None:
    assert [format_number(value) for value in (3.0, -1.0, 0.5, 1e15)] == ["3", "-1", "0.5", "1000000000000000"]
