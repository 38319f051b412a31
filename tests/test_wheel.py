"""An installation from a wheel, in a virtual environment and a directory of its own."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow

Paribus = Callable[..., subprocess.CompletedProcess[str]]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
TINY = ("model=regression", "trainer.max_epochs=1", "trainer=cpu", "threads=1", "figures=false")
OWN_PART = "import torch\nclass Square(torch.nn.Module):\n    def forward(self, x):\n        return x * x\n"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel in it, and the packages of this interpreter beside it. Nothing is fetched."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # what is built is the files of this commit, without what a build leaves
    for part in ("src", "conf", "multirun_analysis"):
        shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "--no-build-isolation", "-w", folder, source], check=True)
    venv.create(folder / "venv")
    python = next((folder / "venv").glob("[bS]*/python*"))
    (wheel,) = folder.glob("paribus-*.whl")
    subprocess.run([*pip, "--python", python, "install", *offline, wheel], check=True)
    (installed,) = (folder / "venv").rglob("site-packages")
    shared = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (installed / "shared.pth").write_text("\n".join(shared))
    for path in [installed, *installed.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    return python.parent


@pytest.fixture
def paribus(environment: Path, tmp_path: Path) -> Paribus:
    """paribus("train", ...) runs the installed command in an empty directory, and expects an exit code."""
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}

    def run(*arguments: str, code: int = 0, cwd: Path = tmp_path, **more: str) -> subprocess.CompletedProcess[str]:
        command = [environment / "paribus", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=own | more, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


def snapshot(environment: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of each installed file: root may write where permissions say that nobody can."""
    files = [path for path in environment.parent.rglob("*") if path.is_file()]
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def test_a_study_from_an_empty_directory(environment: Path, paribus: Paribus, tmp_path: Path) -> None:
    before = snapshot(environment)
    paribus("train", "--multirun", "activation=relu,tanh", "study=small", *TINY)
    (relu,) = (tmp_path / "outputs" / "small").glob("activation=relu,*")
    summary = json.loads((relu / "summary.json").read_text())
    assert summary["status"] == "completed"
    assert summary["command"].startswith("paribus train activation=relu ")
    assert summary["versions"]["paribus"] == VERSION
    assert "RMSE" in paribus("evaluate", f"run={relu}").stdout
    assert "paribus train --multirun" in paribus("compare", "outputs/small").stdout
    assert (tmp_path / "outputs" / "small" / "analysis" / "report.html").exists()
    assert snapshot(environment) == before, "nothing is written where it is installed"


def test_help_and_version_name_the_installed_command(paribus: Paribus) -> None:
    assert paribus("--version").stdout == f"paribus {VERSION}\n"
    assert paribus().stdout == paribus("--help").stdout
    for name, checkout in (
        ("train", "train.py"),
        ("evaluate", "evaluate.py"),
        ("compare", "-m multi"),
        ("data", "-m pari"),
    ):
        shown = paribus(name, "--help").stdout
        assert f"paribus {name} " in shown and checkout not in shown
    assert "Did you mean 'train'?" in paribus("trian", code=1).stderr


def test_tab_completion_as_hydra_has_it(paribus: Paribus) -> None:
    script = paribus("train", "-sc", "install=bash").stdout
    assert script.rstrip().endswith("hydra_bash_completion paribus")

    def complete(line: str) -> list[str]:
        return paribus("-sc", "query=bash", COMP_LINE=line).stdout.split()

    assert complete("paribus ") == ["train", "evaluate", "compare", "watch", "data", "ls", "diff", "note", "tag", "rm",
                                   "export", "open"]  # fmt: skip
    assert complete("paribus train activation=le") == ["activation=leaky_relu"]
    assert complete("paribus train optim=sgd optim.lr") == ["optim.lr="]
    assert complete("paribus compare out") == []


def test_parts_of_ones_own_are_found_again_from_elsewhere(paribus: Paribus, tmp_path: Path) -> None:
    (tmp_path / "conf" / "activation").mkdir(parents=True)
    (tmp_path / "conf" / "activation" / "square.yaml").write_text("_target_: own_part.Square\n")
    (tmp_path / "own_part.py").write_text(OWN_PART)
    assert "softsign, square, tanh" in " ".join(paribus("train", "--help").stdout.split())
    run = tmp_path / "run"
    paribus("train", "activation=square", f"hydra.run.dir={run}", *TINY)
    command = json.loads((run / "summary.json").read_text())["command"]
    assert f"--config-dir={tmp_path / 'conf'}" in command
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shown = paribus(*command.split()[1:], "--cfg", "job", cwd=elsewhere).stdout
    assert "own_part.Square" in shown
    again = paribus("train", f"rerun={run}", "trust=true", cwd=elsewhere, PYTHONPATH=str(tmp_path))
    assert "Identical to the last digit" in again.stdout
