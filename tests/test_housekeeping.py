"""paribus ls, diff, note, tag, rm, export and open, on records made by hand."""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from records import write_run

from paribus import record
from paribus.cli import command

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """call("ls", "outputs") runs a command in this process: its exit code, standard output and standard error."""

    def paribus(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["paribus", *arguments])
        monkeypatch.setattr(sys, "path", [*sys.path])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            command.main()
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return paribus


@pytest.fixture
def study(tmp_path: Path) -> Path:
    where = tmp_path / "outputs" / "acts"
    write_run(where / "adam", losses=(3.0, 2.0, 1.5))
    write_run(where / "sgd", losses=(3.0, 2.5, 2.25), optim="sgd")
    write_run(where / "nan", losses=(3.0, float("nan")), status="diverged", optim="sgd", optim__lr=9.0)
    (where / "sgd2").mkdir()
    (where / "sgd2" / record.METRICS).write_text((where / "sgd" / record.METRICS).read_text())
    return where


def test_studies_are_listed_with_their_runs_by_status(study: Path, call: Call) -> None:
    write_run(Path("outputs") / "other" / "one")
    code, out, _ = call("ls", "--json")
    assert code == 0
    first, second = json.loads(out)
    assert (first["path"], second["path"]) == ("outputs/acts", "outputs/other")
    assert first["runs"] == {"completed": 2, "diverged": 1, "unfinished": 1}
    size = sum(file.stat().st_size for file in study.rglob("*") if file.is_file())
    assert first["size"] == size
    assert "1 unfinished" in call("ls")[1]


def test_runs_of_a_study_are_listed_with_their_best(study: Path, call: Call) -> None:
    runs = {Path(run["path"]).name: run for run in json.loads(call("ls", "outputs/acts", "--json")[1])}
    assert {name: run["best"] for name, run in runs.items()} == {"adam": 1.5, "nan": 3.0, "sgd": 2.25, "sgd2": None}
    assert {name: run["epochs"] for name, run in runs.items()} == {"adam": 3, "nan": 2, "sgd": 3, "sgd2": 3}
    (study / "sgd" / record.SUMMARY).write_text("{")
    runs = {Path(run["path"]).name: run for run in json.loads(call("ls", "outputs/acts", "--json")[1])}
    assert runs["sgd"]["status"] == "damaged" and runs["adam"]["status"] == "completed"


def test_the_metric_of_the_best_is_named(study: Path, call: Call) -> None:
    assert call("ls", "outputs/acts")[1].splitlines()[0].split()[:4] == ["status", "best", "val/loss", "epochs"]
    write_run(study / "mlp", (0.3, 0.1298), task="classification", statistics={"best_val_acc": 0.8702})
    own = {"metric": {"name": "val/f1", "direction": "higher"}}
    write_run(study / "own", more=own, statistics={"best_metric": 157.6, "best_val_loss": None})
    runs = {Path(run["path"]).name: run for run in json.loads(call("ls", "outputs/acts", "--json")[1])}
    found = {name: (run["metric"], run["best"]) for name, run in runs.items()}
    assert found["mlp"] == ("val/acc", 0.8702) and found["own"] == ("val/f1", 157.6) and found["sgd2"] == (None, None)
    heading, *lines = call("ls", "outputs/acts")[1].splitlines()
    assert heading.split()[:4] == ["status", "best", "metric", "epochs"]
    cells = {line.split()[-1]: line.split()[1:3] for line in lines}
    assert (cells["adam"], cells["mlp"], cells["own"]) == (
        ["1.5", "val/loss"],
        ["0.8702", "val/acc"],
        ["157.6", "val/f1"],
    )


def test_a_run_in_the_works_is_listed_as_running_and_not_removed(study: Path, call: Call) -> None:
    code = "import sys; from pathlib import Path; from paribus import record\n" \
           "with record.lock_directory(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", code, str(study / "sgd2")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdin is not None and holder.stdout.readline()
        runs = {Path(run["path"]).name: run["status"] for run in json.loads(call("ls", "outputs/acts", "--json")[1])}
        assert runs["sgd2"] == "running"
        for arguments in (("rm", "outputs/acts", "--yes"), ("export", "outputs/acts")):
            exit_code, _, err = call(*arguments)
            assert exit_code == 1 and "sgd2 is being written by another process" in err
        holder.stdin.close()
    assert study.exists() and not Path("acts.tar.gz").exists()


