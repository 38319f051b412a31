"""What a user opens: a TensorBoard server on a run's directory."""

import itertools
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from paribus import record
from paribus.training import recording

pytestmark = pytest.mark.slow

Train = Callable[..., Path]
SHORT = ("model=regression", "trainer.max_epochs=3", "threads=1")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[[Path], Callable[..., Any]]]:
    """server(logdir) starts TensorBoard and gives a function that gets a path from it, JSON read."""
    started: list[subprocess.Popen] = []

    def start(logdir: Path) -> Callable[..., Any]:
        command = [
            sys.executable,
            "-m",
            "tensorboard.main",
            "--logdir",
            str(logdir),
            "--port",
            "0",
            "--load_fast",
            "false",
        ]
        log = (tmp_path / "tensorboard.log").open("w+")
        started.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
        deadline = time.monotonic() + 60
        while not (found := re.search(r"http://localhost:(\d+)/", (tmp_path / "tensorboard.log").read_text())):
            assert time.monotonic() < deadline, (tmp_path / "tensorboard.log").read_text()
            time.sleep(0.2)
        base = f"http://localhost:{found[1]}/data/"

        def get(path: str, body: dict | None = None) -> Any:
            data = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(base + path, data, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                content = answer.read()
            return content if content[:4] == b"\x89PNG" else json.loads(content)

        while get("runs") == [] and time.monotonic() < deadline:
            time.sleep(0.2)
        return get

    yield start
    for process in started:
        process.terminate()
        process.wait(10)


def test_a_server_shows_scalars_histograms_images_hparams_and_the_layout(train: Train, server: Any) -> None:
    directory = train(*SHORT, "activation=tanh", "figures=true")
    get = server(directory.parent)
    (run,) = get("runs")
    scalars = set(get("plugin/scalars/tags")[run])
    assert {"train/loss", "val/loss", "~lr", "~momentum"} <= scalars
    for quantity in ("grad_mean_abs", "grad_std", "grad_norm", "grad_zero_fraction", "update_ratio", "weight_norm"):
        labels = sorted(tag for tag in scalars if tag.startswith(f"~{quantity}/"))
        assert labels == [f"~{quantity}/{i}_linear{i + 1}.{t}" for i in range(3) for t in ("bias", "weight")]
    assert {f"~saturated_fraction/{i}_linear{i + 1}" for i in (0, 1)} <= scalars
    points = get(f"plugin/scalars/scalars?run={run}&tag=~momentum")
    assert [(step, value) for _, step, value in points] == [(i, pytest.approx(0.9)) for i in (1, 2, 3)]
    points = get(f"plugin/scalars/scalars?run={run}&tag=~weight_norm/0_linear1.weight")
    assert [step for _, step, _ in points] == [0, 1, 2, 3], "from before training on"

    histograms = set(get("plugin/histograms/tags")[run])
    assert histograms == {f"{tensor}/{i}_linear{i + 1}" for tensor in ("weight", "bias") for i in range(3)}
    before, after = get(f"plugin/histograms/histograms?run={run}&tag=weight/1_linear2")
    assert (before[1], after[1]) == (0, 3)
    assert sum(count for _, _, count in before[2]) == pytest.approx(128 * 64)
    bound = 128**-0.5
    assert before[2][0][0] == pytest.approx(-bound, rel=0.01)
    assert before[2][-1][1] == pytest.approx(bound, rel=0.01)

    images = get("plugin/images/tags")[run]
    assert set(images) == {
        "weight_histograms",
        "predictions",
        *(f"weight_heat_maps/{i}_linear{i + 1}" for i in range(3)),
    }
    shown = get(f"plugin/images/images?run={run}&tag=weight_histograms&sample=0")
    assert [image["step"] for image in shown] == [0, 3]
    assert get(f"plugin/images/individualImage?{shown[1]['query']}")[:4] == b"\x89PNG"

    layout = {category["title"]: category["chart"] for category in get("plugin/custom_scalars/layout")["category"]}
    assert list(layout) == ["training", "gradients", "updates", "activations", "weights"]
    for charts in layout.values():
        for chart in charts:
            tags = chart["multiline"]["tag"]
            assert [tag for tag in scalars if any(re.match(pattern, tag) for pattern in tags)], chart
    mean_abs = layout["gradients"][0]["multiline"]["tag"][0]
    overlaid = get(f"plugin/custom_scalars/scalars?run={run}&tag={urllib.request.quote(mean_abs)}")
    assert set(overlaid["tag_to_events"]) == {f"~grad_mean_abs/{i}_linear{i + 1}.weight" for i in range(3)}

    experiment = get("plugin/hparams/experiment", {"experimentName": ""})
    assert {"activation", "optim.lr", "status"} <= {info["name"] for info in experiment["hparamInfos"]}


def test_under_multirun_no_statistics_are_drawn_unless_asked(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from conftest import main

    assert (
        main("train.py", "--multirun", *SHORT, "trainer=cpu", "seed=1", "study=s", f"hydra.sweep.dir={tmp_path / 's'}")
        == 0
    )
    (directory,) = [path.parent for path in (tmp_path / "s").rglob(record.SUMMARY)]
    events = EventAccumulator(str(directory)).Reload()
    assert events.Tags()["images"] == []
    assert len(events.Tags()["histograms"]) == 6
    none = EventAccumulator(str(train(*SHORT, "figures=false"))).Reload()
    assert none.Tags()["images"] == []


def test_an_mlp_of_thirty_epochs_stays_under_three_megabytes(train: Train, fashion_root: Path) -> None:
    directory = train(f"data.root={fashion_root}", "data.val_size=100", "data.train_subset=200")
    assert record.read_summary(directory)["statistics"]["epochs"] == 30
    (events,) = directory.glob("events*")
    assert events.stat().st_size < 3e6


def test_deep_networks_are_thinned_in_tensorboard_but_not_in_the_record(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas

    monkeypatch.setattr(recording, "MAX_LAYER_SCALARS", 300)
    directory = train(*SHORT, "trainer.max_epochs=12", "model.width=4", "model.depth=3")
    events = EventAccumulator(str(directory)).Reload()
    steps = [event.step for event in events.Scalars("~grad_norm/0_linear1.weight")]
    assert 1 < len(steps) < 12
    assert {b - a for a, b in itertools.pairwise(steps)} == {steps[0]}
    assert [event.step for event in events.Scalars("train/loss")] == list(range(1, 13))
    frame = pandas.read_parquet(directory / record.LAYERS)
    assert set(frame[frame.quantity == "grad_norm"].epoch) == set(range(1, 13))
