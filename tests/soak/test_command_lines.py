"""Command lines with random mistakes: each is accepted or answered in one message."""

import os
import random
from collections.abc import Iterator

import keys
import pytest

from paribus.cli.mistakes import check_arguments
from paribus.config.compose import Composer
from paribus.config.messages import explain
from paribus.errors import UserError
from paribus.process import silence_libraries

LINES = 2000 if os.environ.get("PARIBUS_SOAK") else 40
WORDS = (
    *("optim.lr=0.1", "activation=tanh", "seed=3", "model.hidden=[8,4]", "trainer.max_epochs=2", "scheduler=cosine"),
    *("~callbacks.updates", "+trainer.max_steps=9", "data.split=grouped", "optim=sgd", "logger=none", "--multirun"),
)
SIGNS = "=,.+~-[](){}'\"\\$:/ %#@!&*<>|?\t\n0aé🙂"


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    silence_libraries()
    with keys.open_composer() as opened:
        yield opened


def spoil(words: list[str], chance: random.Random) -> list[str]:
    """Make up to three mistakes: a sign too many, too few or another; two words joined, one cut or given twice."""
    words = list(words)
    for _ in range(chance.randint(1, 3)):
        i = chance.randrange(len(words))
        word, at = words[i], chance.randrange(len(words[i]) + 1)
        kind = chance.randrange(7)
        if kind < 3:
            words[i] = word[:at] + (chance.choice(SIGNS) if kind else "") + word[at + (kind != 1) :]
        elif kind == 3:
            words[i : i + 1] = [word[:at], word[at:]]
        elif kind == 4:
            words[i : i + 2] = ["".join(words[i : i + 2])]
        elif kind == 5:
            words.insert(i, word)
        else:
            words[i] = word.swapcase()
        words = [word for word in words if word] or ["seed=1"]
    return words


@pytest.mark.parametrize("number", range(LINES))
def test_a_line_with_mistakes_has_one_answer(number: int, composer: Composer) -> None:
    chance = random.Random(number)
    typed = spoil(chance.sample(WORDS, chance.randint(1, 4)), chance)
    try:
        check_arguments(typed)
    except UserError as error:
        said = explain(error)
    else:
        overrides = [word for word in typed if not word.startswith("-")]
        said = keys.dry_run(composer, ["model=regression", *overrides]).message
    assert said.count("\n") <= 1 and len(said) < 800, said
