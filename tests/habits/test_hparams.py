"""TensorBoard's HPARAMS tab, by the backend of the plugin itself: its columns, and the values of each run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import main
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups

from paribus import record
from paribus.loggers.hyperparameters import Hyperparameters
from paribus.loggers.study import find_columns

pytestmark = pytest.mark.slow

Train = Callable[..., Path]
SHORT = ("model=regression", "model.hidden=[8]", "trainer=cpu", "threads=1", "callbacks=none", "trainer.max_epochs=2")


def read_table(directory: Path) -> tuple[api_pb2.Experiment, list[dict[str, Any]], list[dict[str, float]]]:
    """The table as TensorBoard's backend makes it: its columns, and of each run hyperparameters and metrics."""
    multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(directory))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(directory))
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    experiment = get_experiment.Handler(RequestContext(), context, "", api_pb2.GetExperimentRequest()).run()
    statuses = [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_RUNNING]
    request = api_pb2.ListSessionGroupsRequest(slice_size=100, allowed_statuses=statuses, include_metrics=True)
    for info in [*experiment.hparam_infos]:
        request.col_params.add(hparam=info.name, include_in_result=True)
    for metric in experiment.metric_infos:
        request.col_params.add(metric=metric.name, include_in_result=True)
    listed = list_session_groups.Handler(RequestContext(), context, "", request).run().session_groups
    hparams = [
        {name: getattr(value, str(value.WhichOneof("kind"))) for name, value in group.hparams.items()}
        for group in listed
    ]
    return experiment, hparams, [{m.name.tag: m.value for m in group.metric_values} for group in listed]


def test_a_study_shows_what_differs_and_all_of_it() -> None:
    """adam has no momentum: its column is there although the first run lacks it."""
    grids = "hydra.sweeper.grids=[{optim: adam}, {optim: sgd_momentum, optim.momentum: '0.5,0.8'}]"
    assert main("train.py", "--multirun", *SHORT, "study=s", grids, "model.dropout=0.1") == 0
    experiment, hparams, metrics = read_table(Path("outputs/s"))
    assert [info.name for info in experiment.hparam_infos] == ["optim", "optim.lr", "optim.momentum", "status"]
    shown = [{name: run[name] for name in run if name in ("optim", "optim.momentum", "status")} for run in hparams]
    assert sorted(shown, key=lambda run: run.get("optim.momentum", 0)) == [
        {"optim": "adam", "status": "completed"},
        {"optim": "sgd_momentum", "optim.momentum": 0.5, "status": "completed"},
        {"optim": "sgd_momentum", "optim.momentum": 0.8, "status": "completed"},
    ]
    names = [metric.display_name for metric in experiment.metric_infos]
    assert names[:2] == ["best_val_loss", "best_epoch"] or set(names) >= {"best_val_loss", "best_epoch"}
    assert "train_seconds" in names and not any("acc" in name or "/" in name for name in names)
    losses = {run["~summary/best_val_loss"] for run in metrics}
    recorded = {
        record.read_summary(run)["statistics"]["best_val_loss"] for run in record.find_runs([Path("outputs/s")])
    }
    assert sorted(losses) == pytest.approx(sorted(recorded), rel=1e-6)


def test_a_second_command_adds_its_columns_to_the_study() -> None:
    assert main("train.py", "--multirun", *SHORT, "study=s", "seed=1,2") == 0
    first, _, _ = read_table(Path("outputs/s"))
    assert [info.name for info in first.hparam_infos] == ["seed", "status"]
    assert main("train.py", "--multirun", *SHORT, "study=s", "seed=1,2", "activation=tanh") == 0
    second, hparams, _ = read_table(Path("outputs/s"))
    assert [info.name for info in second.hparam_infos] == ["activation", "seed", "status"]
    assert len(hparams) == 4 and len({(run["activation"], run["seed"]) for run in hparams}) == 4


def test_a_single_run_shows_what_was_chosen_and_no_constants(train: Train) -> None:
    train(*SHORT, "optim=adamw", "model.dropout=0.1")
    experiment, hparams, _ = read_table(Path("run"))
    names = {info.name for info in experiment.hparam_infos}
    groups = {"model", "data", "activation", "loss", "metrics", "optim", "warmup", "averaging", "scheduler"}
    assert names == groups | {"optim.lr", "seed", "status", "model.dropout", "model.hidden", "trainer.max_epochs"}
    assert hparams[0]["model.dropout"] == 0.1 and hparams[0]["model.hidden"] == "[8]"


def test_single_runs_side_by_side_have_the_columns_of_all(train: Train, tmp_path: Path) -> None:
    train(*SHORT, directory="both/one")
    train(*SHORT, "optim=sgd_momentum", "optim.momentum=0.8", directory="both/two")
    experiment, hparams, _ = read_table(tmp_path / "both")
    assert "optim.momentum" in {info.name for info in experiment.hparam_infos}
    assert len(hparams) == 2


def test_without_tensorboard_nothing_is_written() -> None:
    assert main("train.py", "--multirun", *SHORT, "study=s", "logger=none") == 0
    assert not list(Path("outputs/s").rglob("events*"))


def test_columns_of_runs_that_are_all_alike() -> None:
    options, config = {"optim": "adam", "trainer": "cpu"}, {"optim": {"_target_": "x", "lr": 0.1, "eps": 1}, "seed": 1}
    run = Hyperparameters.collect(options, [], config)
    assert find_columns([run]) == {"optim": ["adam"], "optim.lr": [0.1], "seed": [1]}
    other = Hyperparameters.collect(options, ["optim.eps"], {**config, "optim": {"_target_": "x", "lr": 0.1, "eps": 2}})
    assert find_columns([run, other]) == {"optim.eps": [1, 2]}


def test_tensorboard_opens_on_training_and_validation(train: Train) -> None:
    multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(
        str(train(*SHORT[:-2], "trainer.max_epochs=2"))
    )
    multiplexer.Reload()
    scalars = {tag for run in multiplexer.Runs() for tag in multiplexer.PluginRunToTagToContent("scalars").get(run, {})}
    groups = sorted({tag.partition("/")[0] for tag in scalars})  # in ASCII, as TensorBoard compares letters
    assert groups[:2] == ["train", "val"]
    assert "~activation_mean" in groups and "~lr" in groups
