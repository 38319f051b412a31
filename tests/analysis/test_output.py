"""The folder of an analysis: its own files are replaced and removed, all others stay."""

import json
from pathlib import Path

import pytest

from multirun_analysis.report.output import FIXED, MANIFEST, Output
from paribus.errors import UserError

PAGE = '<html><body><nav><a href="#verdict">Verdict</a></nav></body></html>'
PAIRS = "factor,kind,context,a,b,metric,mean_a,mean_b,seeds\n"


def write(folder: Path, *names: str) -> None:
    """An analysis that writes these files, in one go."""
    output = Output(folder)
    output.claim(names)
    for name in names:
        output.write_text(name, f"ours: {name}")
    output.finish(names)


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def older(folder: Path) -> None:
    """What a version without a manifest left."""
    (folder / "figures").mkdir(parents=True)
    for name in ("runs.csv", "tables.md", "figures/parallel.png", "figures/steps.png"):
        (folder / name).write_text("old")
    (folder / "report.html").write_text(PAGE)
    (folder / "comparison.csv").write_text(PAIRS)


def test_what_an_analysis_wrote_is_replaced_and_what_it_no_longer_writes_removed(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "mine.png").write_text("mine")
    write(tmp_path, "tables.md", "tables.tex", "figures/a.png", "figures/b.png")
    (tmp_path / "figures" / "a.png").write_text("changed")
    write(tmp_path, "tables.md", "figures/a.png")
    expected = {"tables.md": "ours: tables.md", "figures/a.png": "ours: figures/a.png", "figures/mine.png": "mine"}
    assert contents(tmp_path) == expected
    assert set(json.loads((tmp_path / MANIFEST).read_text())["files"]) == {"tables.md", "figures/a.png"}


@pytest.mark.parametrize("name", ["tables.md", "figures/a.png"])
def test_a_file_of_somebody_else_stops_the_analysis_before_it_writes(tmp_path: Path, name: str) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match="--out DIR") as error:
        write(tmp_path, "report.html", name)
    assert str(tmp_path / name) in str(error.value)
    assert contents(tmp_path) == {name: "mine"} and not (tmp_path / MANIFEST).exists()


def test_an_analysis_that_was_interrupted_is_made_again(tmp_path: Path) -> None:
    output = Output(tmp_path)
    output.claim(["tables.md", "runs.csv"])
    output.write_text("tables.md", "half of it")
    write(tmp_path, "runs.csv")
    assert contents(tmp_path) == {"runs.csv": "ours: runs.csv"}


def test_files_of_a_version_without_a_manifest_are_taken_over_and_other_statistics_mentioned_once(
    tmp_path: Path,
) -> None:
    older(tmp_path)
    (tmp_path / "notes.md").write_text("mine")
    output = Output(tmp_path)
    output.claim(["report.html", "runs.csv", "figures/parallel.png"])
    assert "1 file in" in output.foreign_figures
    output.write_text("report.html", "new")
    output.finish(["report.html", "runs.csv", "figures/parallel.png"])
    left = contents(tmp_path)
    assert left["report.html"] == "new" and left["figures/steps.png"] == "old" and left["notes.md"] == "mine"
    assert "tables.md" not in left and "comparison.csv" not in left  # of the earlier analysis, not made again
    again = Output(tmp_path)
    again.claim(["report.html"])
    assert not again.foreign_figures


@pytest.mark.parametrize(("name", "text"), [("report.html", "<html>mine</html>"), ("comparison.csv", "a,b\n1,2\n")])
def test_a_folder_is_not_taken_for_an_analysis_by_the_names_of_its_files(tmp_path: Path, name: str, text: str) -> None:
    older(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match="no analysis wrote it"):
        Output(tmp_path).claim(FIXED)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"files": 3}', '{"files": ["../x"]}', '{"files": ["/etc/x"]}', '{"files": [1]}']
)
def test_a_damaged_manifest_removes_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(UserError, match="damaged"):
        Output(tmp_path)
