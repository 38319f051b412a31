"""What loss= and metrics= choose: identities stay those of version 0.1, own parts work, what does not fit is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import ROOT, main, read_folds
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from multirun_analysis.compare.chosen_metric import default_metric
from multirun_analysis.records.load import load_runs
from paribus import record
from paribus.config.check import Choices, read_choices
from paribus.config.compose import Composer
from paribus.run.load import load_run

pytestmark = [pytest.mark.slow, pytest.mark.cases(999)]

Train = Callable[..., Path]
SMALL = ("threads=1", "callbacks=none", "logger=none", "trainer.max_epochs=2")
NUMBERS = ("model=regression", "model.hidden=[4]", "data.train_subset=64", *SMALL)


def choices(*overrides: str) -> Choices:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        composer = Composer(GlobalHydra.instance().config_loader(), "train")
        config = composer.compose(overrides)
        return read_choices(config, config.hydra.runtime.choices, composer)


@pytest.mark.parametrize(("overrides", "identity"), [
    (("model=mlp",), "7ba8c5152c8757bd"),
    (("model=vgg6",), "10b13fb0201e7aae"),
    (("model=regression",), "92a94bd04d5672cf"),
    (("model=regression", "loss=mae"), "8536b9e94bc38aa0"),  # of model.loss=mae
])  # fmt: skip
def test_identities_are_those_of_the_version_before(overrides: tuple[str, ...], identity: str) -> None:
    assert record.identify(choices(*overrides).config) == identity


def test_another_loss_or_metric_is_another_experiment() -> None:
    tried = [
        (),
        ("loss=mae",),
        ("loss=huber",),
        ("loss=huber", "loss.delta=2"),
        ("metrics=r2",),
        ("metrics=[r2,rmse]",),
    ]
    found = [record.identify(choices("model=regression", *overrides).config) for overrides in tried]
    assert len(set(found)) == len(tried)
    smooth = record.identify(choices("model=mlp", "loss.label_smoothing=0.1").config)
    assert smooth != record.identify(choices("model=mlp").config)
    assert record.identify(choices("model=mlp", "loss.label_smoothing=0").config) == "7ba8c5152c8757bd"


def test_a_loss_and_a_list_of_metrics_are_choices() -> None:
    found = choices("model=regression", "loss=huber", "loss.delta=2", "metrics=[r2,rmse]")
    assert (found.options["loss"], found.options["metrics"]) == ("huber", "[r2,rmse]")
    assert found.given == {"loss.delta": 2}


@pytest.fixture
def own(tmp_path: Path) -> str:
    """--config-dir with the parts of own_losses.py."""
    data = "batch_size: 32\ntrain_subset: null\ntrain_on_validation: false\nseed: ${seed}\n"
    plain = "model: {_target_: own_losses.Plain, logarithms: false, init: torch"
    files = {
        "data/three": f"_target_: own_losses.Three\n{data}",
        "model/plain": "# @package _global_\ndefaults: [{/data@_global_.data: three}, {/loss@_global_.loss: cross_entropy},"
        f" _self_]\n{plain}}}\ndefault_epochs: 2\ndefault_lr: {{adam: 0.05}}\n",
        "model/old": "# @package _global_\ndefaults: [{/data@_global_.data: three}, _self_]\n"
        f"{plain}, loss: cross_entropy}}\ndefault_epochs: 2\ndefault_lr: {{adam: 0.05}}\n",
        "model/lossless": "# @package _global_\ndefaults: [{/data@_global_.data: three}, _self_]\n"
        f"{plain}}}\ndefault_epochs: 2\ndefault_lr: {{adam: 0.05}}\n",
        "loss/focal": "_target_: own_losses.Focal\n",
        "loss/whole": "_target_: own_losses.Whole\ntask: regression\n",
        "loss/untold": "_target_: own_losses.Whole\n",
        "loss/strange": "_target_: own_losses.Whole\ntask: ranking\n",
        "loss/summed": "_target_: own_losses.Summed\ntask: regression\n",
        "loss/broken": "_target_: own_losses.Broken\ntask: regression\n",
        "loss/trained": "_target_: own_losses.Trained\ntask: regression\n",
        "metrics/sure": "sure: {_target_: own_losses.Sure}\n",
        "metrics/vector": "vector: {_target_: own_losses.Vector}\n",
        "metrics/epoch": "epoch: {_target_: own_losses.Sure}\n",
    }
    for name, text in files.items():
        path = tmp_path / "own" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return f"--config-dir={tmp_path / 'own'}"


CLASSES, REGRESSION = ("model=plain",), ("model=regression",)


@pytest.mark.parametrize(("overrides", "message"), [
    ((*REGRESSION, "loss=cross_entropy"), "loss (CrossEntropyLoss) is for classification, but Concrete is data for regression."),
    ((*CLASSES, "loss=huber"), "loss (HuberLoss) is for regression, but Three is data for classification."),
    ((*CLASSES, "loss=bce"), "loss (BCEWithLogitsLoss) is for two classes; Three has 3. Choose loss=cross_entropy."),
    ((*CLASSES, "loss=nll"), "loss=nll needs a network that returns logarithms of probabilities"),
    ((*CLASSES, "loss.weight=[1,2]"), "loss.weight has 2 values; Three has 3 classes, and each needs one."),
    ((*CLASSES, "loss.weight=[1,2,0]"), "loss.weight is [1, 2, 0]; it must be a list of numbers, each above 0."),
    ((*CLASSES, "loss.weight=3"), "loss.weight is 3; it must be a list of numbers"),
    ((*CLASSES, "loss.label_smoothing=2"), "loss.label_smoothing is 2; it must be a number, at least 0 and at most 1."),
    ((*REGRESSION, "loss=quantile", "loss.level=1.5"), "loss.level is 1.5; it must be a number, above 0 and below 1."),
    ((*REGRESSION, "loss=huber", "loss.delta=0"), "loss.delta is 0; it must be a number, above 0."),
    ((*REGRESSION, "loss=smooth_l1", "loss.beta=-1"), "loss.beta is -1; it must be a number, at least 0."),
    ((*REGRESSION, "loss=mse", "+loss.reduction=sum"), "There is no 'reduction' in loss."),
    ((*REGRESSION, "loss=hubr"), "There is no 'hubr' in loss. Did you mean 'huber'?"),
    ((*REGRESSION, "metrics=f1"), "metrics.f1 is a metric of classification, but the loss is for regression."),
    ((*REGRESSION, "metrics=accuracy"), "metrics.acc is a metric of classification, but the loss is for regression."),
    ((*CLASSES, "metrics=[f1,r2]"), "metrics.r2 is a metric of regression, but the loss is for classification."),
    ((*CLASSES, "metrics=auorc"), "There is no 'auorc' in metrics. Did you mean 'auroc'?"),
    ((*CLASSES, "metrics=top_k"), "metrics.top_k: "),  # 5 of 3 classes
    ((*CLASSES, "metrics=f1", "metrics.f1.average=none"), "metrics.f1.average is 'none'; it must be one of micro, macro"),
    ((*CLASSES, "metrics=accuracy", "metrics.acc.average=macro"), "metrics.acc is recorded as it is for every run."),
    ((*CLASSES, "+metrics.mine={_target_: torch.nn.ReLU}"), "metrics.mine._target_: torch.nn.ReLU is no Metric."),
    ((*CLASSES, "metrics=vector"), "metrics.vector: Vector does not return one number"),
    ((*CLASSES, "metrics=epoch"), "metrics.epoch: a metric cannot have this name"),
    ((*REGRESSION, "loss=untold"), "loss.task is missing: say in the YAML of own_losses.Whole"),
    ((*REGRESSION, "loss=strange"), "There is no 'ranking' in loss.task."),
    ((*REGRESSION, "loss=summed"), "loss (Summed): with reduction=none a loss has to return that of each sample"),
    ((*REGRESSION, "loss=broken"), "loss (Broken) does not take outputs of shape (8,) and targets of shape (8,)"),
    ((*REGRESSION, "loss=trained"), "loss (Trained) has parameters, which nothing would train."),
    ((*REGRESSION, "model.loss=mae"), "There is no 'loss' in model. The loss is a group of its own: loss=mae"),
    ((*REGRESSION, "+model.loss=mae"), "The loss is a group of its own: loss=mae"),
    (("model=lossless",), "The model's YAML names no loss: add `- /loss@_global_.loss: mse` to its defaults"),
    (("model=old", "model.loss=msee"), "There is no 'msee' in model.loss. Did you mean 'mse'?"),
    (("model=old", "loss=nll"), "The model's YAML gives its loss as model.loss. To choose another one by loss=NAME"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(own: str, capsys: Any, overrides: tuple[str, ...], message: str) -> None:
    assert main("train.py", own, *overrides, "threads=1", "trainer=cpu", "dry_run=true") == 1
    out, err = capsys.readouterr()
    errors = [line for line in (out + err).splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in out + err


def test_counts_are_not_negative(own: str, tmp_path: Path, capsys: Any) -> None:
    Path("table.csv").write_text("a,y\n" + "".join(f"{i},{i - 3}\n" for i in range(40)))
    table = ("data.path=table.csv", "data.target=y", "data.batch_size=8")
    assert main("train.py", *REGRESSION, *table, "loss=poisson", "trainer=cpu", "threads=1", "dry_run=true") == 1
    assert "loss=poisson is for counts, which are not negative; some targets are." in capsys.readouterr().err


def test_a_networks_yaml_may_name_its_loss_as_before(train: Train, own: str) -> None:
    old, new = (train(own, f"model={name}", *SMALL, directory=name) for name in ("old", "plain"))
    pd.testing.assert_frame_equal(
        *(pd.read_csv(run / record.METRICS).drop(columns="epoch_seconds") for run in (old, new))
    )
    first, second = (record.read_summary(run) for run in (old, new))
    assert first["identity"] == second["identity"] and first["choices"]["loss"] == second["choices"]["loss"]


def test_an_own_loss_of_samples_and_an_own_metric(train: Train, own: str) -> None:
    run = load_run(train(own, "model=plain", "loss=focal", "metrics=[sure,f1]", *SMALL), "last", trust=True)
    run.data.setup("fit")
    assert run.data.val is not None
    inputs, targets = run.data.val
    p = run.predict(inputs)
    right = p[torch.arange(len(p)), targets]
    row = pd.read_csv(run.directory / record.METRICS).iloc[-1]
    assert row["val/loss"] == pytest.approx(float((-((1 - right) ** 2) * right.log()).mean()), rel=1e-5)
    assert row["val/sure"] == pytest.approx(float(p.amax(1).mean()), rel=1e-5)


def test_a_loss_that_is_no_mean_is_that_of_all_samples_and_executed_alone(own: str, capsys: Any) -> None:
    sweep = ("--multirun", own, *NUMBERS, "loss=whole", "trainer=cpu", "seed=1,2", "study=s", "hydra/launcher=stacked")
    assert main("train.py", *sweep) == 0
    assert "its loss gives no value for each sample" in capsys.readouterr().out
    for directory in record.find_runs([Path("outputs/s")]):
        metrics, folds = pd.read_csv(directory / record.METRICS), read_folds(directory)
        assert metrics["val/loss"].to_numpy() == pytest.approx(metrics["val/mse"].to_numpy() ** 0.5, rel=1e-5)
        assert folds["val/loss"].to_numpy() == pytest.approx(folds["val/mse"].to_numpy() ** 0.5, rel=1e-5)


def test_poisson_predicts_counts(train: Train) -> None:
    directory = train(*NUMBERS[:-4], "loss=poisson", "threads=1", "logger=none", "trainer.max_epochs=2")
    run = load_run(directory)
    run.data.setup("fit")
    assert run.data.val is not None
    inputs, targets = run.data.val
    with torch.no_grad():
        expected = run.network(inputs).exp()
    written = pd.read_parquet(directory / record.PREDICTIONS).query("split == 'val'")
    assert written["prediction"].to_numpy() == pytest.approx(expected.numpy(), rel=1e-5)
    statistics, mean = record.read_summary(directory)["statistics"], run.target_mean
    assert mean is not None
    assert statistics["baseline_val_loss"] == pytest.approx(
        mean - float(targets.mean()) * torch.tensor(mean).log().item()
    )


FIRST = ROOT / "tests" / "records_0.1" / "single"


def test_a_record_that_names_its_loss_in_the_model_is_repeated(tmp_path: Path, capsys: Any) -> None:
    """The record of version 0.1, as if model.loss=mse had been typed."""
    old = Path(shutil.copytree(FIRST, tmp_path / "old"))
    overrides = old / ".hydra" / "overrides.yaml"
    overrides.write_text(overrides.read_text() + "- model.loss=mse\n")
    assert main("train.py", f"rerun={old}", f"hydra.run.dir={tmp_path / 'again'}") == 0
    said = capsys.readouterr().out
    assert "Identical to the last digit: 2 epochs of metrics.csv" in said
    assert "layers.parquet" in said  # whose rounding is another one since
    again = record.read_summary(tmp_path / "again")
    assert again["identity"] == json.loads((FIRST / record.SUMMARY).read_text())["identity"]
    assert main("train.py", f"resume={old}", "trainer.max_epochs=3") == 0
    assert len(record.read_metrics(old)) == 3


def test_losses_are_compared_by_another_metric_than_themselves(train: Train) -> None:
    for loss in ("mse", "huber"):
        train(*NUMBERS, f"loss={loss}", "metrics=r2", directory=f"runs/{loss}")
    study = load_runs(["runs"])
    assert sorted(study.runs["loss"]) == ["huber", "mse"]
    assert study.runs[["selected_val_mse", "selected_val_r2"]].notna().all(axis=None)
    assert default_metric(study, "regression", ["loss"]).name == "selected_val_mse"
    assert "metrics" not in {key.partition(".")[0] for run in study.described.values() for key in run.flat}
