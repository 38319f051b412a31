"""conf/ in the working directory, and the directory that --config-dir names."""

import shutil
from pathlib import Path

import pytest
from conftest import ROOT, main

from paribus.cli.arguments import prepare_arguments
from paribus.errors import UserError


def write(path: Path, text: str = "_target_: torch.nn.ReLU\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("flag", ["--config-dir={}", "-cd={}", "--config-dir {}", "-cd {}"])
def test_a_directory_that_is_named_stands_in_for_conf(tmp_path: Path, flag: str) -> None:
    write(tmp_path / "conf" / "activation" / "one.yaml")
    write(tmp_path / "named" / "activation" / "two.yaml")
    assert prepare_arguments(["seed=1"]) == [f"--config-dir={tmp_path / 'conf'}", "seed=1"]
    typed = flag.format(tmp_path / "named").split()
    assert prepare_arguments(["seed=1", *typed]) == [*typed, "seed=1"]


def test_other_directories_are_left_to_hydra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "conf" / "train.yaml")
    for typed in (["--config-path=conf"], ["-cp", "conf"], ["--config-dir=missing"]):
        assert prepare_arguments(typed) == typed
    monkeypatch.chdir(ROOT)
    assert prepare_arguments(["seed=1"]) == ["seed=1"], "conf/ is Paribus' own"


@pytest.mark.parametrize("name", ["train.yaml", "optim/adam.yaml", "hydra/launcher/slurm.yaml"])
@pytest.mark.parametrize("named", [False, True])
def test_a_file_with_a_name_of_ours_is_refused(tmp_path: Path, name: str, named: bool) -> None:
    ours, theirs = ROOT / "conf" / name, tmp_path / "conf" / name
    theirs.parent.mkdir(parents=True)
    shutil.copy(ours, theirs)
    typed = ["--config-dir=conf"] if named else []
    assert prepare_arguments(typed), "a copy says the same as ours"
    theirs.write_text(ours.read_text() + "more: 1\n")
    with pytest.raises(UserError) as error:
        prepare_arguments(typed)
    for part in (str(ours), str(theirs), "Rename", "--config-dir=DIR"):
        assert part in str(error.value)


def test_what_a_file_of_ones_own_says_is_checked_against_its_class(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "_target_: lightning.Trainer\naccelerator: cpu\ndevices: 1\nmax_epochs: 1\nprecision: 31-true\n"
    write(tmp_path / "conf" / "trainer" / "odd.yaml", text)
    assert main("train.py", "model=regression", "trainer=odd", "dry_run=true") == 1
    assert "trainer.precision is '31-true'; it must be" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_is_taken_up_with_the_directory_that_it_was_made_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "conf" / "activation" / "mine.yaml")
    run = tmp_path / "run"
    arguments = ("model=regression", "activation=mine", "trainer.max_epochs=1", "trainer=cpu", f"hydra.run.dir={run}")
    assert main("train.py", *arguments) == 0
    write(tmp_path / "elsewhere" / "conf" / "activation" / "mine.yaml", "_target_: torch.nn.Tanh\n")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert f"--config-dir={tmp_path / 'conf'}" in prepare_arguments([f"resume={run}", "trust=true"])
    assert main("train.py", f"rerun={run}", "trust=true", "hydra.run.dir=again") == 0
