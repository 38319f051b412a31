"""Every experiment composes, all its runs differ, and it trains."""

import re
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from planned_studies import EXPERIMENTS, expanded, first, planned

from paribus import record
from paribus.run.execute import execute_run
from studies import reports
from studies.catalogue import STUDIES, runs_of

pytestmark = pytest.mark.slow

SMALL = ("trainer.max_epochs=1", "trainer=cpu", "threads=1", "logger=none", "seed=1")
DATA = {"concrete": ("data.train_subset=60",), "mlp": ("data.train_subset=60", "data.val_size=60"),
        "vgg6": ("data.train_subset=60", "data.val_size=10", "data.verify=false", "model.width_multiplier=0.1")}  # fmt: skip


@pytest.mark.parametrize(
    "experiment",
    [pytest.param(name, marks=pytest.mark.muon) if name.startswith("vgg6_fast") else name for name in EXPERIMENTS],
)
@pytest.mark.cases(4)
def test_it_runs_a_short_epoch(experiment: str, tmp_path: Path, fashion_root: Path, cifar_root: Path) -> None:
    kind = experiment.split("_")[0].replace("demo", "mlp")
    roots = {"mlp": (f"data.root={fashion_root}",), "vgg6": (f"data.root={cifar_root}",), "concrete": ()}
    execute_run(first(experiment, tmp_path / "run", *SMALL, *DATA[kind], *roots[kind]))
    status, summary = record.read_status(tmp_path / "run")
    assert status == record.COMPLETED
    assert summary is not None and summary["statistics"]["epochs"] == 1


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.cases(99)
def test_it_begins_with_its_command_and_has_its_name(experiment: str) -> None:
    text = (ROOT / "conf" / "experiment" / f"{experiment}.yaml").read_text()
    assert text.startswith("# @package _global_\n# ")
    assert f"python train.py --multirun experiment={experiment}" in text
    assert re.search(r"^# Cost: .*(core|GPU)", text, re.MULTILINE)
    assert yaml.safe_load(text)["study"] == experiment


def test_all_studies_are_experiments_and_all_experiments_but_the_large_ones_are_studies() -> None:
    assert {study.name for study in STUDIES} == set(EXPERIMENTS) - LARGE - {"demo", "vgg6_fast"}


@pytest.mark.parametrize(("experiment", "runs"), [
    ("mlp_activations", (6 + 3 + 3) * 5),
    ("concrete_architectures", 8 * 20),
    ("concrete_optimizers", (2 + 4) * 3 * 20),
    ("concrete_depths", 8 * 20),
    ("concrete_best", 2 * 20),
    ("vgg6_winner", 1),
    ("vgg6_fast_left_out", 13 * 5),
])  # fmt: skip
@pytest.mark.cases(99)
def test_how_many_runs_it_has(experiment: str, runs: int) -> None:
    assert runs_of(experiment) == runs


def test_the_reports_35_runs_are_there_as_they_were() -> None:
    """Each line of its table, with the words of its code: sigmoide was relu, sgd and rmsprop had momentum 0.9."""
    printed = reports.vgg6_runs()
    assert len(printed) == 35
    expected = {
        (a.replace("sigmoide", "relu"), {"sgd": "sgd_momentum"}.get(o, o), lr, batch, epochs)
        for a, o, lr, batch, epochs in printed.itertuples(index=False)
    }
    ours = set()
    for job in planned("vgg6_report_standin"):
        config, chosen = job.config, job.choices
        assert chosen is not None
        options = chosen.options
        ours.add(
            (
                options["activation"],
                options["optim"],
                config["optim"]["lr"],
                config["data"]["batch_size"],
                config["trainer"]["max_epochs"],
            )
        )
        if options["optim"] in ("sgd_momentum", "rmsprop", "nesterov"):
            assert config["optim"]["momentum"] == 0.9
        assert config["seed"] == 42
    assert ours == expected
    assert len(ours) == 34, "relu with Adam is there twice, once called sigmoide"


@pytest.mark.parametrize("experiment", ["vgg6_activations", "vgg6_report"])
def test_a_stand_in_differs_from_the_study_in_its_size_alone(experiment: str, tmp_path: Path) -> None:
    whole, small = expanded(experiment)[0], expanded(f"{experiment}_standin")[0]
    renamed = [[text.replace("_standin", "") for text in overrides] for overrides in small]
    assert whole == renamed
    a, b = (
        record.flatten(record.select_experimental(first(name, tmp_path).config))
        for name in (experiment, f"{experiment}_standin")
    )
    size = {"model.width_multiplier", "data.train_subset", "data.val_size", "trainer.max_epochs"}
    assert {key for key in a if a[key] != b[key]} <= size
    assert a["model.width_multiplier"] == 1.0


LARGE = {"vgg6_activations", "vgg6_report"}  # their runs are those of the stand-ins, as the test above says


@pytest.mark.parametrize("experiment", sorted(set(EXPERIMENTS) - LARGE))
@pytest.mark.cases(3)
def test_all_its_runs_compose_and_have_names_of_their_own(experiment: str) -> None:
    jobs = planned(experiment) if experiment.startswith("vgg6_report") else planned(experiment, "seed=1,2")
    assert len({job.directory.name for job in jobs}) == len(jobs)
    assert all("experiment=" not in job.directory.name or len(jobs) == 1 for job in jobs)
