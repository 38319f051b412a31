"""No value of any key of conf/ ends in a traceback, a signal or a wait, and none that means nothing is accepted.

`make soak` tries every key with every value, and trains with what is accepted; otherwise a sample is tried.
"""

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keys
import pytest
from conftest import main
from keys import NO_NUMBERS, VALUES, Answer, dry_run, is_number

from paribus.config.compose import Composer
from paribus.process import silence_libraries

pytestmark = [pytest.mark.slow, pytest.mark.cases(999)]

SOAK = bool(os.environ.get("PARIBUS_SOAK"))
SAMPLE = 2  # keys with a value each, of a part of conf/
SIGNED = (  # the numbers of conf/ that may be negative
    *("activation.negative_slope", "activation.init", "data.mean", "optim.beta2_decay"),
)
OR_NULL = (  # words that may be left out
    *("optim.line_search_fn", "optim.adjust_lr_fn", "logger.csv.name", "logger.wandb.project"),
    *("trainer.precision", "trainer.deterministic"),
)
NULL = {"empty", "null"}  # what YAML reads as no value
# What stands for a number: int(3.7), 0x10 as a text, 'nothing' where a number is not needed, another key's number.
AS_NUMBERS = {"cast", "interpolation"} | NULL
ANSWERED_BEFORE = ("resume", "rerun", "dry_run", "pause", "trust")  # by `run`, before anything is built
LIGHTNINGS = ("trainer.devices",)  # numbers that Lightning takes as texts and lists too


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    from omegaconf import OmegaConf

    from paribus.installation import name_commands

    OmegaConf.register_new_resolver("command", name_commands, replace=True)
    silence_libraries()
    with keys.open_composer() as opened:
        yield opened


BASES = keys.bases(Path("FASHION"), Path("CIFAR"))


def choose(name: str, keys: list[str]) -> list[tuple[str, str]]:
    """Choose the pairs of a key and a value that are tried of a part of conf/."""
    pairs = [(key, value) for key in keys for value in VALUES]
    return pairs if SOAK else random.Random(name).sample(pairs, min(SAMPLE, len(pairs)))


@pytest.fixture
def base(request: pytest.FixtureRequest, fashion_root: Path, cifar_root: Path) -> list[str]:
    return keys.bases(fashion_root, cifar_root)[request.param]


@pytest.mark.parametrize(("name", "base"), [(name, name) for name in BASES], ids=list(BASES), indirect=["base"])
def test_every_value_is_answered(name: str, base: list[str], composer: Composer) -> None:
    whole = dry_run(composer, base)
    if not whole.accepted:
        pytest.skip(f"not here: {whole.message}")
    faults: list[str] = []
    shown = {key: value for key, value in keys.keys_of(composer, name, base).items() if key not in ANSWERED_BEFORE}
    for key, value in choose(name, list(shown)):
        fault = find_fault(composer, base, key, shown[key], value)
        if fault is not None:
            faults.append(f"{key}={VALUES[value][:60]}: {fault}")
    assert not faults, "\n".join(faults)


def find_fault(composer: Composer, base: list[str], key: str, shown: Any, value: str) -> str | None:
    """Say what is wrong with the answer to a value; None where nothing is."""
    try:
        answer = dry_run(composer, [*base, f"{key}={VALUES[value]}"])
    except keys.Hang:
        return f"no answer within {keys.SECONDS} s"
    except Exception as error:  # noqa: BLE001  whatever comes is the fault that is looked for
        return f"{type(error).__name__}: {error}"
    if answer.accepted:
        return check_meaning(key, shown, value)
    return check_message(key, answer)


def check_message(key: str, answer: Answer) -> str | None:
    group, _, name = key.rpartition(".")
    taken = {"default_lr": ("optim.lr",), "": ("trainer.max_epochs",)}.get(group, ())  # values that are taken from it
    if not any(word in answer.message for word in (key, name, f"{group.partition('.')[0]}:", "model ", *taken)):
        return f"a message that does not name it: {answer.message}"
    if len(answer.message) > 800 or answer.message.count("\n") > 1:
        return f"a message too long: {answer.message[:300]}"
    return None


def check_meaning(key: str, shown: Any, value: str) -> str | None:
    """Say what is wrong with a value that was accepted, by what conf/ shows for its key."""
    if is_number(shown) and value in NO_NUMBERS and value not in AS_NUMBERS and key not in LIGHTNINGS:
        return "accepted, and no number"
    if is_number(shown) and key not in SIGNED and value.startswith("minus"):
        return "accepted, and negative"
    if is_number(shown) and value in ("huge", "beyond floats", "beyond 64 bits"):
        return "accepted, and beyond what a network computes with"
    if isinstance(shown, int | float | bool | str) and value in NULL and not str(shown).startswith("$"):
        text = isinstance(shown, str) and value == "empty"
        return None if text or key in OR_NULL else "accepted, and no value"
    if not isinstance(shown, dict) and "mapping" in value:
        return "accepted, and a mapping"
    return None


@pytest.mark.skipif(not SOAK, reason="make soak")
@pytest.mark.parametrize(("name", "base"), [(name, name) for name in BASES], ids=list(BASES), indirect=["base"])
def test_what_is_accepted_can_be_trained(
    name: str, base: list[str], composer: Composer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Or ends with one message, such as that the loss diverged."""
    if not dry_run(composer, base).accepted:
        pytest.skip("not here")
    few = ["trainer.max_epochs=1", "threads=1", "trainer.accelerator=cpu", "+trainer.limit_train_batches=3"]
    faults = []
    for key in keys.keys_of(composer, name, base):
        for value in random.Random(key).sample(list(VALUES), len(VALUES)):
            typed = [*base, f"{key}={VALUES[value]}"]
            if key in ("resume", "rerun", "dry_run") or not dry_run(composer, typed).accepted:
                continue
            others = [text for text in few if not text.lstrip("+").startswith(f"{key}=")]
            main("train.py", *base, *others, typed[-1], f"hydra.run.dir={tmp_path}/{len(list(tmp_path.iterdir()))}")
            said = capfd.readouterr()
            if "Traceback" in said.err + said.out:
                faults.append(f"{typed[-1][:80]}: {(said.err + said.out)[-300:]}")
    assert not faults, "\n".join(faults)
