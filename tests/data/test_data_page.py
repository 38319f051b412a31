"""docs/data.md: its table is written, its commands and its Python are executed, and they say what the page says."""

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, main
from PIL import Image
from published_images import publish

from paribus import record
from paribus.cli import data as inspection

pytestmark = pytest.mark.slow
TEXT = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)(?: (\S+))?\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL)


def draw_photos() -> None:
    for i, name in enumerate(("ant", "bee")):
        Path("photos", name).mkdir(parents=True)
        for k in range(20):
            pixels = np.full((20, 30, 3), 100 * i + k, np.uint8)
            Image.fromarray(pixels).save(Path("photos", name, f"{k}.png"))


def execute(command: str) -> None:
    program, *arguments = re.sub(r"^python ", "", command).split()
    if program == "-m":
        assert arguments.pop(0) == "paribus.data"
        inspection.main(arguments)
    else:
        main(program, *arguments, *(["trainer=cpu", "threads=1", "figures=false"] if program == "train.py" else []))


def test_the_page_does_what_it_says(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    draw_photos()
    monkeypatch.setenv("COLUMNS", "200")
    raw = Path("data/KMNIST/raw")
    raw.mkdir(parents=True)
    for name, content in publish("KMNIST", monkeypatch, repeat=110).items():
        (raw / name).write_bytes(content)
    commands = 0
    for kind, name, content in BLOCKS:
        if kind == "csv":
            Path(name).write_text(content, encoding="utf-8")
        elif kind == "python":
            values: dict[str, Any] = {}
            exec(compile(content, "docs/data.md", "exec"), values)
            if "names" in values:
                assert values["names"] in (["Wohnung"], ["Haus"]) and values["probabilities"].sum() == pytest.approx(1)
            else:
                run, rows = values["run"], values["rows"]
                assert run.predict(rows.fillna(run.data.statistics()["medians"])).tolist() == values["sales"].tolist()
        else:
            assert kind == "console"
            for step in content.removeprefix("$ ").split("\n$ "):
                command, *said = step.strip().splitlines()
                capfd.readouterr()
                execute(command)
                commands += 1
                shown = " ".join("".join(capfd.readouterr()).split())
                for line in said:
                    assert " ".join(line.split()) in shown, (command, shown)
    assert commands == 14
    for name in ("prices", "sales", "kinds", "kmnist", "photos"):
        assert record.read_summary(Path("outputs", name))["status"] == "completed"
    logging.getLogger("paribus").setLevel(logging.NOTSET)  # the inspection sets it


def test_each_data_set_of_the_page_is_there_and_none_is_missing() -> None:
    table = TEXT[: TEXT.index("Each stays in memory")]
    named = {
        name
        for row in table.splitlines()[4:]
        for name in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")
    }
    assert named == {path.stem for path in (ROOT / "conf" / "data").glob("*.yaml")}
