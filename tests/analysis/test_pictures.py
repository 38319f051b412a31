"""`make pictures`: pictures of a small study."""

from pathlib import Path

import pytest
from conftest import ROOT
from PIL import Image
from records import write_run

pytest.importorskip("pages")
pytestmark = [pytest.mark.slow, pytest.mark.browser]


def test_pictures_show_what_the_commands_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")
    import pictures

    study = tmp_path / "study"
    for optim in ("adam", "sgd"):
        for seed in (1, 2, 3):
            losses = (40.0, 20.0 + seed, 5.0 + seed + 10 * (optim == "sgd"))
            write_run(study / f"{optim},{seed}", losses, seed=seed, layers=True, optim=optim)
    monkeypatch.setattr(pictures, "STUDY", study)
    monkeypatch.setattr(pictures, "COMMAND", ["-m", "multirun_analysis", "study"])
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{ROOT}")
    pictures.draw_terminal(tmp_path / "verdict.svg")
    drawn = (tmp_path / "verdict.svg").read_text(encoding="utf-8")
    for words in ("multirun_analysis", "BEST", "adam", "NEXT"):
        assert words in drawn
    assert drawn.count("http") == drawn.count("http://www.w3.org/2000/svg")  # nothing from the network
    pictures.draw_page(tmp_path / "report.png")
    with Image.open(tmp_path / "report.png") as image:
        assert image.size == (pictures.SCREEN["width"], pictures.SCREEN["height"])
        assert len(image.convert("L").getcolors()) > 10, "an empty page"
