"""STUDIES.md: its numbers are those of the records; what is missing is said."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planned_studies import BASELINE, make_studies
from records import edit_summary
from scipy import stats

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import compare
from multirun_analysis.report.result_tables import comparison_csv
from studies import (
    boosting,
    concrete,
    concrete_depth,
    concrete_tested,
    fashion_mnist,
    fast,
    page,
    reports,
    vgg6,
    writing,
)
from studies.catalogue import STUDIES
from studies.page import Material, NotMade, further, number, percent, spread
from studies.writing import REPORTS, write

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _fewer_seeds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies of fewer seeds than their experiments have are whole all the same."""
    if "in_part" not in request.node.name:
        monkeypatch.setattr(page, "runs_of", lambda name: 1)


def test_a_spread_is_the_mean_with_students_interval() -> None:
    values = [18.0, 21.0, 24.0]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert spread(values) == f"21.0 [{low:.1f}, {high:.1f}]"
    assert spread([0.9, 0.91], percent).startswith("90.50 % [") and spread([0.9, 0.91], percent).endswith("]")
    assert spread([20.5]) == "20.5", "one run has no interval"


@pytest.mark.parametrize(("value", "word"), [(20.0, "in"), (2.0, "below"), (60.0, "above")])
def test_where_a_single_figure_lies(value: float, word: str) -> None:
    text = further(value, [18.0, 21.0, 24.0])
    half = stats.t.ppf(0.975, 2) * 3 * (1 + 1 / 3) ** 0.5
    assert (
        text
        == f"{word} the range in which 95 % of further runs of ours would lie, {number(21 - half)} to {number(21 + half)}"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.000858, "0.000858"),
        (283.09, "283"),
        (1234.5, "1,234"),
        (0.0, "0"),
        (20.34, "20.3"),
        (np.inf, "not finite"),
        (2.41676607e23, "2.42e+23"),
    ],
)
@pytest.mark.cases(99)
def test_numbers_have_three_digits_or_all_before_the_point(value: float, text: str) -> None:
    assert number(value) == text


def test_nothing_is_made_yet(tmp_path: Path) -> None:
    missing = write(Material(tmp_path / "outputs", tmp_path / "figures"), tmp_path / "STUDIES.md")
    text = (tmp_path / "STUDIES.md").read_text()
    sections = [build for report in REPORTS.values() for build in report.sections()]
    assert text.count("Not made yet.") == len(sections) == len(missing)
    for name in missing:
        assert f"experiment={name} " in text
    assert not (tmp_path / "figures").exists()


def test_sections_without_records_stay_as_they_are_in_the_page(tmp_path: Path) -> None:
    page = tmp_path / "STUDIES.md"
    name, report = next(iter(REPORTS.items()))
    first = report.sections()[0]
    page.write_text(
        f"# Studies\n\n## {name}\n\n### {first.__doc__}\n\n    python command\n\nAs it was found.\n\n## Other\n\nnot kept\n"
    )
    write(Material(tmp_path / "outputs", tmp_path / "figures"), page)
    for _ in range(2):  # and again
        text = page.read_text()
        assert text.count("\n    python command\n\nAs it was found.\n") == 1 and "not kept" not in text
        assert text.index(f"### {first.__doc__}") < text.index("As it was found.")
        write(Material(tmp_path / "outputs", tmp_path / "figures"), page)


def test_a_study_that_is_made_in_part_says_so(tmp_path: Path) -> None:
    m = make_studies(tmp_path / "outputs", "concrete_final", seeds="range(1,21)")
    make_studies(tmp_path / "outputs", "vgg6_winner", seeds="42")
    assert concrete_tested.final_fit(m).claims
    edit_summary(tmp_path / "outputs" / "concrete_final" / "seed=2", status="interrupted")
    missing = write(m, tmp_path / "STUDIES.md")
    assert "concrete_final" in missing and "vgg6_winner" not in missing
    assert "Made in part: 19 of 20 runs have ended." in (tmp_path / "STUDIES.md").read_text()
    [winner] = (tmp_path / "outputs" / "vgg6_winner").iterdir()
    edit_summary(winner, status="interrupted", statistics={"best_val_acc": 0.8})
    assert vgg6.winner(m).claims[0].ours.startswith("0.800")


