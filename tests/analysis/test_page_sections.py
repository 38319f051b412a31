"""Parts of the page that need no browser: notes, the gallery, what is said of unusable settings, and its size."""

from pathlib import Path

import pandas as pd
from records import write_run

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import compare
from multirun_analysis.report.page import compose_parts, write_page
from multirun_analysis.report.page_sections import compose_gallery, compose_notes, compose_why, first_figures
from multirun_analysis.report.verdict import verdict
from paribus.housekeeping.shelf import add_note, change_tags


def test_three_figures_are_named_first_and_the_others_are_folded() -> None:
    names = ["activations", "curves_by_optim_val_loss", "differences_optim", "gradient_flow", "ranking_a,b=<c>"]
    assert first_figures(names) == ["differences_optim", "curves_by_optim_val_loss", "gradient_flow"]
    first, _, folded = compose_gallery(names).partition("<details>")
    assert first.count("<img") == 3 and folded.count("<img") == 2 and "2 more figures" in folded
    assert "figures/ranking_a%2Cb%3D%3Cc%3E.png" in folded and "<c>" not in folded
    assert compose_gallery([]) == ""


def test_notes_and_unusable_settings_are_on_the_page_as_text(tmp_path: Path) -> None:
    for rate in (0.01, 1.0):
        for seed in (1, 2, 3):
            broken = rate == 1 and seed > 1
            write_run(tmp_path / "s" / f"{rate},{seed}", (9.0, 4.0 + seed), seed=seed, optim__lr=rate,
                      status="diverged" if broken else "completed")  # fmt: skip
    add_note(tmp_path / "s", "<script>alert(1)</script> of the study")
    change_tags(tmp_path / "s", ["paper"], [])
    add_note(tmp_path / "s" / "1.0,2", "this one exploded")
    found = compare(load_runs(tmp_path / "s"))
    notes = compose_notes(found)
    assert "&lt;script&gt;alert(1)&lt;/script&gt; of the study" in notes and "#paper" in notes
    assert "1.0,2</h3><p class='note'>this one exploded" in notes
    write_page(compose_parts(found, verdict(found), [], tmp_path), tmp_path / "report.html", ["differences_optim.lr"])
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Unusable, so in no mean: lr 1." in page and "id='figures'" in page and notes in page
    assert len(page) < 3_000_000


def test_the_section_why_shows_tables_and_folds_lists() -> None:
    table = pd.DataFrame({"finding": ["<i>dead</i> units"]})
    html = compose_why([("Ranking", table), ("Diagnosis", ["one"]), ("Diagnosis by setting", table)])
    assert "Ranking" not in html and "<summary>Diagnosis</summary>" in html
    assert "<h3>Diagnosis by setting</h3>" in html and "&lt;i&gt;dead" in html
    assert compose_why([("Ranking", table)]) == ""
