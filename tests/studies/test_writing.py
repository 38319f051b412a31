"""STUDIES.md: its numbers are those of the records; what is missing is said."""

import json
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
import torch
from planned_studies import BASELINE, make_record, planned
from records import edit_summary
from rich.console import Console
from scipy import stats
from sklearn.ensemble import GradientBoostingRegressor

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import compare
from multirun_analysis.report.result_tables import comparison_csv
from paribus.data.concrete import CONCRETE
from paribus.errors import UserError
from paribus.randomness import make_generator
from studies import __main__ as command
from studies import boosting, concrete, concrete_tested, fashion_mnist, making, page, reports, vgg6
from studies.catalogue import BY_NAME, STUDIES, Study
from studies.page import Material, NotMade, further, number, percent, spread
from studies.writing import REPORTS, write

pytestmark = pytest.mark.slow


def made(outputs: Path, *names: str, level: dict[str, float] | None = None, seeds: str = "range(1,6)") -> Material:
    """Records of these studies: 20 (or 0.89), a bit more with each seed, a hundredth of that by the name, and `level`."""
    for name in names:
        for job in planned(name, *(() if name == "vgg6_report_standin" else (f"seed={seeds}",))):
            classifies = "CrossEntropy" in job.config["loss"]["_target_"]
            shift = sum(by for part, by in (level or {}).items() if part in job.directory.name)
            more = job.config["seed"] % 10 + 0.01 * (crc32(job.directory.name.encode()) % 11)
            best = (0.89 + 0.001 * more if classifies else 20.0 + 0.5 * more) + shift
            make_record(job, outputs / name / job.directory.name, best, tested=BY_NAME[name].tested is not None)
    return Material(outputs, outputs.parent / "figures")


@pytest.fixture(autouse=True)
def _fewer_seeds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies of fewer seeds than their experiments have are whole all the same."""
    if "in_part" not in request.node.name:
        monkeypatch.setattr(page, "runs_of", lambda name: 1)


# --- numbers


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
    ],
)
def test_numbers_have_three_digits_or_all_before_the_point(value: float, text: str) -> None:
    assert number(value) == text


# --- the page


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
    m = made(tmp_path / "outputs", "concrete_final", seeds="range(1,21)")
    made(tmp_path / "outputs", "vgg6_winner", seeds="42")
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
    m = made(tmp_path / "outputs", "concrete_architectures", level={"[128,64]": -3.0})
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
    m = made(tmp_path / "outputs", "concrete_optimizers")
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
    m = made(tmp_path / "outputs", "concrete_depths", level={"depth=128": factor * BASELINE - 20})
    section = concrete.depths(m)
    assert section.claims[0].concluded.startswith(verdict)
    cells = row(section.blocks, "128")
    assert cells[3] == f"{reports.DEPTH_128:.1f}"
    assert cells[4] == ("5 of 5" if verdict == "holds" else "0 of 5")
    assert (tmp_path / "figures" / "concrete_depths.png").stat().st_size < 60_000


@pytest.fixture
def boosted(tmp_path: Path) -> tuple[Material, pd.DataFrame]:
    m = made(tmp_path / "outputs", "concrete_candidates")
    made(tmp_path / "outputs", "concrete_best", seeds="range(1,21)")
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
    m = made(tmp_path / "outputs", "mlp_activations")
    section = fashion_mnist.activations_and_optimizers(m)
    runs = load_runs(tmp_path / "outputs" / "mlp_activations").runs
    mine = runs[(runs["activation"] == "relu") & (runs["optim"] == "adam")]["best_val_acc"]
    cells = row(section.blocks, "best validation accuracy")
    assert cells[1] == "89.65 %" and cells[2].startswith(f"{100 * mine.mean():.2f} % [")
    assert section.claims[0].concluded.startswith("reproduced")


def test_the_winner_says_how_far_it_came(tmp_path: Path) -> None:
    m = made(tmp_path / "outputs", "vgg6_winner", seeds="42")
    section = vgg6.winner(m)
    assert row(section.blocks, "best validation accuracy")[1] == "0.861"
    assert "ours, 30 epochs" in "".join(section.blocks)


def test_of_the_reports_runs_the_confounded_are_counted(tmp_path: Path) -> None:
    m = made(tmp_path / "outputs", "vgg6_report_standin")
    section = vgg6.the_reports_runs(m)
    pairs = comparison_csv(compare(load_runs(tmp_path / "outputs" / "vgg6_report_standin")))
    confounded = (pairs["verdict"] == "confounded").sum()
    assert confounded > 0
    assert section.claims[0].ours.startswith(f"{confounded} of {len(pairs)} pairs")
    assert "34 different runs" in "".join(section.blocks)


# --- boosting


def test_trees_see_the_rows_of_the_run_and_no_encoding(tmp_path: Path) -> None:
    [job] = [job for job in planned("concrete_best", "seed=3") if "split=random" in job.directory.name]
    make_record(job, tmp_path / "run", 20.0)
    found = boosting.fit_and_test(tmp_path / "run")
    assert (found["train"], found["test"]) == (927, 103)
    # the same split, by hand: validation first, then test, of the order that the seed gives
    order = torch.randperm(1030, generator=make_generator(3, "split")).numpy()
    rows = pd.read_csv(CONCRETE)
    tested = rows.iloc[order[103:206]]
    others = rows.iloc[np.concatenate([order[206:], order[:103]])]
    trees = GradientBoostingRegressor(n_estimators=800, max_depth=5, random_state=3).fit(
        others.drop(columns="strength"), others["strength"]
    )
    mse = np.mean((trees.predict(tested.drop(columns="strength")) - tested["strength"]) ** 2)
    assert found["test_mse"] == pytest.approx(mse, rel=0.05), "but for rounding of features, which moves a few cuts"


# --- making


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would have been run; those with "fails" in them fail."""
    calls: list[list[str]] = []

    class Done:
        def __init__(self, command: list[str]):
            calls.append(command[1:])
            self.returncode = int(any("fails" in word for word in command))

    monkeypatch.setattr(making.subprocess, "run", lambda command, check: Done(command))
    return calls


