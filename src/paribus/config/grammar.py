"""Explain why an override does not follow Hydra's grammar."""

import re

from paribus.config.suggestions import find_meant, squash


def explain_grammar(override: str) -> str:
    """Say in a sentence how an override that Hydra cannot read should be written."""
    key, equals, value = override.partition("=")
    name = key.lstrip("+~")
    wrong = f"{shorten(override)} cannot be read"
    called = re.fullmatch(r"([A-Za-z_][\w.]*)\((.*)\)", value)
    if not equals:
        meant = (find_meant(name) or [name])[0]
        return f"{wrong}. Options are written key=value: {meant}=VALUE."
    if ".." in name or name.startswith(".") or name.endswith("."):
        return f"{wrong}: the key has a dot too many. Write {re.sub('[.]+', '.', name).strip('.')}={value}."
    if value.startswith("="):
        return f"{wrong}: write {key}={value.lstrip('=')}."
    if called:
        first = f"{key}={squash(called[1].rpartition('.')[2])}"
        values = " ".join(f"{key}.{text.strip()}" for text in called[2].split(",") if "=" in text)
        return f"{wrong}: choose an option, and set its values by key: {first} {values}".rstrip() + "."
    if value.startswith("(") and value.endswith(")"):
        return f"{wrong}: write a list in brackets: {key}=[{value[1:-1]}]."
    if (value.endswith(",") or value.startswith(",")) and value.count("[") == value.count("]"):
        return f"{wrong}: a comma too many. Write {key}={value.strip(',')}."
    if any(value.count(quote) % 2 for quote in "'\""):
        return f"{wrong}: a quote is not closed."
    for opening, closing in ("[]", "{}"):
        if value.count(opening) != value.count(closing):
            begun = value.rstrip(", ")
            if value.count(opening) == value.count(closing) + 1 and begun.startswith(opening) and begun != opening:
                return f"{wrong}: {closing} is missing. Write {key}={begun}{closing}."
            return f"{wrong}: {opening} and {closing} do not match."
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{wrong}: a value with such signs has to be quoted, also for the shell: \"{key}='{shorten(quoted)}'\"."


def shorten(text: str, most: int = 80) -> str:
    """Return a text that fits on a line: without line breaks, and cut after `most` characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[:most]}..."
