"""Seeds of a run's own sources of randomness: what each one changes, and what it leaves equal."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_stacks import curves, jobs, read_summary

from paribus import record
from paribus.data.batches import Batches, CropFlip
from paribus.errors import UserError
from paribus.record import identify, resolve_seeds
from paribus.run.attempt import Outcome, attempt
from paribus.run.build import build_data, build_initial
from paribus.stacked.attempt import attempt_stack

CONFIG = {"seed": 42, "data": {"seed": 42, "batch_size": 64}, "optim": {"lr": 0.1}}


def of(**seeds: int | None) -> dict[str, object]:
    return {**CONFIG, "seeds": dict.fromkeys(record.SOURCES) | seeds}


def test_sources_follow_the_seed_and_what_the_data_draw_follows_that_of_the_data() -> None:
    assert resolve_seeds(CONFIG) == resolve_seeds(of()) == dict.fromkeys(record.SOURCES, 42)
    followed = {"split": 5, "weights": 42, "order": 5, "augmentation": 5, "dropout": 42}
    assert resolve_seeds({**of(), "data": {"seed": 5}}) == followed
    assert resolve_seeds(of(order=1, weights=0)) == dict.fromkeys(record.SOURCES, 42) | {"order": 1, "weights": 0}


def test_identity_depends_on_the_seeds_and_not_on_how_they_are_written() -> None:
    assert identify(CONFIG) == identify(of()) == identify(of(order=42, split=42))
    assert len({identify(config) for config in (CONFIG, of(order=1), of(split=1), of(weights=1), of(order=2))}) == 5
    by_data = {**of(order=42, augmentation=42), "data": {**CONFIG["data"], "seed": 1}}  # type: ignore[dict-item]
    assert identify(of(split=1)) == identify(by_data)
    assert identify({**CONFIG, "data": {**CONFIG["data"], "seed": 1}}) != identify(by_data)  # type: ignore[dict-item]


def test_augmentation_depends_on_its_own_seed_alone() -> None:
    images, labels = torch.arange(6 * 64, dtype=torch.uint8).view(6, 1, 8, 8), torch.arange(6)

    def draw(order: int, augmentation: int | None) -> tuple[list[int], torch.Tensor]:
        def made(seed: int) -> torch.Generator:
            return torch.Generator().manual_seed(seed)

        own = None if augmentation is None else lambda: made(augmentation)
        _, targets, drawn = Batches(images, labels, 3, lambda: made(order), CropFlip(4), own).arrange_epoch()
        assert drawn is not None
        return targets.tolist(), drawn

    (order, drawn), (same_order, other), (_, same) = draw(1, 1), draw(1, 2), draw(3, 1)
    assert order == draw(1, None)[0] and torch.equal(drawn, draw(1, None)[1])  # as where all follow one seed
    assert same_order == order and not torch.equal(other, drawn) and torch.equal(same, drawn)


def test_each_seed_changes_its_own_source_alone(tmp_path: Path) -> None:
    def draw(*overrides: str) -> dict[str, torch.Tensor]:
        config = jobs(tmp_path, "seed=1", *overrides)[0].config
        data = build_data(config)
        data.setup("fit")
        learner, _ = build_initial(config, data)
        assert data.val is not None and data.train is not None
        order = data.train_dataloader().arrange_epoch()[1]
        rank = torch.searchsorted(data.train[1].sort().values, order)
        weights = torch.cat([p.flatten() for p in learner.parameters()])
        return {"split": data.val[1], "order": rank, "weights": weights, "dropout": torch.tensor(learner.seed)}

    first = draw()
    for source in first:
        changed = draw(f"seeds.{source}=2")
        kept = {key for key, value in changed.items() if torch.equal(value, first[key])}
        assert kept == set(first) - {source} - ({"order"} if source == "split" else set())  # ranks of other samples
    whole = draw("seed=2", *(f"seeds.{source}=1" for source in first))
    assert all(torch.equal(value, first[key]) for key, value in whole.items())


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["seeds.order=-1"], "seeds.order is -1; it must be a whole number, at least 0"),
        (["seeds.order=1.5"], "seeds.order is 1.5; it must be a whole number. For a run each"),
        (["seeds.order=[1,2]"], "--multirun seeds.order=1,2"),
        (["seeds.oder=1"], "order"),
        (["seeds.split=1", "data.seed=2"], "seeds.split is 1 and data.seed 2; both seed the split"),
    ],
)
def test_seeds_that_are_none_are_refused(tmp_path: Path, overrides: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        jobs(tmp_path, *overrides)
    assert said in str(caught.value)


@pytest.mark.slow
def test_a_stack_gives_each_run_its_own_seeds(tmp_path: Path) -> None:
    sweep = ("seed=7", "seeds.order=1,2", "seeds.dropout=3,4", "model.dropout=0.2", "callbacks=none", "logger=none")
    together, alone = jobs(tmp_path / "stacked", *sweep), jobs(tmp_path / "alone", *sweep)
    assert attempt_stack(together) == [Outcome()] * 4
    assert [attempt(job, console=False) for job in alone] == [Outcome()] * 4
    losses = []
    for one, other in zip(alone, together, strict=True):
        assert read_summary(other.directory)["stacked"] == 4
        assert read_summary(other.directory)["seeds"] == read_summary(one.directory)["seeds"]
        np.testing.assert_allclose(curves(other.directory)["train/loss"], curves(one.directory)["train/loss"], 1e-4)
        losses.append(curves(one.directory)["train/loss"].iloc[-1])
    assert len(set(losses)) == 4
