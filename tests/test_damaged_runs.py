"""Files of a run that are whole as files and not in content: one message names the file, whoever reads it.

What is no readable file at all is in test_spoilt_records.py. `make soak` tries every damage with every command.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import main

from multirun_analysis.compare.comparison import compare, tasks
from multirun_analysis.records.load import load_runs
from paribus import load_run, record
from paribus.diagnosis import Finding
from paribus.errors import UserError
from paribus.run.resume import read_resume_point

SOAK = bool(os.environ.get("PARIBUS_SOAK"))
Damage = Callable[[Path], object]
OTHERS: dict[str, Any] = {"null": None, "text": "x", "number": 3.5, "list": [1], "dict": {}}


def alter(keys: tuple[str | int, ...], value: Any = ...) -> Callable[[Any], None]:
    """Set the value below `keys`, or remove it."""

    def change(content: Any) -> None:
        for key in keys[:-1]:
            content = content[key]
        if value is ...:
            del content[keys[-1]]
        else:
            content[keys[-1]] = value

    return change


def in_checkpoint(change: Callable[[Any], None]) -> Damage:
    def damage(path: Path) -> None:
        content = torch.load(path, weights_only=True)
        change(content)
        torch.save(content, path)

    return damage


def in_json(change: Callable[[Any], None]) -> Damage:
    def damage(path: Path) -> None:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return damage


def in_table(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Damage:
    return lambda path: change(pd.read_parquet(path)).to_parquet(path)


def with_all(keys: list[Any], wrap: Callable[[Callable[[Any], None]], Damage]) -> dict[str, Damage]:
    """Every key missing, and of every other kind."""
    named = {".".join(map(str, key)): key for key in keys}
    found = {f"no {name}": wrap(alter(key)) for name, key in named.items()}
    return found | {f"{name} {kind}": wrap(alter(k, v)) for name, k in named.items() for kind, v in OTHERS.items()}


def reshape(content: Any) -> None:
    content["state_dict"] = {name: torch.zeros(3, 3) for name in content["state_dict"]}


def reshape_averages(content: Any) -> None:
    for state in content["optimizer_states"][0]["state"].values():
        state["exp_avg"] = torch.zeros(7)


DESCRIBED = [("paribus", key) for key in ("config", "statistics", "epoch", "identity", "target_mean")]
PARTS = [("paribus", "config", key) for key in ("data", "model", "activation", "trainer")]
CHECKPOINT = with_all([("state_dict",), ("paribus",), *DESCRIBED, *PARTS], in_checkpoint) | {
    "shapes": in_checkpoint(reshape),
    "no tensors": in_checkpoint(lambda c: c.update(state_dict=dict.fromkeys(c["state_dict"], "x"))),
}
RESUMED = [(key,) for key in ("optimizer_states", "lr_schedulers", "loops", "callbacks", "recorder", "global_step")]
RESUMED += [("paribus", key) for key in ("data", "threads", "started")] + [
    ("recorder", "epoch"),
    ("recorder", "stopped"),
]
LAST = CHECKPOINT | with_all(RESUMED, in_checkpoint)
SUMMARY = with_all([("status",), *((key,) for key in record.PARTS)], in_json)
SUMMARY |= with_all([("git", key) for key in ("commit", "dirty", "patch", "left_out")], in_json)
SUMMARY |= with_all([("data", "sha256"), ("data", "val"), ("versions", "paribus"), ("seeds", "order")], in_json)
SUMMARY |= with_all([("instruments", "columns"), ("choices", "optim"), ("set", "model.hidden")], in_json)
SUMMARY |= with_all([("diagnosis", 0, key) for key in Finding.__dataclass_fields__], in_json)
SUMMARY |= with_all([("config", key) for key in ("data", "model", "optim", "trainer", "callbacks")], in_json)
SUMMARY |= with_all([("statistics", key) for key in ("epochs", "best_val_loss", "train_seconds")], in_json)
COLUMNS = ("epoch", "layer", "depth", "value", "fold", "samples", "val/loss")
TABLES: dict[str, Damage] = {"no rows": in_table(lambda t: t.iloc[:0])}
for column in COLUMNS:
    TABLES[f"no {column}"] = in_table(lambda t, c=column: t.drop(columns=c, errors="ignore"))  # type: ignore[misc]
    for kind, content in (("null", None), ("text", "x")):
        TABLES[f"{column} {kind}"] = in_table(lambda t, c=column, v=content: t.assign(**{c: v}))  # type: ignore[misc]
METRICS: dict[str, Damage] = {
    "text": lambda path: path.write_text(path.read_text().replace("\n2,", "\nx,")),
    "no header": lambda path: path.write_text(path.read_text().partition("\n")[2]),
    "one row": lambda path: path.write_text("\n".join(path.read_text().splitlines()[:2]) + "\n"),
    "huge epoch": lambda path: path.write_text(path.read_text().replace("\n1,", "\n99999999999999999999,")),
    "semicolons": lambda path: path.write_text(path.read_text().replace(",", ";")),
}
HYDRA = {
    "null": lambda path: path.write_text("hydra: null\n"),
    "list": lambda path: path.write_text("hydra: [1]\n"),
    "empty": lambda path: path.write_text("hydra: {}\n"),
    "other": lambda path: path.write_text("- null\n- [1]\n"),
}  # fmt: skip
FILES: dict[str, dict[str, Any]] = {
    record.BEST: CHECKPOINT, record.LAST: LAST, record.SUMMARY: SUMMARY, record.LAYERS: TABLES, record.FOLDS: TABLES,
    record.METRICS: METRICS, ".hydra/hydra.yaml": HYDRA, ".hydra/overrides.yaml": HYDRA,
}  # fmt: skip
CASES = [(file, name) for file, damages in FILES.items() for name in damages]
SAMPLE = CASES if SOAK else CASES[::30]  # make soak tries all
COMMANDED = CASES if SOAK else CASES[7::120]
FOUND = [  # by make soak, once
    (record.SUMMARY, "choices dict", "compare"), (record.SUMMARY, "undiagnosed list", "compare"),
    (record.METRICS, "no header", "compare"), (record.LAYERS, "layer null", "compare"),
    (record.LAYERS, "layer null", "resume"), (record.SUMMARY, "versions null", "rerun"),
]  # fmt: skip
TYPED = ("model=regression", "model.hidden=[4]", "trainer=cpu", "threads=1", "trainer.max_epochs=2")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs."""
    directory = tmp_path_factory.mktemp("damaged") / "run"
    assert main("train.py", *TYPED, f"hydra.run.dir={directory}") == 0
    return directory