def test_notes_and_tags_are_kept_and_select(study: Path, call: Call) -> None:
    assert call("note", "outputs/acts", "for the [paper]")[0] == 0
    assert call("note", "outputs/acts", "second paragraph")[0] == 0
    assert (study / "notes.md").read_text() == "for the [paper]\n\nsecond paragraph\n"
    assert call("note", "outputs/acts")[1] == "for the [paper]\n\nsecond paragraph\n"
    assert call("tag", "outputs/acts/adam", "keep", "best")[1] == "best keep\n"
    assert call("tag", "outputs/acts/adam", "--remove", "best")[1] == "keep\n"
    tagged = json.loads(call("ls", "outputs/acts", "--tag", "keep", "--json")[1])
    assert [Path(run["path"]).name for run in tagged] == ["adam"]
    out = call("ls")[1]
    assert "for the [paper]" in out and "second" not in out
    (study / "adam" / ".tags.json").write_text("[")
    assert "Remove it, and tag" in call("tag", "outputs/acts/adam")[2]


def test_a_difference_is_found_where_it_is(study: Path, call: Call) -> None:
    code, out, _ = call("diff", "outputs/acts/adam", "outputs/acts/sgd", "--json")
    found = json.loads(out)
    assert code == 1 and not found["identical"]
    assert found["settings"]["optim._target_"] == ["torch.optim.adam", "torch.optim.sgd"]
    assert found["settings"]["optim.lr"] == [0.01, 0.002]
    assert found["curves"]["val/loss"] == {"first_epoch": 2, "last": [1.5, 2.25], "epochs": [3, 3]}
    assert not found["versions"] and not found["data"]
    assert "differs from epoch" in call("diff", "outputs/acts/adam", "outputs/acts/sgd")[1]
    write_run(study.parent / "again" / "adam", losses=(3.0, 2.0, 1.5))
    code, out, _ = call("diff", "outputs/acts/adam", "outputs/again/adam")
    assert code == 0 and "The curves are identical." in out
    write_run(study.parent / "short" / "adam", losses=(3.0, 2.0))
    found = json.loads(call("diff", "outputs/acts/adam", "outputs/short/adam", "--json")[1])
    assert found["curves"]["val/loss"] == {"first_epoch": 3, "last": [1.5, 2.0], "epochs": [3, 2]}


def test_removed_runs_are_in_the_trash_until_it_is_emptied(study: Path, call: Call) -> None:
    before = (study / "adam" / record.SUMMARY).read_text()
    code, out, _ = call("rm", "outputs/acts/adam", "--yes")
    assert code == 0 and "1 run " in out
    assert not (study / "adam").exists()
    (kept,) = (study.parent / ".trash").glob("*/acts/adam")
    assert (kept / record.SUMMARY).read_text() == before
    assert record.find_runs([study.parent]) == [study / "nan", study / "sgd"], "nothing in the trash is a run"
    assert len(json.loads(call("ls", "outputs", "--runs", "--json")[1])) == 3
    assert "is in the trash" in call("rm", str(kept), "--yes")[2]
    assert call("rm", "--empty", "--yes")[0] == 0
    assert not (study.parent / ".trash").exists() and (study / "sgd").exists()
    assert "The trash is empty." in call("rm", "--empty", "--yes")[1]


class Terminal(io.StringIO):
    """A terminal on which Ctrl-D is pressed."""

    def isatty(self) -> bool:
        return True


