"""Which runs are stacked, and how many in a stack."""

import json
from pathlib import Path

import pytest
from conftest import main
from small_stacks import SMALL, jobs

from paribus.stacked.grouping import find_reason_alone, group_runs, split_group

pytestmark = pytest.mark.slow


def test_what_can_be_stacked_and_what_cannot(tmp_path: Path, cifar_root: Path) -> None:
    narrow = ["model=vgg6", f"data.root={cifar_root}", "data.verify=false", "data.val_size=10"]
    groups, alone = group_runs([
        *jobs(tmp_path, "seed=1,2,3", "optim.lr=0.01,0.1"),
        *jobs(tmp_path, "seed=1,2", "activation=tanh"),
        *jobs(tmp_path, "seed=1", "activation=elu"),
        *jobs(tmp_path, "seed=1,2", "trainer.gradient_clip_val=1", "trainer.max_epochs=3"),
        *jobs(tmp_path, "seed=1,2", "model.width=9", "model.depth=1", "+callbacks.summary._target_=lightning.pytorch.callbacks.ModelSummary"),
        *jobs(tmp_path, "seed=1,2", *narrow, "model.width_multiplier=0.05"),
        *jobs(tmp_path, "seed=1,2", *narrow, "model.width_multiplier=0.25"),
    ])  # fmt: skip
    assert sorted(map(len, groups)) == [2, 2, 2, 6]
    assert {reason: len(those) for reason, those in alone.items()} == {
        "no other run is like it": 1,
        "callbacks.ModelSummary does not support stacks": 2,
        "it has a convolution of 64 channels; on the CPU a stack gains up to 16": 2,
    }


def test_stacks_are_spread_over_processes_and_bounded(tmp_path: Path) -> None:
    [group], _ = group_runs(jobs(tmp_path, "seed=range(10)"))
    assert sorted(map(len, split_group(group, 2, None))) == [5, 5]
    assert sorted(map(len, split_group(group, 2, 3))) == [2, 2, 3, 3]
    assert sorted(map(len, split_group(group, 1, None))) == [10]


def test_a_stack_takes_half_of_the_free_memory_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [group] = group_runs(jobs(tmp_path, "seed=range(10)", "model.hidden=[1000]"))[0]
    # 1000 x 8 + 1000 + 1000 + 1 parameters in 12 copies, two copies of 876 rows of 9 floats, and of an output for each;
    # of the 8 flattened inputs, the 2 x 1000 hidden outputs, and the last one, two copies for a batch of 64
    needed = 4 * (12 * 10_001 + 2 * 876 * 9 + 2 * 876 + 2 * 64 * (8 + 2 * 1000 + 1))
    for fit, largest in ((3, 3), (100, 10), (0, 1)):
        free = 2 * needed * fit + 1
        memory = {"SC_PAGE_SIZE": 1, "SC_AVPHYS_PAGES": free, "SC_PHYS_PAGES": 2**40}
        monkeypatch.setattr("os.sysconf", memory.__getitem__)
        sizes = list(map(len, split_group(group, 1, None)))
        assert sum(sizes) == 10 and max(sizes) == largest


def test_by_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed = ["--multirun", "study=s", *SMALL, "seed=1,2,3", "hydra/launcher=stacked", "hydra.launcher.n_jobs=1"]
    assert main("train.py", *typed, "optim.lr=0.01,0.001", "trainer.gradient_clip_val=null") == 0
    out = capsys.readouterr().out
    assert "6 runs: 6 completed" in out and "6 runs in 1 stack, each" in out
    assert main("train.py", *typed, "optim.lr=0.01,0.001") == 0
    assert "6 completed" in capsys.readouterr().out


def changed(config: dict, **values: object) -> dict:
    """A copy with values by dotted key (__ for a dot)."""
    copied = json.loads(json.dumps(config))
    for key, value in values.items():
        node = copied
        *path, last = key.split("__")
        for part in path:
            node = node[part]
        node[last] = value
    return copied


@pytest.mark.parametrize(("values", "reason"), [
    ({"trainer__accelerator": "gpu"}, "it trains on gpu, and a stack on the CPU or a GPU of CUDA that is there"),
    ({"trainer___target_": "mine.Trainer"}, "its trainer is mine.Trainer"),
    ({"trainer__accumulate_grad_batches": 2}, "trainer.accumulate_grad_batches is set"),
    ({"trainer__devices": 2}, "it uses several devices"),
    ({"trainer__precision": "bf16-mixed"}, "its precision is bf16-mixed"),
    ({"logger": {"wandb": {"_target_": "lightning.pytorch.loggers.WandbLogger"}}}, "its logger is not TensorBoard"),
    ({"figures": True}, "it draws figures"),
    ({}, None),
])  # fmt: skip
@pytest.mark.cases(99)
def test_what_the_configuration_says_against_it(tmp_path: Path, values: dict[str, object], reason: str | None) -> None:
    [job] = jobs(tmp_path, "seed=1")
    assert find_reason_alone(changed(job.config, **values)) == reason


@pytest.mark.parametrize(
    "drawn",
    ["nn.functional.dropout(self.a(x), 0.5, self.training)", "self.a(x) + numpy.random.normal() * self.training"],
)
def test_a_network_that_draws_by_itself_is_made_alone(tmp_path: Path, own: str, drawn: str) -> None:
    """Its runs are completed all the same."""
    (tmp_path / "own_parts.py").write_text(
        (tmp_path / "own_parts.py").read_text()
        + f"""
import numpy
class Drawing(Bilinear):
    def forward(self, x):
        return self.b(self.activation({drawn})).squeeze(-1)
"""
    )
    (tmp_path / "own" / "model" / "drawing.yaml").write_text(
        (tmp_path / "own" / "model" / "bilinear.yaml").read_text().replace("Bilinear", "Drawing")
    )
    typed = [
        "--multirun",
        own,
        "study=s",
        "model=drawing",
        "trainer=cpu",
        "threads=1",
        "seed=1,2",
        "hydra/launcher=stacked",
        "hydra.launcher.n_jobs=1",
    ]
    assert main("train.py", *typed) == 0
    found = [json.loads(path.read_text()) for path in Path("outputs/s").glob("*/summary.json")]
    assert len(found) == 2 and all(summary["status"] == "completed" and "stacked" not in summary for summary in found)