def test_studies_are_made_tested_once_and_a_failure_stops_no_other(tmp_path: Path, ran: list[list[str]]) -> None:
    made(tmp_path / "outputs", "concrete_final")
    chosen = [Study("fails", tested="last"), BY_NAME["concrete_final"], BY_NAME["vgg6_init"]]
    failed = making.make(chosen, ["data.verify=false"], Console(quiet=True))
    assert ran == [
        ["train.py", "--multirun", "experiment=fails", "hydra/launcher=parallel"],
        ["train.py", "--multirun", "experiment=concrete_final", "hydra/launcher=stacked"],  # tested already
        ["train.py", "--multirun", "experiment=vgg6_init", "hydra/launcher=parallel", "data.verify=false"],
    ]
    assert failed == ["python train.py --multirun experiment=fails hydra/launcher=parallel"]
    edit_summary(tmp_path / "outputs" / "concrete_final" / "seed=2", test={})
    ran.clear()
    assert making.make([BY_NAME["concrete_final"]], [], Console(quiet=True)) == []
    assert ran[1] == ["evaluate.py", "run=outputs/concrete_final", "--checkpoint", "last"]


def test_the_command(tmp_path: Path, ran: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"concrete_depth.*concrete_depths"):
        command.main(["concrete_depth"])
    command.main(["--list"])
    assert len(capsys.readouterr().out.strip().splitlines()) == len(STUDIES)
    with pytest.raises(UserError, match=r"no train\.py here"):
        command.main(["--write"])
    (tmp_path / "train.py").touch()
    command.main(["--write"])
    assert not ran and "not made yet" in " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "STUDIES.md").exists()
    command.main(["concrete_depths"])
    assert [call[2] for call in ran] == ["experiment=concrete_depths"]


def test_trees_of_other_runs_or_other_data_are_fitted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "OUTPUTS", tmp_path)
    for run, sha in (("seed=1", "a"), ("seed=2", "b")):
        (tmp_path / "nets" / run).mkdir(parents=True)
        (tmp_path / "nets" / run / "summary.json").write_text(
            json.dumps({"status": "completed", "data": {"sha256": sha}})
        )
    assert not making.boosted("nets")
    for rows, same in (
        ({"seed=1": "a", "seed=2": "b"}, True),
        ({"seed=1": "a"}, False),
        ({"seed=1": "a", "seed=2": "c"}, False),
    ):
        pd.DataFrame({"run": list(rows), "data": list(rows.values())}).to_csv(
            tmp_path / "nets" / boosting.FILE, index=False
        )
        assert making.boosted("nets") == same
