"""The studies are made and tested, and boosted trees fitted beside them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from planned_studies import make_record, make_studies, planned
from records import edit_summary
from rich.console import Console
from sklearn.ensemble import GradientBoostingRegressor

from paribus.data.concrete import CONCRETE
from paribus.errors import UserError
from paribus.randomness import make_generator
from studies import __main__ as command
from studies import boosting, making
from studies.catalogue import BY_NAME, STUDIES, Study

pytestmark = pytest.mark.slow


def test_trees_see_the_rows_of_the_run_and_no_encoding(tmp_path: Path) -> None:
    [job] = [job for job in planned("concrete_best", "seed=3") if "split=random" in job.directory.name]
    make_record(job, tmp_path / "run", 20.0)
    found = boosting.fit_and_test(tmp_path / "run")
    assert (found["train"], found["test"]) == (927, 103)
    # the same split, by hand: validation first, then test, of the order that the seed gives
    order = torch.randperm(1030, generator=make_generator(3, "split")).numpy()
    rows = pd.read_csv(CONCRETE)
    tested = rows.iloc[order[103:206]]
    others = rows.iloc[np.concatenate([order[206:], order[:103]])]
    trees = GradientBoostingRegressor(n_estimators=800, max_depth=5, random_state=3).fit(
        others.drop(columns="strength"), others["strength"]
    )
    mse = np.mean((trees.predict(tested.drop(columns="strength")) - tested["strength"]) ** 2)
    assert found["test_mse"] == pytest.approx(mse, rel=0.05), "but for rounding of features, which moves a few cuts"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would have been run; those with "fails" in them fail."""
    calls: list[list[str]] = []

    class Done:
        def __init__(self, command: list[str]):
            calls.append(command[1:])
            self.returncode = int(any("fails" in word for word in command))

    monkeypatch.setattr(making.subprocess, "run", lambda command, check: Done(command))
    return calls


def test_studies_are_made_tested_once_and_a_failure_stops_no_other(tmp_path: Path, ran: list[list[str]]) -> None:
    make_studies(tmp_path / "outputs", "concrete_final")
    chosen = [Study("fails", tested="last"), BY_NAME["concrete_final"], BY_NAME["vgg6_init"]]
    failed = making.make(chosen, ["data.verify=false"], Console(quiet=True))
    assert ran == [
        ["train.py", "--multirun", "experiment=fails", "hydra/launcher=parallel"],
        ["train.py", "--multirun", "experiment=concrete_final", "hydra/launcher=stacked"],  # tested already
        ["train.py", "--multirun", "experiment=vgg6_init", "hydra/launcher=parallel", "data.verify=false"],
    ]
    assert failed == ["python train.py --multirun experiment=fails hydra/launcher=parallel"]
    edit_summary(tmp_path / "outputs" / "concrete_final" / "seed=2", test={})
    ran.clear()
    assert making.make([BY_NAME["concrete_final"]], [], Console(quiet=True)) == []
    assert ran[1] == ["evaluate.py", "run=outputs/concrete_final", "--checkpoint", "last"]


def test_the_command(tmp_path: Path, ran: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"concrete_depth.*concrete_depths"):
        command.main(["concrete_depth"])
    command.main(["--list"])
    assert len(capsys.readouterr().out.strip().splitlines()) == len(STUDIES)
    with pytest.raises(UserError, match=r"no train\.py here"):
        command.main(["--write"])
    (tmp_path / "train.py").touch()
    command.main(["--write"])
    assert not ran and "not made yet" in " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "STUDIES.md").exists()
    command.main(["concrete_depths"])
    assert [call[2] for call in ran] == ["experiment=concrete_depths"]


def test_trees_of_other_runs_or_other_data_are_fitted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "OUTPUTS", tmp_path)
    for run, sha in (("seed=1", "a"), ("seed=2", "b")):
        (tmp_path / "nets" / run).mkdir(parents=True)
        (tmp_path / "nets" / run / "summary.json").write_text(
            json.dumps({"status": "completed", "data": {"sha256": sha}})
        )
    assert not making.boosted("nets")
    for rows, same in (
        ({"seed=1": "a", "seed=2": "b"}, True),
        ({"seed=1": "a"}, False),
        ({"seed=1": "a", "seed=2": "c"}, False),
    ):
        pd.DataFrame({"run": list(rows), "data": list(rows.values())}).to_csv(
            tmp_path / "nets" / boosting.FILE, index=False
        )
        assert making.boosted("nets") == same
