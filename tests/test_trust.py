"""A record of somebody else runs no code: what it names is looked at before it is called."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import main
from torch import nn

from paribus.config.targets import find_target, require_trusted
from paribus.errors import UserError
from paribus.record import BEST, LAST
from paribus.run.load import load_run

FIRST = Path(__file__).parent / "records_0.1" / "single"


class Planted:
    """Unpickled, it leaves a file: code of the record has run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A run whose directory holds a file that runs code when it is unpickled."""
    directory = Path(shutil.copytree(FIRST, tmp_path / "run"))
    (directory / "planted").write_bytes(pickle.dumps(Planted()))
    (directory / "hubconf.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    return directory


def name_in_checkpoint(directory: Path, part: str, node: dict[str, Any]) -> None:
    for name in (BEST, LAST):
        stored = torch.load(directory / name, weights_only=True)
        stored["paribus"]["config"][part] = node
        torch.save(stored, directory / name)


CALLS = {
    "torch": {"_target_": "torch.load", "f": "planted", "weights_only": False},
    "numpy": {"_target_": "numpy.load", "file": "planted", "allow_pickle": True},
    "pandas": {"_target_": "pandas.read_pickle", "filepath_or_buffer": "planted"},
    "hub": {"_target_": "torch.hub.load", "repo_or_dir": ".", "model": "x", "source": "local"},
    "lightning": {
        "_target_": "lightning.fabric.utilities.cloud_io._load",
        "path_or_url": "planted",
        "weights_only": False,
    },
    "os": {"_target_": "os.system", "command": "touch ran"},
    "torchvision": {"_target_": "torchvision.io.write_file", "filename": "ran", "data": None},
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("part", ["data", "model", "activation"])
def test_loading_calls_nothing(call: str, part: str, record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name_in_checkpoint(record, part, CALLS[call])
    monkeypatch.chdir(record)
    with pytest.raises(UserError, match="trust=true"):
        load_run(record)
    with pytest.raises(UserError, match=rf"{part}\._target_.*(is no|rror)"):
        load_run(record, trust=True)  # trusted, it is still of the wrong kind
    assert not (record / "ran").exists()


def test_one_message_is_enough_for_all_runs(record: Path, tmp_path: Path, capsys: Any) -> None:
    name_in_checkpoint(record, "activation", CALLS["os"])
    for name in ("a", "b", "c"):
        shutil.copytree(record, tmp_path / "all" / name)
    assert main("evaluate.py", f"run={tmp_path / 'all'}") == 1
    err = capsys.readouterr().err
    assert err.count("--trust") == 1 and "2 more of these runs name it." in err


def test_what_stands_within_a_part_is_looked_at_too(record: Path) -> None:
    config = torch.load(record / BEST, weights_only=True)["paribus"]["config"]
    name_in_checkpoint(record, "activation", {**config["activation"], "inplace": CALLS["os"]})
    with pytest.raises(UserError, match=r"os.system \(activation.inplace._target_\)"):
        load_run(record)


@pytest.mark.parametrize("order", ["resume", "rerun"])
@pytest.mark.parametrize(
    "planted",
    ["model._target_=os.system", "optim._target_=torch.hub.load", "+callbacks.x._target_=pandas.read_pickle"],
)
def test_resuming_and_repeating_call_nothing(order: str, planted: str, record: Path, capsys: Any) -> None:
    path = record / ".hydra" / "overrides.yaml"
    path.write_text(yaml.safe_dump([*yaml.safe_load(path.read_text()), planted]))
    assert main("train.py", f"{order}={record}", "trainer.max_epochs=3") == 1
    assert "trust=true" in capsys.readouterr().err


@pytest.mark.parametrize(
    "planted",
    ["hydra/job_logging=x", "hydra.job_logging.handlers.console.class=os.system", "--config-dir=planted"],
)
def test_settings_of_hydra_are_not_taken_from_a_record(planted: str, record: Path, capsys: Any) -> None:
    path = record / ".hydra" / "overrides.yaml"
    path.write_text(yaml.safe_dump([*yaml.safe_load(path.read_text()), planted]))
    assert main("train.py", f"resume={record}", "trainer.max_epochs=3") == 1
    assert f"({planted}), which could call any code" in " ".join(capsys.readouterr().err.split())


def test_a_record_of_ours_needs_no_trust(record: Path) -> None:
    assert load_run(record).epoch == 2


def make_relu() -> nn.ReLU:
    return nn.ReLU()


def make_anything():  # type: ignore[no-untyped-def]
    return nn.ReLU()


def test_a_function_says_what_it_makes() -> None:
    assert find_target(f"{__name__}.make_relu", "activation", (nn.Module,)) is make_relu
    with pytest.raises(UserError, match="return annotation"):
        find_target(f"{__name__}.make_anything", "activation", (nn.Module,))
    with pytest.raises(UserError, match="ReLU is no Optimizer"):
        find_target("torch.nn.ReLU", "optim", (torch.optim.Optimizer,))
    for name in ("abc", "torch.nn.NoSuch", "torch.pi", "builtins.map"):
        with pytest.raises(UserError, match=r"model\._target_"):
            find_target(name, "model", (nn.Module,))


def test_trusted_names_are_those_of_packages() -> None:
    require_trusted({"model": {"_target_": "torch.nn.Linear"}, "scheduler": {"_target_": None}}, "x")
    with pytest.raises(UserError, match=r"torchx\.nn"):
        require_trusted({"model": {"_target_": "torchx.nn.Linear"}}, "x")
