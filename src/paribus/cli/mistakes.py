"""Recognise what people type who do not know Hydra's grammar yet, and say how it is written."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from paribus.config.grammar import shorten
from paribus.config.suggestions import find_meant, index_options, suggest_key
from paribus.errors import UserError

# Flags of Hydra that take a value, in the same argument or the next one.
WITH_VALUE = (
    *("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--cfg", "-c", "--package", "-p"),
    "--experimental-rerun",
)
FLAGS = {
    *WITH_VALUE,
    *("--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun", "-m"),
    *("--shell-completion", "-sc", "--info", "-i"),
}
FLAG_WORDS = {"help": "--help", "multirun": "--multirun", "version": "--version"}


def check_arguments(typed: Sequence[str]) -> None:
    """Raise UserError for a flag that is none, a word that is no option, and blanks around = and commas."""
    previous = ""
    for i, (text, following) in enumerate(zip(typed, [*typed[1:], ""], strict=False)):
        name, equals, value = text.partition("=")
        if previous in WITH_VALUE or previous in ("--info", "-i"):
            pass
        elif text.startswith("-"):
            if name not in FLAGS:
                raise UserError(f"There is no flag {shorten(name)}. {_name_option(name, value, following)}")
        elif text.startswith("="):
            raise UserError(f"{shorten(text)} has no key. Options are written key=value: optim.lr=0.1.")
        elif following.startswith("=") and not equals:
            words = [text, following, *(typed[i + 2 : i + 3] if following == "=" else ())]
            raise UserError(f"Write an option without blanks around =: {shorten(''.join(words))}.")
        elif text.endswith("=") and following and "=" not in following and not following.startswith("-"):
            raise UserError(f"Write an option without blanks around =: {shorten(text + following)}.")
        elif (equals and text.endswith(",") and following) or following.startswith(","):
            raise UserError(f"Write values without blanks around commas: {shorten(text + following)}")
        elif not equals and not text.startswith("~"):
            raise UserError(_explain_word(text, previous, following))
        previous = text


def _name_option(flag: str, value: str, following: str) -> str:
    """Say how the option of a flag is written that Hydra does not have."""
    key = flag.lstrip("-").replace("-", "_")
    if close := get_close_matches(key, FLAG_WORDS, n=1, cutoff=0.8):
        return f"Did you mean {FLAG_WORDS[close[0]]}?"
    meant = find_meant(key)
    hint = "" if meant else suggest_key(key, ())
    if hint:
        return hint
    given = value or (following if following and not following.startswith("-") else "VALUE")
    if meant:
        return f"Options are written key=value: {' or '.join(f'{k}={shorten(given)}' for k in meant)}."
    return "Options are written key=value: optim.lr=0.1. --help lists flags and options."


def _explain_word(word: str, previous: str, following: str) -> str:
    """Say what a word without = may mean."""
    said = f"{shorten(word)!r} is no option."
    if word.casefold() in FLAG_WORDS:
        return f"{said} The flag is {FLAG_WORDS[word.casefold()]}."
    groups = index_options().get(word.casefold(), [])
    before = previous.partition("=")[0]
    if before in groups:
        return f"{said} To try several, write --multirun {previous},{word}."
    is_value = following and "=" not in following and not following.startswith("-")
    if groups and not (is_value and find_meant(word)):  # lr 0.1 means optim.lr, and not tune=lr
        return f"{said} Choose it with {' or '.join(f'{group}={word.casefold()}' for group in groups)}."
    pair = re.fullmatch(r"([\w.]+):(.+)", word)
    if pair:
        return f"{said} Options are written key=value: {(find_meant(pair[1]) or [pair[1]])[0]}={pair[2]}."
    if "/" in word or Path(word).exists():
        return f"{said} A directory of a run is named by resume={shorten(word)} or rerun={shorten(word)}."
    meant = (find_meant(word) or [word])[0]
    value = following if is_value else "VALUE"
    return f"{said} Options are written key=value: {shorten(meant)}={shorten(value)}."
