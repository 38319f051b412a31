"""The figures of a run, from its curves and folds."""

import math
from pathlib import Path

import numpy as np
import pandas
import pytest
from records import write_folds, write_run

from multirun_analysis import load_runs
from multirun_analysis.records.run_statistics import compute_statistics, selected, settled
from paribus import record


def table(accuracy: np.ndarray, loss: np.ndarray, samples: list[int]) -> pandas.DataFrame:
    epochs, folds = accuracy.shape
    return pandas.DataFrame(
        {"epoch": np.repeat(np.arange(1, epochs + 1), folds), "fold": np.tile(np.arange(1, folds + 1), epochs),
         "samples": np.tile(samples, epochs), "val/loss": loss.ravel(), "val/acc": accuracy.ravel()}
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_selected_chooses_on_four_fifths_and_scores_on_the_fifth(seed: int) -> None:
    random = np.random.default_rng(seed)
    samples = [11, 11, 10, 10, 10]
    correct = random.integers(0, 9, (12, 5))
    loss = random.random((12, 5))
    loss[3, 2] = math.nan  # an epoch that is chosen never
    accuracy = correct / samples
    scored = 0.0
    for fold in range(5):
        usable = [e for e in range(12) if np.isfinite(loss[e]).all()]
        best = max(usable, key=lambda e: (sum(correct[e, k] for k in range(5) if k != fold), -e))
        scored += correct[best, fold]
    found = selected(table(accuracy, loss, samples))
    assert found["selected_val_acc"] == pytest.approx(scored / sum(samples))


@pytest.mark.parametrize("seed", range(5))
def test_losses_are_chosen_and_scored_likewise_and_the_first_of_equal_epochs_is_taken(seed: int) -> None:
    random = np.random.default_rng(seed)
    samples, epochs = [7, 7, 6, 6, 6], 15
    loss = random.integers(1, 4, (epochs, 5)) / 2  # in coarse steps: many epochs are equal
    loss[random.integers(epochs), random.integers(5)] = math.inf
    frame = table(np.zeros((epochs, 5)), loss, samples).drop(columns="val/acc")
    frame["val/mae"] = random.random(len(frame))
    error = frame["val/mae"].to_numpy().reshape(epochs, 5)
    chosen = []
    for fold in range(5):
        best, at = math.inf, -1
        for epoch in range(epochs):
            if all(math.isfinite(value) for value in loss[epoch]):
                whole = sum(loss[epoch, k] * samples[k] for k in range(5) if k != fold)
                if whole < best:
                    best, at = whole, epoch
        chosen.append(at)
    found = selected(frame.sample(frac=1, random_state=seed))  # rows in any order
    for column, values in (("val_loss", loss), ("val_mae", error)):
        expected = sum(values[chosen[k], k] * samples[k] for k in range(5)) / sum(samples)
        assert found[f"selected_{column}"] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_final_best_and_settled_are_what_one_computes_by_hand(seed: int) -> None:
    random = np.random.default_rng(seed)
    epochs = int(random.integers(1, 60))
    frame = pandas.DataFrame({name: random.random(epochs) for name in ("train/loss", "val/loss", "val/acc", "val/mae")})
    frame.loc[random.random(epochs) < 0.2, "val/loss"] = math.nan
    rows = frame.to_dict("records")
    found = compute_statistics(frame.assign(epoch=range(1, epochs + 1), step=1, lr=0.1))
    usable = [row for row in rows if math.isfinite(row["val/loss"])]
    for column, better in (("val/loss", min), ("val/acc", max), ("val/mae", min)):
        name = column.replace("/", "_")
        assert found[f"final_{name}"] == pytest.approx(rows[-1][column], nan_ok=True)
        assert found.get(f"best_{name}", None) == (better(row[column] for row in usable) if usable else None)
        last = [row[column] for row in rows[-max(1, -(-epochs // 10)) :]]
        assert found[f"settled_{name}"] == pytest.approx(sum(last) / len(last), nan_ok=True)
    assert found["final_train_loss"] == rows[-1]["train/loss"]
    assert not {"best_train_loss", "settled_train_loss", "final_lr", "final_step", "final_epoch"} & set(found)


def test_a_lucky_epoch_of_one_fold_is_not_rewarded() -> None:
    accuracy = np.full((10, 5), 0.8)
    accuracy[4, 0] = 1.0  # chosen by the other folds' choosers, which see it, and scored where it is no better
    found = selected(table(accuracy, 1 - accuracy, [20] * 5))
    assert found["selected_val_acc"] == pytest.approx(0.8)


def test_the_best_epoch_of_pure_noise_is_too_good_and_the_selected_one_is_not() -> None:
    random, best, chosen = np.random.default_rng(0), [], []
    for _ in range(200):
        accuracy = random.binomial(20, 0.7, (30, 5)) / 20  # no epoch is better than another
        best.append(accuracy.mean(axis=1).max())
        chosen.append(selected(table(accuracy, 1 - accuracy, [20] * 5))["selected_val_acc"])
    assert np.mean(best) > 0.78 and abs(np.mean(chosen) - 0.7) < 4 * np.std(chosen) / math.sqrt(200)


def test_without_any_finite_epoch_there_is_no_selected_figure() -> None:
    accuracy = np.full((3, 5), 0.1)
    assert math.isnan(selected(table(accuracy, np.full((3, 5), math.nan), [4] * 5))["selected_val_acc"])


def test_settled_is_the_mean_over_the_last_tenth() -> None:
    assert settled(np.arange(40.0)) == np.mean([36, 37, 38, 39])
    assert settled(np.array([5.0, 7.0])) == 7 and settled(np.arange(11.0)) == 9.5
    assert math.isnan(settled(np.array([1.0, math.inf])))


def test_losses_are_selected_by_the_lowest(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", (3.0, 1.0, 2.0))
    write_folds(run, [[3.0] * 5, [1.0] * 5, [2.0] * 5])
    row = load_runs(run).runs.iloc[0]
    assert (row["selected_val_loss"], row["settled_val_loss"], row["best_val_loss"]) == (1.0, 2.0, 1.0)
    assert row["selected_val_mse"] == 1.0 and row["selected_val_mae"] == 1.0 and row["folds"] is None


def test_a_record_without_folds_has_no_selected_figure_and_says_so(tmp_path: Path) -> None:
    found = load_runs(write_run(tmp_path / "a")).runs
    assert "selected_val_loss" not in found and found["folds"].item() == "none recorded"
    assert found["settled_val_loss"].item() == 1.0


@pytest.mark.parametrize("damage", ["cut", "fold", "epoch", "samples", "text", "columns", "more"])
def test_folds_that_are_not_whole_lose_no_run(tmp_path: Path, damage: str) -> None:
    run = write_run(tmp_path / "a")
    write_folds(run, [[3.0] * 5, [2.0] * 5, [1.0] * 5])
    path = run / record.FOLDS
    frame = pandas.read_parquet(path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:100])
    elif damage == "fold":
        frame.drop(index=7).to_parquet(path)
    elif damage == "epoch":
        frame[frame["epoch"] < 3].to_parquet(path)
    elif damage == "samples":
        frame.assign(samples=0).to_parquet(path)
    elif damage == "text":
        frame.assign(**{"val/loss": "much"}).to_parquet(path)
    elif damage == "columns":
        frame.drop(columns="val/loss").to_parquet(path)
    else:
        pandas.concat([frame, frame]).to_parquet(path)
    row = load_runs(run).runs.iloc[0]
    assert row["status"] == "completed" and record.FOLDS in row["folds"] and row["settled_val_loss"] == 1.0


@pytest.mark.parametrize("every", [2, 3, 7])
def test_epochs_without_validation_say_nothing(tmp_path: Path, every: int) -> None:
    """As of check_val_every_n_epoch: the cells of the other epochs are empty, and folds have no rows of them."""
    losses = [20.0 - epoch for epoch in range(1, 16)]
    run = write_run(tmp_path / "a", losses)
    write_folds(run, [[loss] * 5 for loss in losses])
    table, folds = pandas.read_csv(run / record.METRICS), pandas.read_parquet(run / record.FOLDS)
    validated = list(range(every, 16, every))
    table.loc[~table["epoch"].isin(validated), [c for c in table if c.startswith("val/")]] = math.nan
    table.to_csv(run / record.METRICS, index=False)
    folds[folds["epoch"].isin(validated)].to_parquet(run / record.FOLDS, index=False)
    row = load_runs(run).runs.iloc[0]
    mine = [losses[epoch - 1] for epoch in validated]
    assert row["settled_val_loss"] == np.mean(mine[-math.ceil(len(mine) / 10) :]) and row["status"] == "completed"
    assert row["folds"] is None and row["selected_val_loss"] == min(mine)
    assert row["final_train_loss"] == pytest.approx(0.9 * losses[-1])


def test_an_epoch_whose_metrics_are_nan_was_validated(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", [3.0, 2.0, 1.0])
    text = (run / record.METRICS).read_text().splitlines()
    header, cells = text[0].split(","), text[-1].split(",")
    cells = ["nan" if name.startswith("val/") else cell for name, cell in zip(header, cells, strict=True)]
    (run / record.METRICS).write_text("\n".join([*text[:-1], ",".join(cells)]) + "\n")
    assert math.isnan(load_runs(run).runs.iloc[0]["settled_val_loss"])
