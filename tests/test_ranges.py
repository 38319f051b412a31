"""Values out of range are refused before anything is built: every numeric key of conf/ has its range."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, main

from paribus.config.ranges import RANGES, WORDS, Range, check_ranges
from paribus.errors import UserError
from paribus.record import flatten

GROUPS = ("activation", "callbacks", "data", "model", "optim", "scheduler", "trainer")
NOT_COUNTED = {"trainer.devices"}  # Lightning's, which also takes lists and words


def keys_of_conf() -> set[str]:
    """Every key of conf/ whose value is a number, or a list of numbers, by the name that it has in a configuration."""
    found: set[str] = set()
    for group in GROUPS:
        for path in (ROOT / "conf" / group).glob("*.yaml"):
            content = yaml.safe_load(path.read_text())
            nodes = content if group == "model" else {group: content}
            for key, value in flatten({k: v for k, v in nodes.items() if k not in ("defaults", "default_lr")}).items():
                numbers = value if isinstance(value, list) else [value]
                if numbers and all(isinstance(x, int | float) and not isinstance(x, bool) for x in numbers):
                    found.add(key)
    return found


def test_every_numeric_key_has_a_range() -> None:
    assert keys_of_conf() - NOT_COUNTED - set(RANGES) == set()


def nested(key: str, value: Any) -> dict[str, Any]:
    group, _, rest = key.partition(".")
    node: Any = value
    for part in reversed(rest.split(".") if rest else []):
        node = {part: node}
    return {group: {"_target_": "torch.x", **node} if isinstance(node, dict) else node}


BAD = [math.nan, math.inf, -math.inf, "abc", True, [None], -1e300]


@pytest.mark.parametrize("key", sorted(RANGES))
@pytest.mark.parametrize("value", BAD, ids=str)
def test_what_is_no_such_number_is_refused(key: str, value: Any) -> None:
    if value == -1e300 and RANGES[key].low == -math.inf:
        pytest.skip("any finite number will do")
    with pytest.raises(UserError, match=f"^{key} is .*it must be a"):
        check_ranges(nested(key, value))
    if RANGES[key].length is not None and not isinstance(value, list):
        with pytest.raises(UserError, match=key):
            check_ranges(nested(key, [value] * max(RANGES[key].length or 1, 1)))


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("optim.lr", [0, 1e-3, 1], [-1]),
        ("optim.momentum", [0, 0.9], [1, 1.5]),
        ("optim.betas", [[0.9, 0.999]], [[0.9], [0.9, 0.99, 0.5], [1, 0.9], [-0.1, 0.9]]),
        ("optim.alpha", [0.99], [2]),
        ("scheduler.gamma", [0.1, 1], [0, -1]),
        ("scheduler.T_max", [1], [0, -1, 1.5]),
        ("scheduler.eta_min", [0], [-1]),
        ("scheduler.total_steps", [2], [1]),
        ("scheduler.pct_start", [0.3], [0, 1]),
        ("activation.beta", [1], [0]),
        ("data.seed", [0, 3], [-1]),
        ("data.bins", [10], [1, 1_000_000]),
        ("data.mean", [[0.5]], [[math.nan]]),
        ("data.std", [[0.5]], [[0]]),
        ("threads", [1], [0, 100_000]),
        ("trainer.accumulate_grad_batches", [1], [0]),
        ("trainer.check_val_every_n_epoch", [2], [0]),
        ("trainer.gradient_clip_val", [0.5], [0, "abc"]),
        ("model.dropout", [0, 0.5], [1, -0.1]),
        ("trainer.deterministic", [True, False, "warn"], ["maybe"]),
        ("figures", [True], ["yes"]),
    ],
)
def test_ranges(key: str, good: list[Any], bad: list[Any]) -> None:
    for value in (None, *good):
        check_ranges(nested(key, value))
    for value in bad:
        with pytest.raises(UserError, match=key):
            check_ranges(nested(key, value))


def test_a_users_own_class_says_itself_what_it_takes() -> None:
    check_ranges({"optim": {"_target_": "mine.Optimizer", "alpha": 2, "betas": [1, 2, 3]}})


def test_words() -> None:
    assert str(Range(0, 1, open_high=True)) == "a number, at least 0 and below 1"
    assert str(Range(1, whole=True)) == "a whole number, at least 1"
    assert str(Range(0, 1, length=2)) == "a list of 2 numbers, each at least 0 and at most 1"
    assert set(WORDS) & set(RANGES) == set()


@pytest.mark.parametrize(
    "bad", ["optim.lr=-1", "data.batch_size=0", "data.path=nowhere.csv", "trainer.max_epochs=0", "data.val_fraction=2"]
)
@pytest.mark.parametrize("study", [False, True])
@pytest.mark.slow
@pytest.mark.cases(999)
def test_a_dry_run_is_not_in_order(bad: str, study: bool, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """And the runs of a study before the bad one are not trained."""
    typed = ["model=regression", "dry_run=true"]
    if study:
        typed = ["--multirun", "study=s", "model=regression", f"{bad.partition('=')[0]}=null,{bad.partition('=')[2]}"]
        if not bad.startswith("data.path"):
            typed[-1] = f"{bad.partition('=')[0]}=0.2,{bad.partition('=')[2]}" if "fraction" in bad else bad
    else:
        typed.append(bad)
    assert main("train.py", *typed) == 1
    assert bad.partition("=")[0] in (said := capsys.readouterr().err) or "nowhere.csv" in said
    assert not list(tmp_path.rglob("summary.json")) or not study


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("data.train_subset=99999", "the training part has 722"),
        ("model.init=he", "There is no 'he' in model.init"),
        ("model._target_=torch.nn.Linear", "model: "),
        ("+callbacks.x._target_=torch.nn.ReLU", "is no Instrument or Callback"),
        ("+optim.foreach=3", "optim"),
    ],
)
@pytest.mark.slow
@pytest.mark.cases(999)
def test_a_dry_run_builds_what_it_calls_in_order(bad: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("train.py", "model=regression", "dry_run=true", bad) == 1
    assert said in capsys.readouterr().err
    assert main("train.py", "--multirun", "study=s", "model=regression", "seed=1,2", "dry_run=true", bad) == 1
    err = capsys.readouterr().err
    assert said in err and "nothing was run" in err


def test_a_dry_run_says_what_it_could_not_look_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("train.py", f"data.root={tmp_path / 'none'}", "dry_run=true") == 0
    assert "before its data are downloaded" in capsys.readouterr().out


def test_a_copy_of_ones_own_that_is_not_there_is_not_downloaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ("model=vgg6", "data.verify=false", f"data.root={tmp_path / 'none'}", "dry_run=true")
    assert main("train.py", *typed) == 1
    assert "data.verify=false reads a copy of your own" in capsys.readouterr().err
