"""The packages that each command may import: what it imports beyond its need is time before it starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from records import write_run

HYDRA = {"hydra", "hydra_plugins", "omegaconf", "antlr4", "yaml", "attr", "packaging"}
PLANNING = HYDRA | {"rich", "numpy", "filelock"}
TENSORBOARD = {
    "tensorboard",
    "google",
    "google_crc32c",
    "absl",
    "fsspec",
    "pkg_resources",
}  # its format, for the table of a study
EVERYWHERE = {"paribus", "__main__", "__mp_main__"}
UNUSED_IN_A_RUN = {
    "torchvision",
    "matplotlib",
    "scipy",
    "sklearn",
    "statsmodels",
    "plotly",
    "multirun_analysis",
    "optuna",
}

LIGHT = {
    "--help": set[str](),
    "--version": set[str](),
    "ls": {"rich", "attr"},  # attr: by older versions of rich
    "ls outputs/s": {"rich", "attr"},
    "note outputs/s": set[str](),
    "tag outputs/s odd": set[str](),
    "diff outputs/s/a outputs/s/b": {"rich", "attr"},
    "export outputs/s --to s.tar.gz": {"filelock"},
    "rm --yes outputs/s": set[str](),
    "evaluate --help": set[str](),
    "compare --help": {"multirun_analysis"},
    "train --help": HYDRA,
    "train --cfg job": HYDRA,
    "train modle=mlp": HYDRA,
}
RUN = ["model=regression", "trainer.max_epochs=1", "callbacks=none"]


def list_imports(where: Path, *arguments: str) -> set[str]:
    """Run a command in a process of its own; return the names of all modules that it has imported."""
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, file=open('modules', 'w')))\n"
        "from paribus.cli.command import main\nmain()"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=where,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return set((where / "modules").read_text().split())


def find_others(modules: set[str]) -> set[str]:
    """Return the packages of other projects among modules; helpers of installers and compilers begin with _."""
    packages = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - EVERYWHERE
    return {name for name in packages if not name.startswith("_") and name != "cython_runtime"}


@pytest.mark.slow
@pytest.mark.cases(99)
@pytest.mark.parametrize("command", LIGHT)
def test_a_command_imports_what_it_needs(command: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / "outputs" / "s" / name)
    assert find_others(list_imports(tmp_path, *command.split())) <= LIGHT[command]


@pytest.mark.slow
def test_a_run_imports_no_metrics_of_images_and_sound(tmp_path: Path) -> None:
    modules = list_imports(tmp_path, "train", *RUN, "trainer=cpu", "hydra.run.dir=run")
    assert (tmp_path / "run" / "summary.json").exists() and "lightning.pytorch.trainer" in modules
    assert not find_others(modules) & UNUSED_IN_A_RUN and "torchmetrics.functional" not in modules


@pytest.mark.slow
def test_torchmetrics_is_whole_once_something_else_of_it_is_used() -> None:
    code = """
import sys, types
from paribus.private_names import import_lightning
import_lightning()
assert not {"torchmetrics.functional", "matplotlib"} & set(sys.modules)
import torch, torchmetrics
class Two(torchmetrics.Metric):
    def update(self): pass
    def compute(self): return 2.0
figure, axes = Two()._plot(torch.tensor(2.0))  # by matplotlib alone
assert axes.lines[0].get_ydata() == [2.0] and "torchmetrics.functional" not in sys.modules
metric = torchmetrics.MeanSquaredError()
assert type(torchmetrics) is types.ModuleType and set(torchmetrics.__all__) <= set(vars(torchmetrics))
assert isinstance(metric, torchmetrics.Metric) and torchmetrics.Metric is sys.modules["torchmetrics.metric"].Metric
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_a_study_imports_torch_in_its_workers_alone(tmp_path: Path) -> None:
    command = ("train", "--multirun", "study=s", *RUN, "seed=1", "model.width=4", "model.depth=1")
    first = list_imports(tmp_path, *command, "hydra/launcher=parallel")
    assert len(list((tmp_path / "outputs" / "s").glob("*/summary.json"))) == 1
    assert find_others(first) <= PLANNING | TENSORBOARD
    assert find_others(list_imports(tmp_path, *command)) <= PLANNING  # which is finished