def test_nothing_is_removed_unasked(study: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    code, out, err = call("rm", "outputs/acts")
    assert code == 1 and "4 runs" in out and "confirm with --yes" in err and study.exists()
    assert "contains the working directory" in call("rm", ".", "--yes")[2]
    monkeypatch.setattr(sys, "stdin", Terminal())
    assert call("rm", "outputs/acts")[0] == 1 and study.exists()
    Path("mine").mkdir()
    assert "holds no run" in call("rm", "mine", "--yes")[2] and Path("mine").exists()
    assert "does not exist" in call("rm", "outputs/acts", "outputs/none", "--yes")[2] and study.exists()


def test_an_archive_is_opened_elsewhere_as_it_was(study: Path, call: Call) -> None:
    (study / "adam" / "train.log").write_bytes(os.urandom(5000))
    (study / ".stop").write_text("{}")  # asks something of those who train it here
    assert call("export", "outputs/acts")[0] == 0
    assert call("open", "acts.tar.gz", "--into", "elsewhere")[0] == 0
    files = {
        p.relative_to(study): p.read_bytes()
        for p in study.rglob("*")
        if p.is_file() and p.name not in (".lock", ".stop")
    }
    there = Path("elsewhere/acts").absolute()
    assert {p.relative_to(there): p.read_bytes() for p in there.rglob("*") if p.is_file()} == files
    assert "exists already" in call("open", "acts.tar.gz", "--into", "elsewhere")[2]
    assert "exists already" in call("export", "outputs/acts")[2]


def damage(archive: Path, how: str) -> None:
    content = bytearray(archive.read_bytes())
    if how == "cut":
        archive.write_bytes(content[: len(content) // 2])
    elif how == "foreign":
        archive.write_bytes(b"PK\x03\x04" + content)
    else:
        with tarfile.open(archive) as tar:
            entries = [(e, f.read() if (f := tar.extractfile(e)) else b"") for e in tar.getmembers()]
        with tarfile.open(archive, "w:gz") as tar:
            for entry, data in entries:
                if how == "altered" and entry.name.endswith("adam/summary.json"):
                    data = data.replace(b"completed", b"cOmpleted")
                if how == "outside" and entry.name.endswith("adam/summary.json"):
                    entry.name = "../outside.json"
                if how == "stranger" and entry.name == "paribus.json":
                    continue
                tar.addfile(entry, io.BytesIO(data))


@pytest.mark.parametrize("how", ["cut", "foreign", "altered", "outside", "stranger"])
def test_a_damaged_archive_leaves_nothing(study: Path, call: Call, how: str) -> None:
    call("export", "outputs/acts")
    damage(Path("acts.tar.gz"), how)
    code, _, err = call("open", "acts.tar.gz", "--into", "elsewhere")
    assert code == 1 and err.startswith("error: acts.tar.gz") and err.count("\n") == 1
    assert not list(Path("elsewhere").iterdir()) and not Path("outside.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [("ls", "nowhere"), ("diff", "outputs/acts", "outputs/acts/adam"), ("note", "nowhere", "x"), ("tag", "outputs/acts", "a b"),
     ("rm",), ("export", "nowhere"), ("open", "nowhere.tar.gz"), ("ls", "")],
)  # fmt: skip
def test_mistakes_get_one_message(study: Path, call: Call, arguments: tuple[str, ...]) -> None:
    code, _, err = call(*arguments)
    assert code == 1 and err.startswith("error: ") and "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("ls", "acts"), "Did you mean outputs/acts?"),
        (("rm", "outputs/act"), "Did you mean outputs/acts?"),
        (("watch", "outputs/actss"), "Did you mean outputs/acts?"),
        (("compare", "act"), "Did you mean outputs/acts?"),
        (("train", "resume=outputs/acts/adm"), "Did you mean "),
        (("diff", "outputs/acts", "outputs/acts/adam"), "is a study. Name one of its runs"),
        (("open", "nowhere.tar.gz"), "nowhere.tar.gz does not exist."),
        (
            ("export", "outputs/acts", "--to", "mlfow"),
            "which ends in .tar.gz or .tgz, and no tracker: wandb or mlflow.",
        ),
        (("tag", "outputs/acts", "--remove", "nope"), "has no tag 'nope'. Its tags: none."),
        (("analyse", "outputs/acts"), "Did you mean paribus compare?"),
        (("ls", "quite/elsewhere"), "Name a directory with studies: paribus ls DIR.\n"),
    ],
)
def test_what_was_meant_is_named(study: Path, call: Call, arguments: tuple[str, ...], remedy: str) -> None:
    code, _, err = call(*arguments)
    assert code == 1 and remedy in err and err.count("\n") == 1