def test_every_study_is_told_in_some_section() -> None:
    missing = set()
    for report in REPORTS.values():
        for build in report.sections():
            with pytest.raises(NotMade) as raised:
                build(Material(Path("nowhere")))
            missing.add(raised.value.name)
    assert {"mlp_candidates", "concrete_candidates"} <= missing
    assert {study.name for study in STUDIES} - missing == {"mlp_best", "concrete_best"}, "told beside their candidates"


def row(blocks: list[str], start: str) -> list[str]:
    """The cells of the table row that begins with these words."""
    [line] = [line for block in blocks for line in block.splitlines() if line.startswith(f"| {start} |")]
    return [cell.strip() for cell in line.strip("| ").split(" | ")]


def test_architectures_beside_the_reports(tmp_path: Path) -> None:
    m = make_studies(tmp_path / "outputs", "concrete_architectures", level={"[128,64]": -3.0})
    section = concrete.architectures(m)
    cells = row(section.blocks, "128-64")
    runs = load_runs(tmp_path / "outputs" / "concrete_architectures").runs
    mine = runs.loc[runs["directory"].str.contains("[128,64]", regex=False)]
    expected = mine["best_val_loss"].mean()
    assert cells[-2].startswith(f"{expected:.1f} [")
    assert cells[-3] == f"{expected:.1f} (20.3)", "the report's figure of 300 epochs beside ours"
    # after 100 of 300 epochs the loss is best * (1 + what is left of the way)
    left = 1 - 99 / 299
    assert cells[2] == f"{expected * (1 + left):.1f}"
    assert section.claims[1].concluded == "[128, 64] is better than all others"


def test_optimizers_say_what_broke(tmp_path: Path) -> None:
    m = make_studies(tmp_path / "outputs", "concrete_optimizers")
    broken = [
        run
        for run in (tmp_path / "outputs" / "concrete_optimizers").iterdir()
        if "0.01" in run.name and "momentum=0.9" in run.name
    ]
    assert len(broken) == 5
    for run in broken:
        edit_summary(run, status="diverged", diverged={"epoch": 2, "step": 20, "what": "train/loss"})
    cells = row(concrete.optimizers(m).blocks, "sgd_momentum 0.9")
    assert cells[1] == "5 diverged"
    assert cells[2].endswith("(20.9)") and cells[3].endswith("(24.0)")


@pytest.mark.parametrize(("factor", "verdict"), [(0.99, "holds"), (0.5, "does not hold")])
def test_depth(tmp_path: Path, factor: float, verdict: str) -> None:
    m = make_studies(tmp_path / "outputs", "concrete_depths", level={"depth=128": factor * BASELINE - 20})
    section = concrete_depth.depths(m)
    assert section.claims[0].concluded.startswith(verdict)
    cells = row(section.blocks, "128")
    assert cells[3] == f"{reports.DEPTH_128:.1f}"
    assert cells[4] == ("5 of 5" if verdict == "holds" else "0 of 5")
    assert (tmp_path / "figures" / "concrete_depths.png").stat().st_size < 60_000


@pytest.fixture
def boosted(tmp_path: Path) -> tuple[Material, pd.DataFrame]:
    m = make_studies(tmp_path / "outputs", "concrete_candidates")
    make_studies(tmp_path / "outputs", "concrete_best", seeds="range(1,21)")
    runs = load_runs(tmp_path / "outputs" / "concrete_best").runs
    trees = pd.DataFrame({"run": [Path(d).name for d in runs["directory"]], "seed": runs["seed"].to_numpy(), "split": runs["data.split"].to_numpy(), "train": 927, "test": 103,
                          "test_mse": runs["test_mse"].to_numpy() + np.where(runs["data.split"] == "random", 2.0, -2.0) + 0.1 * (runs["seed"].to_numpy() % 3)})  # fmt: skip
    return m, trees


