"""Recognise what people type who do not know Hydra's grammar yet, and say how it is written."""

from collections.abc import Sequence

from paribus.errors import UserError

FLAGS = {
    *("--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--resolve", "--package", "-p", "--run", "-r"),
    *("--multirun", "-m", "--shell-completion", "-sc", "--config-path", "-cp", "--config-name", "-cn"),
    *("--config-dir", "-cd", "--experimental-rerun", "--info", "-i"),
}


def check_arguments(typed: Sequence[str]) -> None:
    """Raise UserError for a flag that is none, and for blanks around = and behind commas."""
    for text, following in zip(typed, [*typed[1:], ""], strict=False):
        name, equals, value = text.partition("=")
        if name.startswith("--") and name not in FLAGS:
            key = name.lstrip("-").replace("-", "_")
            given = value if equals else following if following and not following.startswith("-") else "VALUE"
            raise UserError(f"There is no flag {name}. Options are written key=value: {key}={given}.")
        if text == "=" or (equals and not name) or (text.endswith("=") and following and "=" not in following):
            raise UserError("Write an option without blanks around =: activation=tanh.")
        if equals and text.endswith(",") and following:
            raise UserError(f"Write values without blanks behind commas: {text}{following}")
