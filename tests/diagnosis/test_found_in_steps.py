"""Findings that begin at a step, of steps that are made up, and of a table of steps that was thinned."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from paribus.diagnosis import Finding, Trace, diagnose, read_trace
from paribus.diagnosis.steps import locate_spikes
from paribus.instruments.quantities import count_spikes
from paribus.record import RecordError
from paribus.record.steps import StepsWriter

CONFIG = {"optim": {"lr": 0.1}, "trainer": {"gradient_clip_val": None}}
NOISE = np.random.default_rng(0).normal(1, 0.01, 2000)


def find_by_name(summary: dict[str, Any] | None = None, **columns: Any) -> dict[str, Finding]:
    steps = {name.replace("__", "/"): np.array(values, float) for name, values in columns.items()}
    number = np.arange(1.0, len(next(iter(steps.values()))) + 1)
    steps = {"step": number, "epoch": np.ceil(number / 100), **steps}
    return {one.finding: one for one in diagnose(Trace({"config": CONFIG, **(summary or {})}, {}, {}, steps)).findings}


def test_a_divergence_has_the_step_from_which_the_loss_rose() -> None:
    at = {"epoch": 3, "step": 250, "what": "train/loss", "layer": "linear2", "tensor": "activation"}
    losses = [2.0, 3.0, *[1.0] * 238, *np.geomspace(4, 1e30, 9), *[np.nan] * 51]  # from step 241
    one = find_by_name({"diverged": at}, train__loss=losses)["diverged"]
    assert (one.epoch, one.step, one.layers) == (3, 250, ("linear2",))
    assert one.remedy == "optim.lr=0.01 or trainer.gradient_clip_val=1"
    text = "train/loss was not finite at step 250"
    assert one.evidence["text"] == f"{text}; from step 241 on the training loss lay above that of step 1"
    first = find_by_name({"diverged": {"epoch": 1, "step": 1, "what": "loss"}}, train__loss=[np.nan])["diverged"]
    assert "at any learning rate" in first.remedy and "optim.lr" not in first.remedy
    at_once = find_by_name({"diverged": at}, train__loss=[2.0] * 249 + [np.nan] * 51)["diverged"]
    assert at_once.describe() == f"diverged in linear2 in epoch 3 ({text})"


def test_gradients_explode_from_a_step_to_the_end() -> None:
    before, after = [1.0, 90.0, *[0.1] * 118], [101.0, 1e5, 1e30]
    diverged = {"diverged": {"epoch": 2, "step": 124, "what": "gradient"}}
    one = find_by_name(diverged, grad_norm=[*before, *after, np.nan])["gradients_explode"]
    assert (one.epoch, one.step, one.evidence["value"]) == (2, 121, 1e30)
    assert one.describe() == "gradients explode from epoch 2, step 121 (up to 1e+30 times the norm of step 1)"
    # a run that goes on, in most of its steps; a few steps, or a break without a rise, are none
    assert find_by_name(grad_norm=[1.0, *[200.0] * 99])["gradients_explode"].step == 2
    assert not find_by_name(grad_norm=[*[1.0] * 80, *[200.0] * 20]) and not find_by_name(
        diverged, grad_norm=[*before, np.nan]
    ).get("gradients_explode")


def test_a_loss_spikes_where_the_next_batch_is_thrown_off_too() -> None:
    losses = NOISE + 9 * 0.8 ** np.arange(2000)  # falls from 10 to 1
    spiked = losses.copy()
    spiked[[149, 150, 700, 701, 702]] = 4.0
    one = find_by_name(train__loss=spiked)["loss_spikes"]
    assert (one.epoch, one.step, one.evidence["value"]) == (2, 150, pytest.approx(4.0, rel=0.01))
    assert one.describe().endswith("(2 times in 2,000 steps, first to 4 times the mean before)")
    # those that the instrument counts, of which a single step that is high is no finding
    spiked[[400, 1200]] = 4.0
    places = locate_spikes(spiked)
    assert places.tolist() == [149, 700]
    assert count_spikes(torch.tensor(spiked), torch.zeros(0, dtype=torch.float64), 128) >= 4
    # high losses at random, of which some stand side by side
    tails = np.random.default_rng(1).lognormal(0, 2, 20_000)
    limit = np.array([tails[i - 16 : i].mean() for i in range(128, 20_000)])
    assert (tails[128:] > 10 * limit).sum() > 50 and not len(locate_spikes(tails))
    # too soon, too low beside what was gained, not finite, constant but for rounding
    early, low, broken = losses.copy(), losses.copy(), losses.copy()
    early[20:22], low[800:802], broken[800:802] = 50.0, 1.5, np.inf
    for healthy in (losses, early, low, broken, np.full(2000, 1.0), np.full(2000, np.nan)):
        assert "loss_spikes" not in find_by_name(train__loss=healthy)


@pytest.mark.parametrize("losses", [np.full(300, np.inf), np.full(300, 1e300), np.zeros(300), np.zeros(1)])
def test_no_loss_breaks_a_diagnosis(losses: np.ndarray) -> None:
    assert find_by_name({"diverged": {"epoch": 1}}, train__loss=losses, grad_norm=losses).keys() == {"diverged"}


def test_the_steps_of_a_trace_are_evenly_spaced(tmp_path: Path) -> None:
    writer = StepsWriter(tmp_path / "steps.parquet", ["val/loss"])
    (tmp_path / "metrics.csv").write_text("epoch,step\n1,30000\n")
    number = np.arange(1, 30_001)
    validated = np.where(np.isin(number, [1, 5]), 2.0, np.nan)
    columns = {"step": number, "epoch": np.ones(30_000), "train/loss": 1 / number, "val/loss": validated}
    writer.add(columns)
    writer.write()
    steps = read_trace(tmp_path, {}).steps
    assert steps["step"].tolist() == list(range(2, 30_001, 2)) and (steps["train/loss"] == 1 / steps["step"]).all()
    (tmp_path / "steps.parquet").write_bytes(b"PAR1")
    with pytest.raises(RecordError, match=r"steps\.parquet is damaged"):
        read_trace(tmp_path, {})
