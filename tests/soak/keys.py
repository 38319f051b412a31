"""Every key of conf/ with every kind of value: what is typed, and what a dry run answers to it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from conftest import ROOT
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from paribus.config.check import read_choices
from paribus.config.compose import Composer, to_unresolved
from paribus.config.messages import explain
from paribus.errors import UserError
from paribus.record import flatten
from paribus.run.trial import try_building

CONF = ROOT / "conf"
SECONDS = 20  # a dry run of small data takes a tenth of one
REFUSALS = (UserError, HydraException, OmegaConfBaseException, OSError)

NO_NUMBERS = {
    "word": "abc",
    "empty": "",
    "empty text": "''",
    "true": "true",
    "nan": "nan",
    "inf": "inf",
    "negative inf": "-inf",
    "list": "[1,2]",
    "empty list": "[]",
    "list of null": "[null]",
    "list of nan": "[nan]",
    "list of inf": "[0.5,inf]",
    "list of words": "[a,b]",
    "nested list": "[[1],[2]]",
    "mapping": "{a: 1}",
    "empty mapping": "{}",
    "unicode": "'ünïcødé ✓ 日本'",
    "emoji key": "🙂",
    "blanks": "'   '",
    "quoted": "'it\\'s \"x\"'",
    "markup": "'x[/b]'",
    "braces": "'{0} %s {a}'",
    "newline": "'a\nb'",
    "tab": "'a\tb'",
    "path": "../../nowhere",
    "target": "{_target_: os.system}",
    "number in quotes": "'1'",
    "underscored": "'1_000'",
    "hexadecimal": "0x10",
    "interpolation": "${seed}",
    "unknown interpolation": "${nothing.there}",
    "missing": "???",
    "cast": "int(3.7)",
    "long": "x" * 3000,
}
NUMBERS = {
    "null": "null",
    "zero": "0",
    "negative zero": "-0.0",
    "one": "1",
    "two": "2",
    "minus one": "-1",
    "half": "0.5",
    "minus half": "-0.5",
    "one and a half": "1.5",
    "hundred": "100",
    "big": "2147483648",
    "huge": "1e300",
    "minus huge": "-1e300",
    "beyond floats": "1e999",
    "beyond 64 bits": "99999999999999999999",
    "tiny": "1e-300",
    "list of a half": "[0.5]",
    "list of one": "[1]",
    "list of minus one": "[-1]",
    "list of zero": "[0,0]",
    "false": "false",
}
VALUES = NO_NUMBERS | NUMBERS


class Hang(Exception):
    """A dry run that takes too long."""


@dataclass(frozen=True)
class Answer:
    """What a dry run says: accepted, or the message with which it refuses."""

    accepted: bool
    message: str = ""


@contextmanager
def limit(seconds: int) -> Iterator[None]:
    """Raise Hang in the block after so many seconds."""

    def hang(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def open_composer() -> Iterator[Composer]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield Composer(GlobalHydra.instance().config_loader(), "train")


def dry_run(composer: Composer, overrides: list[str]) -> Answer:
    """Do what `dry_run=true` does of a single run, without Hydra's start. Raises what no user should see."""
    try:
        with limit(SECONDS):
            composed = composer.compose(overrides)
            choices = read_choices(composed, composed.hydra.runtime.choices, composer)
            try_building(choices.config)
    except REFUSALS as error:
        return Answer(False, explain(error))
    return Answer(True)


def bases(fashion: Path, cifar: Path) -> dict[str, list[str]]:
    """Commands by the part of the configuration that they show: every option of every group stands in one."""
    small = {
        "mlp": [f"data.root={fashion}", "model.hidden=[8]", "data.val_size=50"],
        "vgg6": [f"data.root={cifar}", "data.verify=false", "data.val_size=20", "model.width_multiplier=0.05"],
    }
    found: dict[str, list[str]] = {"": ["model=regression"]}
    others = ("hydra", "experiment", "tune", "until")  # the last two are for sweeps
    for folder in sorted(path for path in CONF.iterdir() if path.is_dir() and path.name not in others):
        for option in sorted(path.stem for path in folder.glob("*.yaml")):
            model = option if folder.name == "model" else "regression"
            found[f"{folder.name}={option}"] = [f"model={model}", *small.get(model, ())] + (
                [] if folder.name == "model" else [f"{folder.name}={option}"]
            )
    return found


def keys_of(composer: Composer, name: str, base: list[str]) -> dict[str, Any]:
    """The keys that a base shows, with their values: those of its option's node, or those at the top."""
    plain = to_unresolved(composer.compose(base))
    flat = flatten(plain)
    group = name.partition("=")[0]
    if group == "model":
        return {k: v for k, v in flat.items() if k.startswith(("model.", "data.", "default_"))}
    if group:
        return {k: v for k, v in flat.items() if k.startswith(f"{group}.")}
    return {k: v for k, v in flat.items() if not isinstance(plain.get(k.partition(".")[0]), dict)}


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
