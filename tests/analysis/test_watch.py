"""A study is followed by its records: what is new, what may be said, who may see it, and how it is stopped."""

import json
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from records import edit_summary, write_run
from werkzeug.test import Client

from multirun_analysis.watch import followed_study
from multirun_analysis.watch import verdict as verdict_module
from multirun_analysis.watch.followed_study import FollowedStudy
from multirun_analysis.watch.server import WatchApplication, open_server
from paribus import record
from paribus.errors import UserError

LOSSES = [9.0 - 0.25 * epoch for epoch in range(20)]


def plan(root: Path, whole: bool = True, **epochs: int) -> None:
    """Plan runs of these epochs; their names are a setting and a seed, as in a1."""
    entries = tuple(record.PlanEntry(name, (f"optim={name[0]}",), name[1:], n) for name, n in epochs.items())
    record.write_study_plan(root, record.StudyPlan("python train.py", entries, whole, 0, time.time() - 100, 5))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Four planned runs of 20 epochs: one completed, one in training after 2, one diverged in 10, one to train."""
    monkeypatch.setattr(followed_study, "BETWEEN_LOOKS_S", 0)
    directory = tmp_path / "outputs" / "study"
    write_run(directory / "a1", LOSSES, optim="a")
    write_run(directory / "a2", LOSSES[:2], optim="a", seed=2)
    (directory / "a2" / record.SUMMARY).unlink()
    write_run(directory / "b1", [*LOSSES[:9], float("nan")], optim="b", status="diverged")
    plan(directory, a1=20, a2=20, b1=20, b2=20)
    with record.lock_directory(directory), record.lock_directory(directory / "a2"):
        yield directory


def runs_of(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {run["name"]: run for run in found["runs"]}


def add(run: Path, text: str) -> None:
    with (run / record.METRICS).open("a") as file:
        file.write(text)


def test_states_curves_and_time_left_are_those_of_the_records(root: Path) -> None:
    found = FollowedStudy(root).describe(0, "", None)
    runs, study = runs_of(found), found["study"]
    assert {name: run["status"] for name, run in runs.items()} == {
        "a1": "completed", "a2": "running", "b1": "diverged", "b2": "absent"}  # fmt: skip
    assert found["column"] == "val/loss" and runs["a1"]["x"] == [*range(1, 21)] and runs["a1"]["y"] == LOSSES
    assert runs["a1"]["settled"] == pytest.approx(np.mean(LOSSES[-2:])) and runs["a2"]["settled"] is None
    assert runs["b1"]["y"][-1] is None and "epoch 10" in runs["b1"]["message"]
    # 42 of 80 epochs, 37 of them in the 100 s since the plan: 38 more take 103 s
    assert (study["finished"], study["epochs"], study["of_epochs"], study["left"]) == (2, 42, 80, "2 min")
    assert "2 of 4 are not" in study["verdict"] and found["verdict"] is None


def test_only_what_is_new_is_sent(root: Path) -> None:
    study = FollowedStudy(root)
    first = study.describe(0, "", None)
    again = study.describe(first["version"], first["generation"], "val/loss")
    assert again["runs"] == []
    add(root / "a2", "3,30,0.1,1.0,8.5,8.5,2.9,0.5\n4,40,0.1,1.0,8.")  # the last row is being written
    third = study.describe(again["version"], first["generation"], "val/loss")
    assert [(run["name"], run["x"], run["y"], run["anew"]) for run in third["runs"]] == [("a2", [3], [8.5], False)]
    add(root / "a2", "25,8.25,2.8,0.5\n")
    fourth = study.describe(third["version"], first["generation"], "val/loss")
    assert runs_of(fourth)["a2"]["y"] == [8.25]
    whole = study.describe(0, first["generation"], "train/loss")
    assert runs_of(whole)["a2"]["x"] == [1, 2, 3, 4] and len(whole["runs"]) == 4
    text = (root / "a2" / record.METRICS).read_text().splitlines(keepends=True)
    with record.replace_file(root / "a2" / record.METRICS) as temporary:  # as a resumed run does
        temporary.write_text("".join(text[:2]))
    fifth = study.describe(whole["version"], first["generation"], "val/loss")
    assert (runs_of(fifth)["a2"]["x"], runs_of(fifth)["a2"]["anew"]) == ([1], True)
    add(root / "a2", "2,what\n")
    assert "damaged" in runs_of(study.describe(fifth["version"], first["generation"], None))["a2"]["message"]


def test_a_new_file_that_is_longer_than_the_old_one_is_read_from_its_start(root: Path) -> None:
    """A run that starts again removes metrics.csv; the new one may get the inode of the old one; each row has its time."""
    study = FollowedStudy(root)
    first = study.describe(0, "", "val/loss")
    path = root / "a2" / record.METRICS
    rows = path.read_text().replace("9.0,", "7.0,").replace("0.5\n", "0.625\n").splitlines(keepends=True)
    path.write_text("".join([*rows, "3,30,0.1,1.0,6.5,6.5,2.9,0.5\n"]))  # in place, so of the same inode
    then = runs_of(study.describe(first["version"], first["generation"], "val/loss"))["a2"]
    read = pandas.read_csv(path)["val/loss"].tolist()
    assert (then["anew"], then["x"], then["y"]) == (True, [1, 2, 3], read) and read[0] == 7.0


def test_a_damaged_summary_leaves_the_page_of_the_others(root: Path) -> None:
    edit_summary(root / "a1", stopped="after 3")
    edit_summary(root / "b1", metric={"name": ["val/loss"]})
    found = FollowedStudy(root).describe(0, "", None)
    assert runs_of(found)["a1"]["status"] == "damaged" and found["column"] == "val/loss"


def test_long_curves_are_thinned_and_a_removed_run_makes_the_page_begin_anew(root: Path) -> None:
    write_run(root / "c1", [1.0] * 1000, optim="c")
    study = FollowedStudy(root)
    first = study.describe(0, "", None)
    assert runs_of(first)["c1"]["x"] == [1, *range(5, 1001, 5)] and not runs_of(first)["c1"]["planned"]
    shutil.rmtree(root / "c1")
    then = study.describe(first["version"], first["generation"], None)
    assert then["generation"] != first["generation"] and sorted(runs_of(then)) == ["a1", "a2", "b1", "b2"]


class Computing:
    """An analysis command that goes on for ever."""

    def __init__(self, command: list[str], **options: Any):
        assert command[1:] == ["-m", "multirun_analysis", command[3], "--json"]

    def poll(self) -> None:
        return None

    def kill(self) -> None: ...

    def wait(self) -> None: ...


@pytest.mark.parametrize("lacks", ["a failed run", "a further round", "a run in training", "nothing"])
def test_there_is_no_verdict_before_the_plan_is_done(root: Path, lacks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict_module.subprocess, "Popen", Computing)
    write_run(root / "b2", LOSSES, optim="b", seed=2, status="failed" if lacks == "a failed run" else "completed")
    plan(root, whole=lacks != "a further round", a1=20, b1=20, b2=20)
    if lacks != "a run in training":
        write_run(root / "a2", LOSSES, optim="a", seed=2)
    found = FollowedStudy(root).describe(0, "", None)
    assert found["verdict"] == ({"state": "computing"} if lacks == "nothing" else None)
    said = {
        "a failed run": "1 of 3 are not",
        "a further round": "a further round",
        "a run in training": "being trained",
    }
    assert said.get(lacks, "") in found["study"]["verdict"] and (found["study"]["verdict"] == "") == (
        lacks == "nothing"
    )


def test_without_a_plan_nothing_is_judged(root: Path) -> None:
    (root / record.PLAN).unlink()
    assert "not recorded" in FollowedStudy(root).describe(0, "", None)["study"]["verdict"]
    (root / record.PLAN).write_text("{")
    damaged = FollowedStudy(root).describe(0, "", None)
    assert "damaged" in damaged["study"]["trouble"] and damaged["verdict"] is None


@pytest.fixture
def client(root: Path) -> Client:
    return Client(WatchApplication(FollowedStudy(root), "secret", "anna@here"))


def test_only_who_has_the_token_and_comes_from_this_machine_is_answered(client: Client) -> None:
    local = {"base_url": "http://127.0.0.1:8000"}
    for path in ("/", "/state", "/wrong/", "/wrong/state", "/secretx/", "//secret/", "/sécret/", "/wrong"):
        assert client.get(path, **local).status_code == 403, path
    assert client.get("/secret/", base_url="http://evil.example:8000").status_code == 403  # DNS rebinding
    for base in ("http://127.0.0.1:8000", "http://localhost"):
        assert client.get("/secret/", base_url=base).status_code == 200
    for name in ("watch.js", "watch.css", "plotly.js", "state"):
        found = client.get(f"/secret/{name}", **local)
        policy = found.headers["Content-Security-Policy"]
        assert found.status_code == 200 and "default-src 'none'" in policy and "unsafe-inline' 's" not in policy
    assert "script-src 'self';" in policy and found.headers["Referrer-Policy"] == "no-referrer"
    short = client.get("/secret", **local)  # whose page would look for its parts in the wrong place
    assert (short.status_code, short.headers["Location"]) == (308, "/secret/")
    assert client.get("/secret/../server.py", **local).status_code in (403, 404)
    assert client.get("/secret/state?version=x&generation=y&column=z", **local).status_code == 200


def test_a_stop_is_asked_for_once_and_is_all_that_is_written(client: Client, root: Path) -> None:
    def stop(body: Any, **options: Any) -> tuple[int, str]:
        sent = {"method": "POST", "base_url": "http://127.0.0.1:8000", "json": body, **options}
        found = client.open("/secret/stop", **sent)
        return found.status_code, found.text

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}

    before = files()
    assert stop({"run": "a2"}, headers={"Origin": "http://evil.example"})[0] == 403
    assert stop({"run": "a2"}, method="GET")[0] == 405
    for body in (None, {}, [], {"run": 1}):
        assert stop(body)[0] == 400
    assert stop(None, json=None, data='{"run": "a2"}', content_type="text/plain")[0] == 400
    for name, why in (("a1", "it is completed"), ("b2", "it is absent"), ("../study/a2", "There is no run")):
        status, text = stop({"run": name})
        assert (status, why in text) == (409, True)
    assert files() == before
    assert stop({"run": "a2"}, headers={"Origin": "http://127.0.0.1:8000"})[0] == 200
    status, text = stop({"run": "a2"})
    assert status == 409 and "anna@here has asked for this" in text
    assert stop({"run": None})[0] == 200 and stop({"run": None})[0] == 409
    assert files().keys() - before.keys() == {root / record.STOP, root / "a2" / record.STOP}
    assert json.loads((root / record.STOP).read_text())["by"] == "anna@here"
    state = json.loads(client.get("/secret/state", base_url="http://localhost").text)
    assert runs_of(state)["a2"]["stop"].startswith("anna@here") and state["study"]["stop"].startswith("anna@here")


def test_a_study_that_is_removed_is_said_to_be_gone_until_it_is_back(root: Path) -> None:
    study = FollowedStudy(root)
    root.rename(root.with_name("elsewhere"))
    found = study.describe(0, "", None)
    assert found["study"]["gone"] and len(found["runs"]) == 4
    with pytest.raises(UserError, match="not there any more"):
        study.ask_to_stop(None, "anna")
    root.with_name("elsewhere").rename(root)
    assert not study.describe(0, "", None)["study"]["gone"]


def test_mistakes_have_a_message(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, said in ((tmp_path / "none", "is no directory"), (tmp_path / "empty", "holds no run")):
        with pytest.raises(UserError, match=said):
            FollowedStudy(path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"Port {port} is in use"), open_server(FollowedStudy(root), port):
            pass


def test_a_single_run_is_followed_too(root: Path) -> None:
    found = FollowedStudy(root / "a2").describe(0, "", None)
    assert runs_of(found)["a2"]["status"] == "running" and found["study"]["alone"] and found["study"]["verdict"] == ""
