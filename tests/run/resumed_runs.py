"""Runs to resume, and the comparison with a run that was never interrupted."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import torch
from conftest import read_folds, read_layers

from paribus import record

Train = Callable[..., Path]
SHORT = ("model=regression", "trainer.max_epochs=6", "threads=1", "model.hidden=[16,8]", "figures=false")


def assert_same(undisturbed: Path, taken_up: Path) -> None:
    a, b = (pandas.read_csv(d / record.METRICS).drop(columns="epoch_seconds") for d in (undisturbed, taken_up))
    pandas.testing.assert_frame_equal(a, b, check_exact=True)
    pandas.testing.assert_frame_equal(read_layers(undisturbed), read_layers(taken_up), check_exact=True)
    assert (undisturbed / record.FOLDS).exists() == (taken_up / record.FOLDS).exists()
    if (undisturbed / record.FOLDS).exists():
        pandas.testing.assert_frame_equal(read_folds(undisturbed), read_folds(taken_up), check_exact=True)
    assert (undisturbed / record.STEPS).exists() == (taken_up / record.STEPS).exists()
    if (undisturbed / record.STEPS).exists():
        frames = [pandas.read_parquet(d / record.STEPS) for d in (undisturbed, taken_up)]
        pandas.testing.assert_frame_equal(*frames, check_exact=True)
    for name in (record.BEST, record.LAST):
        assert (undisturbed / name).exists() == (taken_up / name).exists()
        if (taken_up / name).exists():
            one, other = (torch.load(d / name, weights_only=True) for d in (undisturbed, taken_up))
            assert one["paribus"]["epoch"] == other["paribus"]["epoch"]
            for key, tensor in one["state_dict"].items():
                assert torch.equal(tensor.nan_to_num(), other["state_dict"][key].nan_to_num()), f"{name}: {key}"
    assert (undisturbed / record.TWINS).exists() == (taken_up / record.TWINS).exists()
    if (undisturbed / record.TWINS).exists():
        with np.load(undisturbed / record.TWINS) as one, np.load(taken_up / record.TWINS) as other:
            assert all(np.array_equal(one[key], other[key], equal_nan=True) for key in one)
    with np.load(undisturbed / record.WEIGHTS) as one, np.load(taken_up / record.WEIGHTS) as other:
        assert all(np.array_equal(one[key], other[key], equal_nan=True) for key in one)
    if (undisturbed / record.PREDICTIONS).exists():
        frames = [pandas.read_parquet(d / record.PREDICTIONS) for d in (undisturbed, taken_up)]
        pandas.testing.assert_frame_equal(*frames, check_exact=True)
    one, other = (record.read_summary(d) for d in (undisturbed, taken_up))
    assert one["status"] == other["status"]
    assert one.get("diverged") == other.get("diverged")
    assert one["identity"] == other["identity"]
    for key, value in one["statistics"].items():
        assert "seconds" in key or other["statistics"][key] == value, key


def changed(path: Path, content: bytes | None) -> None:
    path.unlink() if content is None else path.write_bytes(content)