@pytest.fixture
def study(whole: Path, tmp_path: Path) -> Path:
    """Two copies of the run, one to damage."""
    for name in ("one", "other"):
        shutil.copytree(whole, tmp_path / "study" / name)
    return tmp_path / "study"


@pytest.mark.parametrize(("file", "name"), SAMPLE, ids=[f"{file}: {name}" for file, name in SAMPLE])
def test_readers_name_the_file(file: str, name: str, study: Path) -> None:
    with suppress(KeyError):  # a key that this run does not have
        FILES[file][name](study / "one" / file)
    for read in (load_run, read_resume_point):
        said = None
        try:
            read(study / "one")
        except UserError as error:
            said = str(error)
        assert said is None or (str(study / "one") in said and "\n" not in said and len(said) < 500)
    loaded = load_runs(study)
    assert set(loaded.runs.index) == {"one", "other"} and loaded.runs.loc["other", "status"] == "completed"
    assert loaded.layers is not None
    for task in tasks(loaded):
        compare(loaded, task, None, [], None)


UNLOADED = [name for name in CHECKPOINT if "target_mean" not in name and "trainer" not in name]


@pytest.mark.parametrize("name", UNLOADED if SOAK else UNLOADED[::4])
def test_such_a_checkpoint_is_not_loaded(name: str, study: Path) -> None:
    CHECKPOINT[name](study / "one" / record.BEST)
    if name in ("paribus.epoch number",):
        pytest.skip("as good as another")
    with pytest.raises(UserError, match=r"best\.ckpt"):
        load_run(study / "one")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shapes", "no optimizer_states", "averages", "no tensors", "loops list"])
def test_a_run_is_not_resumed_from_what_does_not_fit(name: str, study: Path, capfd: pytest.CaptureFixture[str]) -> None:
    damage = in_checkpoint(reshape_averages) if name == "averages" else LAST[name]
    damage(study / "one" / record.LAST)
    assert main("train.py", f"resume={study / 'one'}", "trainer.max_epochs=3") == 1
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err and "last.ckpt" in said.err
    assert main("train.py", f"resume={study / 'other'}", "trainer.max_epochs=3") == 0


@pytest.mark.parametrize("file", [".hydra/hydra.yaml", ".hydra/overrides.yaml"])
@pytest.mark.parametrize("name", HYDRA)
@pytest.mark.parametrize("order", ["resume", "rerun"])
def test_a_damaged_composition(
    order: str, name: str, file: str, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    HYDRA[name](study / "one" / file)
    assert main("train.py", f"{order}={study / 'one'}") == 1
    said = capsys.readouterr().err
    assert file in said and said.count("\n") == 1


Give = Callable[[str, str, str], str]


@pytest.fixture
def give(study: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Give:
    """Damage a run, and give it to a command, which may have no traceback; return what it said to stderr."""

    def give(file: str, name: str, command: str) -> str:
        one = study / "one"
        with suppress(KeyError):
            FILES[file][name](one / file)
        typed = {
            "evaluate": ("evaluate.py", f"run={one}"),
            "resume": ("train.py", f"resume={one}", "trainer.max_epochs=3"),
            "rerun": ("train.py", f"rerun={one}", f"hydra.run.dir={study.parent / 'again'}"),
        }
        if command == "compare":
            from multirun_analysis import __main__ as analysis

            monkeypatch.setattr(sys, "argv", ["multirun_analysis", str(study), "--out", str(study.parent / "out")])
            with suppress(SystemExit):
                analysis.run()
        else:
            main(*typed[command])
        said = capfd.readouterr()
        assert "Traceback" not in said.out + said.err
        return said.err

    return give


@pytest.mark.slow
@pytest.mark.parametrize("command", ["evaluate", "resume", "rerun", "compare"])
@pytest.mark.parametrize(("file", "name"), COMMANDED, ids=[f"{file}: {name}" for file, name in COMMANDED])
@pytest.mark.cases(6)
def test_commands_name_the_file(file: str, name: str, command: str, give: Give) -> None:
    give(file, name, command)


@pytest.mark.slow
@pytest.mark.parametrize(("file", "name", "command"), FOUND)
@pytest.mark.cases(len(FOUND))
def test_what_was_found(file: str, name: str, command: str, give: Give, tmp_path: Path) -> None:
    said = give(file, name, command)
    assert (tmp_path / "out" / "report.html").exists() if command == "compare" else file in said