def test_the_net_against_the_trees(boosted: tuple[Material, pd.DataFrame]) -> None:
    m, trees = boosted
    with pytest.raises(NotMade):
        concrete_tested.a_better_net(m)
    trees.sample(frac=1, random_state=1).to_csv(m.outputs / "concrete_best" / boosting.FILE, index=False)
    section = concrete_tested.a_better_net(m)
    runs = load_runs(m.outputs / "concrete_best").runs
    mine = runs[runs["data.split"] == "random"].sort_values("seed")
    theirs = trees[trees["split"] == "random"].sort_values("seed")["test_mse"].to_numpy()
    difference = mine["test_mse"].to_numpy() - theirs
    cells = row(section.blocks, "random")
    assert cells[2].startswith(f"{mine['test_mse'].mean():.1f} [")
    # Nadeau and Bengio (2003): splits of one table overlap
    half = stats.t.ppf(0.975, 19) * difference.std(ddof=1) * (1 / 20 + 103 / 927) ** 0.5
    mean = difference.mean()
    assert cells[4] == f"{number(mean)} [{number(mean - half)}, {number(mean + half)}]"
    assert cells[-1] == "20 of 20"
    assert row(section.blocks, "grouped")[-1] == "0 of 20"
    assert section.claims[0].concluded == "the net is better"


def test_the_reports_relu_and_adam(tmp_path: Path) -> None:
    m = make_studies(tmp_path / "outputs", "mlp_activations")
    section = fashion_mnist.activations_and_optimizers(m)
    runs = load_runs(tmp_path / "outputs" / "mlp_activations").runs
    mine = runs[(runs["activation"] == "relu") & (runs["optim"] == "adam")]["best_val_acc"]
    cells = row(section.blocks, "best validation accuracy")
    assert cells[1] == "89.65 %" and cells[2].startswith(f"{100 * mine.mean():.2f} % [")
    assert section.claims[0].concluded.startswith("reproduced")


def test_the_winner_says_how_far_it_came(tmp_path: Path) -> None:
    m = make_studies(tmp_path / "outputs", "vgg6_winner", seeds="42")
    section = vgg6.winner(m)
    assert row(section.blocks, "best validation accuracy")[1] == "0.861"
    assert "ours, 30 epochs" in "".join(section.blocks)


def test_of_the_reports_runs_the_confounded_are_counted(tmp_path: Path) -> None:
    m = make_studies(tmp_path / "outputs", "vgg6_report_standin")
    section = vgg6.the_reports_runs(m)
    pairs = comparison_csv(compare(load_runs(tmp_path / "outputs" / "vgg6_report_standin")))
    confounded = (pairs["verdict"] == "confounded").sum()
    assert confounded > 0
    assert section.claims[0].ours.startswith(f"{confounded} of {len(pairs)} pairs")
    assert "34 different runs" in "".join(section.blocks)


def test_each_change_of_a_recipe_has_its_paired_difference(tmp_path: Path) -> None:
    m = make_studies(tmp_path / "outputs", "vgg6_fast_left_out", level={"model.norm=none": -0.05})
    section = fast.left_out(m)
    best = load_runs(tmp_path / "outputs" / "vgg6_fast_left_out").runs["best_val_acc"]
    seeds = [f"seed={seed}" for seed in range(1, 6)]
    base = [best[name] for seed in seeds for name in best.index if name in (seed, f"study=vgg6_fast_left_out,{seed}")]
    norm = [best[name] for seed in seeds for name in best.index if "model.norm=none" in name and seed in name]
    gaps = 100 * np.subtract(norm, base)
    low, high = stats.t.interval(0.95, 4, gaps.mean(), stats.sem(gaps))
    cells = row(section.blocks, "norm: none, not batch")
    found = [float(value) for value in re.findall(r"-?[\d.]*\d", cells[1])]
    assert found == pytest.approx([gaps.mean(), low, high], abs=0.01) and cells[3] == "worse"
    assert section.blocks[-1].count(", not ") == 12, "the optimizer too, whose rate comes with it"


def test_claims_stay_where_no_section_makes_any() -> None:
    before = ["| a report says | here |", "| --- | --- |", "| relu is best | 3 |"]
    assert writing._merge_claims(before, []) == before
    now = ["| a report says | here |", "| --- | --- |", "| tanh is best | 4 |"]
    assert writing._merge_claims(before, now)[-2:] == ["| relu is best | 3 |", "| tanh is best | 4 |"]
