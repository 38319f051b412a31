"""Runs trained as one: each has the record that it would have alone."""

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import ROOT, main, read_folds, read_layers
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import open_dict
from torch import nn

from paribus import record
from paribus.config.compose import Composer
from paribus.data.module import InMemory
from paribus.instruments.weights import Weights
from paribus.run.attempt import Outcome, attempt
from paribus.run.spec import Job
from paribus.stacked.attempt import attempt_stack
from paribus.stacked.grouping import find_reason_alone, group_runs, split_group
from paribus.stacked.modules import NotStackable, StackedLinear, stack_modules
from paribus.stacked.optimizer import StackedOptimizer
from paribus.stacked.stack import Stack
from paribus.sweep.expand import expand_sweep
from paribus.sweep.plan import plan_study

pytestmark = pytest.mark.slow

SMALL = ("model=regression", "threads=1", "trainer=cpu", "trainer.max_epochs=2")


def jobs(directory: Path, *typed: str) -> list[Job]:
    """The runs of a sweep, in a study of this directory."""
    own = [f"hydra.sweep.dir={directory}", "hydra.mode=MULTIRUN"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        study = loader.load_configuration("train", [*own, "study=s"], RunMode.MULTIRUN)
        with open_dict(study):
            study.hydra.runtime.output_dir = str(directory)
        sweep = expand_sweep([*SMALL, *typed], loader, study, None, None)
        return [run.job for run in plan_study(sweep, Composer(loader, "train", own), study)]


Both = Callable[..., list[tuple[Path, Path]]]


@pytest.fixture
def both(tmp_path: Path) -> Both:
    """both("optim=sgd", ...): each run of a sweep made alone, and in a stack."""

    def make(*typed: str) -> list[tuple[Path, Path]]:
        alone, together = jobs(tmp_path / "alone", *typed), jobs(tmp_path / "stacked", *typed)
        assert attempt_stack(together) == [Outcome()] * len(together)
        assert [attempt(job, console=False) for job in alone] == [Outcome()] * len(alone)
        found = {read_summary(job.directory).get("stacked") for job in together}
        assert found == {len(together)} or "data.split=grouped" in typed, "whose sizes differ by the seed"
        return [(a.directory, b.directory) for a, b in zip(alone, together, strict=True)]

    return make


def read_summary(directory: Path) -> dict:
    return json.loads((directory / record.SUMMARY).read_text())


def curves(directory: Path) -> pd.DataFrame:
    return pd.read_csv(directory / record.METRICS).drop(columns="epoch_seconds")


def same_folds(one: Path, other: Path) -> None:
    assert (one / record.FOLDS).exists() == (other / record.FOLDS).exists()
    if (one / record.FOLDS).exists():
        pd.testing.assert_frame_equal(read_folds(other), read_folds(one), rtol=1e-4)


def same_curves(pairs: list[tuple[Path, Path]], columns: list[str] | None = None) -> None:
    for alone, stacked in pairs:
        expected, found = curves(alone), curves(stacked)
        pd.testing.assert_frame_equal(found[columns or list(expected)], expected[columns or list(expected)], rtol=1e-4)
        same_folds(alone, stacked)


FEWER = ("callbacks=none", "logger=none", "data.train_subset=200")  # what has no part in the losses
OPTIMIZERS = ["sgd", "sgd_momentum", "nesterov", "adam", "adamw", "nadam", "adagrad", "rmsprop"]


@pytest.mark.parametrize("optim", OPTIMIZERS)
def test_every_optimizer(both: Both, optim: str) -> None:
    same_curves(both(*FEWER, f"optim={optim}", "optim.lr=0.001,0.0005", "optim.weight_decay=0,0.1"))


@pytest.mark.parametrize("optim", ["sgd_momentum", "adam"])
@pytest.mark.parametrize("scheduler", ["none", "step", "cosine", "exponential", "onecycle"])
def test_every_schedule(both: Both, scheduler: str, optim: str) -> None:
    same_curves(both(*FEWER, f"scheduler={scheduler}", f"optim={optim}", "optim.lr=0.001,0.0005"))


@pytest.mark.parametrize(
    "values",
    [
        "optim=sgd_momentum optim.momentum=0.5,0.9",
        "optim=adam optim.betas=[0.9,0.999],[0.5,0.9]",
        "scheduler=onecycle scheduler.pct_start=0.2,0.5",
        "scheduler=step scheduler.gamma=0.5,0.1 scheduler.step_size=1",
        "model.init=torch,auto,orthogonal",
        "data.log_age=true,false",
        "optim=nesterov optim.momentum=0.5,0.9 scheduler=onecycle",
    ],
)
def test_values_of_its_own(both: Both, values: str) -> None:
    same_curves(both(*FEWER, *values.split(), "optim.lr=0.001"))


ACTIVATIONS = sorted(path.stem for path in (ROOT / "conf" / "activation").glob("*.yaml"))


def test_every_activation(tmp_path: Path, both: Both) -> None:
    for activation in ACTIVATIONS:
        same_curves(both(*FEWER, f"activation={activation}", "seed=1,2"))


@pytest.mark.parametrize(
    "more",
    [
        "loss=mae",
        "model.hidden=[]",
        "data.split=grouped",
        "data.bins=4",
        "model.dropout=0.3",
        "data.batch_size=50",
        "data.train_on_validation=true",
        "model.width=4 model.depth=12",
    ],
)
def test_what_else_may_be(both: Both, more: str) -> None:
    pairs = both(*FEWER, *more.split(), "seed=1,2")
    same_curves(pairs)


def test_batch_norm_trains_alike(both: Both) -> None:
    """The bias before a batch norm has no gradient but rounding, which Adam makes as large as any: what is validated
    with running means follows it."""
    same_curves(both("model.norm=batch", "seed=1,2", "optim=sgd", "optim.lr=0.0005"))


def test_images_too(both: Both, fashion_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InMemory, "eval_batch_size", 25)
    same_curves(both("model=mlp", f"data.root={fashion_root}", "data.val_size=60", "seed=1,2", "optim.lr=0.001,0.01"))


def test_layers_files_and_summaries(both: Both) -> None:
    for alone, stacked in both("seed=1,2", "activation=tanh"):
        one, other = read_layers(alone), read_layers(stacked)
        keys = ["epoch", "layer", "depth", "tensor", "quantity"]
        merged = one.merge(other, on=keys, how="outer", suffixes=("", "_stacked"))
        assert len(merged) == len(one) == len(other)
        assert (merged["value"] - merged["value_stacked"]).abs().max() < 1e-4
        assert {p.relative_to(alone) for p in alone.rglob("*") if "tfevents" not in p.name and p.name != ".lock"} == {
            p.relative_to(stacked) for p in stacked.rglob("*") if "tfevents" not in p.name and p.name != ".lock"
        }
        assert len(list(stacked.glob("events*"))) == len(list(alone.glob("events*")))
        a, b = read_summary(alone), read_summary(stacked)
        assert set(b) - set(a) == {"stacked"}
        for key in ("identity", "choices", "set", "seed", "config", "data", "status", "study"):
            assert a[key] == b[key]
        timed = {"mean_epoch_seconds", "train_seconds"}
        for key in set(a["statistics"]) - timed:
            assert b["statistics"][key] == pytest.approx(a["statistics"][key], rel=1e-4), key
        for file in (record.BEST, record.LAST):
            like(torch.load(alone / file, weights_only=True), torch.load(stacked / file, weights_only=True))
        one, other = (pd.read_parquet(where / record.PREDICTIONS) for where in (alone, stacked))
        pd.testing.assert_frame_equal(one, other, rtol=1e-4)
        assert histograms(stacked) == histograms(alone)


def histograms(directory: Path) -> dict[str, list[object]]:
    """By tag, their epochs; and what they show before training, when the weights are those of the run alone."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory), size_guidance={"histograms": 0}).Reload()
    found = {tag: events.Histograms(tag) for tag in events.Tags()["histograms"]}
    assert len(found) == 6
    shown = {tag: drawn[0].histogram_value for tag, drawn in found.items()}
    return {
        tag: [*(one.step for one in drawn), shown[tag].bucket, shown[tag].bucket_limit, round(shown[tag].sum, 6)]
        for tag, drawn in found.items()
    }


def like(one: object, other: object, path: str = "") -> None:
    """Two checkpoints have the same structure and, but for rounding, values."""
    if "started" in path or path.endswith("/stacked"):
        return
    assert type(one) is type(other), path
    if isinstance(one, dict):
        assert isinstance(other, dict) and set(one) == set(other), path
        for key in one:
            like(one[key], other[key], f"{path}/{key}")
    elif isinstance(one, list | tuple):
        assert isinstance(other, list | tuple) and len(one) == len(other), path
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            like(a, b, f"{path}/{i}")
    elif isinstance(one, torch.Tensor):
        assert isinstance(other, torch.Tensor) and one.dtype == other.dtype
        assert torch.allclose(one.double(), other.double(), rtol=1e-3, atol=1e-5), path
    else:
        assert one == (pytest.approx(other, rel=1e-4) if isinstance(one, float) else other), path


def test_one_that_diverges_leaves_the_others_alone(both: Both) -> None:
    pairs = both("optim=sgd_momentum", "optim.lr=0.001,0.5,1e20", "seed=1,2")
    same_curves(pairs)
    for alone, stacked in pairs:
        a, b = read_summary(alone), read_summary(stacked)
        assert a["status"] == b["status"]
        assert a.get("diverged") == b.get("diverged")
        like(
            torch.load(alone / record.LAST, weights_only=True)["recorder"],
            torch.load(stacked / record.LAST, weights_only=True)["recorder"],
        )
    assert [read_summary(stacked)["status"] for _, stacked in pairs].count("diverged") == 4


KINDS = {
    "sgd": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9, "dampening": 0.1}),
    "nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adam": (torch.optim.Adam, {"betas": (0.8, 0.99)}),
    "amsgrad": (torch.optim.Adam, {"amsgrad": True}),
    "decoupled": (torch.optim.NAdam, {"decoupled_weight_decay": True}),
    "adamw": (torch.optim.AdamW, {}),
    "nadam": (torch.optim.NAdam, {}),
    "adagrad": (torch.optim.Adagrad, {"lr_decay": 0.1}),
    "rmsprop": (torch.optim.RMSprop, {"momentum": 0.9, "centered": True}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("agree", [True, False])
def test_steps_are_those_of_torch(kind: str, agree: bool) -> None:
    """Step by step, with a rate that changes; runs that agree in everything share their source."""
    make, values = KINDS[kind]
    generator = torch.Generator().manual_seed(0)
    runs, shapes = 4, [(3, 5), (5,), ()]
    start = [torch.randn(runs, *shape, generator=generator) for shape in shapes]
    rates, decays = ([0.01] * runs, [0.1] * runs) if agree else ([0.01, 0.1, 0.03, 0.01], [0, 0.1, 0.1, 0.01])
    one_by_one = [[nn.Parameter(t[k].clone()) for t in start] for k in range(runs)]
    torchs = [make(p, lr=rates[k], weight_decay=decays[k], **values) for k, p in enumerate(one_by_one)]
    sources = [make([nn.Parameter(torch.zeros(1))], lr=rates[k], weight_decay=decays[k], **values) for k in range(runs)]
    sources = [sources[0]] * runs if agree else sources
    together = [nn.Parameter(t.clone()) for t in start]
    stacked = StackedOptimizer(together, sources)
    assert [part.identical for part in stacked.slices] == [agree]
    for step in range(12):
        gradients = [torch.randn(runs, *shape, generator=generator) for shape in shapes]
        for p, gradient in zip(together, gradients, strict=True):
            p.grad = gradient.clone()
        stacked.step()
        for k, optimizer in enumerate(torchs):
            for p, gradient in zip(one_by_one[k], gradients, strict=True):
                p.grad = gradient[k].clone()
            optimizer.step()
            for p, whole in zip(one_by_one[k], together, strict=True):
                torch.testing.assert_close(whole[k], p, rtol=1e-5, atol=1e-6)
        if step == 5:
            for optimizer in [*torchs, *{id(source): source for source in sources}.values()]:
                optimizer.param_groups[0]["lr"] *= 0.5
            stacked.refresh()
    for k, optimizer in enumerate(torchs):
        mine, its = stacked.get_state(k)["state"], optimizer.state_dict()["state"]
        assert mine.keys() == its.keys()
        for i, known in its.items():
            assert mine[i].keys() == known.keys()
            for key, value in known.items():
                torch.testing.assert_close(mine[i][key], value, rtol=1e-5, atol=1e-6, check_dtype=False)


# --- taken up


def test_a_stack_that_was_killed_is_taken_up_and_so_is_each_of_its_runs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paribus.stacked import stack as module

    whole = jobs(tmp_path / "whole", "seed=1,2,3", "scheduler=onecycle", "trainer.max_epochs=6", "model.dropout=0.2")
    attempt_stack(whole)
    cut = jobs(tmp_path / "cut", "seed=1,2,3", "scheduler=onecycle", "trainer.max_epochs=6", "model.dropout=0.2")
    trained = Stack._train_epoch

    def killed(self: Stack) -> None:
        if self.epoch == 4:
            raise KeyboardInterrupt
        trained(self)

    monkeypatch.setattr(module, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(module, "MAX_WRITE_SHARE", math.inf)
    monkeypatch.setattr(Stack, "_train_epoch", killed)
    assert {ended.message for ended in attempt_stack(cut)} == {"interrupted"}
    assert {record.read_status(job.directory)[0] for job in cut} == {record.INTERRUPTED}
    monkeypatch.setattr(Stack, "_train_epoch", trained)
    again = jobs(tmp_path / "cut", "seed=1,2,3", "scheduler=onecycle", "trainer.max_epochs=6", "model.dropout=0.2")
    assert attempt(again[0], console=False) == Outcome()  # alone
    assert attempt_stack(again[1:]) == [Outcome()] * 2
    for one, other in zip(whole, again, strict=True):
        assert read_summary(other.directory)["taken_up"] == [4]
        pd.testing.assert_frame_equal(curves(one.directory), curves(other.directory), rtol=1e-4)
        same_folds(one.directory, other.directory)
    changes = [read_summary(job.directory).get("engine_changes") for job in (whole[0], *again)]
    said = {"epoch": 4, "from": "in a stack of 3"}
    assert changes == [None, [{**said, "to": "alone"}], *[[{**said, "to": "in a stack of 2"}]] * 2]
    assert [read_summary(job.directory).get("stacked") for job in again] == [None, 2, 2]


# --- what goes where


def test_what_can_be_stacked_and_what_cannot(tmp_path: Path, cifar_root: Path) -> None:
    groups, alone = group_runs([
        *jobs(tmp_path, "seed=1,2,3", "optim.lr=0.01,0.1"),
        *jobs(tmp_path, "seed=1,2", "activation=tanh"),
        *jobs(tmp_path, "seed=1", "activation=elu"),
        *jobs(tmp_path, "seed=1,2", "trainer.gradient_clip_val=1"),
        *jobs(tmp_path, "seed=1,2", "model=vgg6", "model.width_multiplier=0.1", f"data.root={cifar_root}", "data.verify=false", "data.val_size=10", "data.augment=false"),
    ])  # fmt: skip
    assert sorted(map(len, groups)) == [2, 6]
    assert {reason: len(those) for reason, those in alone.items()} == {
        "no other run is like it": 1, "its gradients are clipped": 2, "conv1 is a Conv2d": 2}  # fmt: skip


def test_stacks_are_spread_over_processes_and_bounded(tmp_path: Path) -> None:
    [group], _ = group_runs(jobs(tmp_path, "seed=range(10)"))
    assert sorted(map(len, split_group(group, 2, None))) == [5, 5]
    assert sorted(map(len, split_group(group, 2, 3))) == [2, 2, 3, 3]
    assert sorted(map(len, split_group(group, 1, None))) == [10]


def test_a_stack_takes_half_of_the_free_memory_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [group] = group_runs(jobs(tmp_path, "seed=range(10)", "model.hidden=[1000]"))[0]
    # 1000 x 8 + 1000 + 1000 + 1 parameters in 12 copies, two copies of 876 rows of 9 floats, and of an output for each
    needed = 4 * (12 * 10_001 + 2 * 876 * 9 + 2 * 876)
    for fit, largest in ((3, 3), (100, 10), (0, 1)):
        free = 2 * needed * fit + 1
        monkeypatch.setattr("os.sysconf", lambda name, free=free: free if name == "SC_AVPHYS_PAGES" else 1)
        sizes = list(map(len, split_group(group, 1, None)))
        assert sum(sizes) == 10 and max(sizes) == largest


def test_each_run_has_in_its_log_what_is_said_of_it_and_of_the_stack(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    validate = Stack._validate

    def said(self: Stack) -> list[dict[str, float]]:
        logging.getLogger("somebody").info("of the stack in epoch %d", self.epoch)
        return validate(self)

    monkeypatch.setattr(Stack, "_validate", said)
    for alone, stacked in both("seed=1,2", "data.train_on_validation=true"):
        for directory in (alone, stacked):
            [path] = directory.glob("*.log")
            text = path.read_text()
            assert text.count("Activations are not recorded") == 1 and text.count("RegressionNet") == 1
        assert [line for line in text.splitlines() if "of the stack in epoch 1" in line]


def test_by_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed = ["--multirun", "study=s", *SMALL, "seed=1,2,3", "hydra/launcher=stacked", "hydra.launcher.n_jobs=1"]
    assert main("train.py", *typed, "optim.lr=0.01,0.001", "trainer.gradient_clip_val=null") == 0
    out = capsys.readouterr().out
    assert "6 runs: 6 completed" in out and "6 runs in 1 stack, each" in out
    assert main("train.py", *typed, "optim.lr=0.01,0.001") == 0
    assert "6 completed" in capsys.readouterr().out


def changed(config: dict, **values: object) -> dict:
    """A copy with values by dotted key (__ for a dot)."""
    copied = json.loads(json.dumps(config))
    for key, value in values.items():
        node = copied
        *path, last = key.split("__")
        for part in path:
            node = node[part]
        node[last] = value
    return copied


@pytest.mark.parametrize(("values", "reason"), [
    ({"trainer__accelerator": "gpu"}, "it trains on a GPU"),
    ({"trainer___target_": "mine.Trainer"}, "its trainer is mine.Trainer"),
    ({"trainer__accumulate_grad_batches": 2}, "trainer.accumulate_grad_batches is set"),
    ({"trainer__devices": 2}, "it uses several devices"),
    ({"trainer__precision": "bf16-mixed"}, "its precision is bf16-mixed"),
    ({"logger": {"wandb": {"_target_": "lightning.pytorch.loggers.WandbLogger"}}}, "its logger is not TensorBoard"),
    ({"figures": True}, "it draws figures"),
    ({}, None),
])  # fmt: skip
def test_what_the_configuration_says_against_it(tmp_path: Path, values: dict[str, object], reason: str | None) -> None:
    [job] = jobs(tmp_path, "seed=1")
    assert find_reason_alone(changed(job.config, **values)) == reason


def frozen() -> nn.Module:
    network = nn.Sequential(nn.Linear(3, 3))
    network[0].weight.requires_grad_(False)
    return network


def twice() -> nn.Module:
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, nn.ReLU(), layer)


def buffered() -> nn.Module:
    network = nn.Sequential(nn.Linear(3, 3))
    network.register_buffer("scale", torch.ones(16))
    return network


@pytest.mark.parametrize("bias", [True, False])
def test_gradients_of_stacked_layers_are_those_of_their_outputs(bias: bool) -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(3, 2, bias=bias, dtype=torch.float64) for _ in range(4)]
    layer = StackedLinear(layers)
    inputs = torch.randn(4, 5, 3, dtype=torch.float64, requires_grad=True)
    expected = torch.stack([one(x) for one, x in zip(layers, inputs, strict=True)])
    assert torch.allclose(layer(inputs), expected)

    def outputs(inputs: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        named = dict(zip(dict(layer.named_parameters()), parameters, strict=True))
        return torch.func.functional_call(layer, named, (inputs,))

    assert torch.autograd.gradcheck(outputs, (inputs, *layer.parameters()))


@pytest.mark.parametrize(("make", "why"), [(frozen, "frozen"), (twice, "two names"), (buffered, "buffers of its own"),
                                           (lambda: nn.Sequential(nn.PReLU()), "PReLU"),
                                           (lambda: nn.Sequential(nn.Conv2d(1, 1, 1)), "Conv2d")])  # fmt: skip
def test_networks_that_cannot_be_stacked(make: Callable[[], nn.Module], why: str) -> None:
    with pytest.raises(NotStackable, match=why):
        stack_modules([make(), make()])


def test_optimizers_that_cannot_be_stacked() -> None:
    def of(kind: type[torch.optim.Optimizer], **values: object) -> torch.optim.Optimizer:
        return kind([nn.Parameter(torch.zeros(1))], lr=0.1, **values)  # type: ignore[call-arg]

    p = [nn.Parameter(torch.zeros(2, 3))]
    for pair, why in {
        (of(torch.optim.SGD), of(torch.optim.Adam)): "Adam and SGD",
        (of(torch.optim.NAdam), of(torch.optim.NAdam, decoupled_weight_decay=True)): "decoupled",
        (of(torch.optim.SGD, maximize=True), of(torch.optim.SGD)): "maximizes",
        (of(torch.optim.Rprop), of(torch.optim.Rprop)): "Rprop",
    }.items():
        with pytest.raises(NotStackable, match=why):
            StackedOptimizer(p, pair)


def test_a_run_whose_files_cannot_be_written_fails_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = jobs(tmp_path, "seed=1,2,3")
    finish = Weights.finish

    def full(self: Weights, directory: Path, best: dict) -> None:
        if directory == together[1].directory:
            raise OSError(28, "No space left on device", "weights.npz")
        finish(self, directory, best)

    monkeypatch.setattr(Weights, "finish", full)
    ended = attempt_stack(together)
    assert [record.read_status(job.directory)[0] for job in together] == ["completed", "interrupted", "completed"]
    assert ended[0] == ended[2] == Outcome() and "No space left" in str(ended[1].message)
    monkeypatch.setattr(Weights, "finish", finish)
    assert attempt_stack(together) == [Outcome()] * 3
    assert {record.read_status(job.directory)[0] for job in together} == {"completed"}
    assert read_summary(together[1].directory)["taken_up"] == [2]


def test_after_ctrl_c_nothing_more_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Stack) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Stack, "_train_epoch", interrupted)
    both_shapes = [*jobs(tmp_path, "seed=1,2"), *jobs(tmp_path, "seed=1,2", "data.train_subset=100")]
    assert {ended.message for ended in attempt_stack(both_shapes)} == {"interrupted"}
    assert {record.read_status(job.directory)[0] for job in both_shapes} == {"interrupted"}


def test_without_instruments_and_with_all_digits(both: Both) -> None:
    def files(directory: Path) -> set[str]:
        return {p.name for p in directory.iterdir() if "tfevents" not in p.name and p.name != ".lock"}

    for alone, stacked in both("callbacks=none", "optim.lr=0.01,0.003"):
        assert files(alone) == files(stacked)
        assert (curves(alone)["lr"] == curves(stacked)["lr"]).all()


def test_a_network_that_draws_by_itself_is_made_alone(tmp_path: Path, own: str) -> None:
    """Its runs are completed all the same."""
    (tmp_path / "own_parts.py").write_text(
        (tmp_path / "own_parts.py").read_text()
        + """
class Drawing(Bilinear):
    def forward(self, x):
        return self.b(self.activation(nn.functional.dropout(self.a(x), 0.5, self.training))).squeeze(-1)
"""
    )
    (tmp_path / "own" / "model" / "drawing.yaml").write_text(
        (tmp_path / "own" / "model" / "bilinear.yaml").read_text().replace("Bilinear", "Drawing")
    )
    typed = [
        "--multirun",
        own,
        "study=s",
        "model=drawing",
        "trainer=cpu",
        "threads=1",
        "seed=1,2",
        "hydra/launcher=stacked",
        "hydra.launcher.n_jobs=1",
    ]
    assert main("train.py", *typed) == 0
    found = [json.loads(path.read_text()) for path in Path("outputs/s").glob("*/summary.json")]
    assert len(found) == 2 and all(summary["status"] == "completed" and "stacked" not in summary for summary in found)
