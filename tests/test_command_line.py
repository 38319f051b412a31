"""The entry points as they are typed, most of them in a process of their own."""

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, main, typed

from paribus import record

pytestmark = pytest.mark.slow


def test_help_teaches_and_needs_no_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')")
    done = typed("train.py", "--help", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    for part in (
        "python train.py --multirun",
        "activation: ",
        "leaky_relu",
        "model.width=32 model.depth=16",
        "evaluate.py",
    ):
        assert part in done.stdout
    assert typed("evaluate.py", "--help", PYTHONPATH=str(tmp_path)).returncode == 0


def test_reading_a_configuration_takes_less_than_a_second_and_no_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')")
    times = []
    for _ in range(3):
        start = time.perf_counter()
        done = typed("train.py", "model=vgg6", "--cfg", "job", PYTHONPATH=str(tmp_path))
        times.append(time.perf_counter() - start)
        assert done.returncode == 0, done.stderr
        assert "cifar10" in done.stdout
    assert min(times) < 1


@pytest.mark.parametrize(("arguments", "message"), [
    (["activation=sigmoide"], "error: There is no 'sigmoide' in activation. Did you mean 'sigmoid'? Valid: celu, elu,"),
    (["activaton=relu"], "error: There is no 'activaton' in the configuration. Did you mean activation=...?"),
    (["optim.lrr=1"], "error: There is no 'lrr' in optim. Did you mean 'lr'? Valid: lr, betas"),
    (["activation=relu,tanh"], "add --multirun"),
    (["trainer=null"], "error: "),
    (["model=["], "error: model=[ cannot be read: [ and ] do not match"),
    (["model.hidden=[64,"], "] is missing. Write model.hidden=[64]."),
    (["model.hidden=64]"], "[ and ] do not match"),
    (["--multirun", "activation=relu,tanhh"], "error: There is no 'tanhh' in activation. Did you mean 'tanh'?"),
    (["hydra.run.dir=file/below"], "error: file/below: Not a directory. Write elsewhere (hydra.run.dir=DIR"),
])  # fmt: skip
@pytest.mark.cases(99)
def test_mistakes_get_one_message(tmp_path: Path, arguments: list[str], message: str, capfd: Any) -> None:
    (tmp_path / "file").write_text("")
    assert main("train.py", *arguments) == 1
    said = capfd.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not list(tmp_path.rglob("train.log")), "nothing was run"


def test_a_study_from_the_command_line_to_the_test_set(tmp_path: Path) -> None:
    done = typed(
        "train.py", "model=regression", "--multirun", "activation=relu,tanh", "trainer.max_epochs=2", "study=small"
    )
    assert done.returncode == 0, done.stderr
    runs = record.find_runs([tmp_path / "outputs" / "small"])
    assert [record.read_summary(run)["choices"]["activation"] for run in runs] == ["relu", "tanh"]
    assert {record.read_summary(run)["study"] for run in runs} == {"small"}
    assert len({record.read_summary(run)["identity"] for run in runs}) == 2
    done = typed("evaluate.py", "run=outputs/small")
    assert done.returncode == 0, done.stderr
    assert "baseline MSE" in done.stdout


def test_full_error_shows_the_traceback() -> None:
    done = typed("train.py", "activation=sigmoide", HYDRA_FULL_ERROR="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_weights_and_biases_without_a_network(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="the extra [wandb] is not installed")
    done = typed("train.py", "--multirun", "model=regression", "trainer.max_epochs=1", "logger=wandb", "study=s", "seed=1,2",
                 WANDB_SILENT="true", HOME=str(tmp_path))  # fmt: skip
    assert done.returncode == 0, done.stderr
    runs = record.find_runs([tmp_path / "outputs" / "s"])
    assert [len(list(run.glob("wandb/offline-run-*/*.wandb"))) for run in runs] == [1, 1]


def test_the_entry_points_are_in_the_readme() -> None:
    assert sys.version_info >= (3, 11)
    text = (ROOT / "README.md").read_text()
    for command in ("python train.py", "python evaluate.py", "make demo", "make test", "make bench"):
        assert command in text
