"""Which runs agree in all else: what a choice brings along, what was set, and what follows from it."""

from pathlib import Path

from made_studies import grid, only, study
from records import edit_summary, write_run

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import compare
from multirun_analysis.compare.design import Kind
from multirun_analysis.report import tables

SEEDS = (1, 2, 3)


def test_what_a_choice_brings_along_belongs_to_it_and_what_was_set_confounds(tmp_path: Path) -> None:
    runs = [{"optim": o, "seed": s, "losses": (9.0, s + (o == "sgd"))} for o in ("adam", "sgd") for s in SEEDS]
    found = study(tmp_path / "default", runs)
    assert found.factors == ["optim"] and not found.confounded
    assert only(found.results).contest.kind == Kind.DEFAULTS
    runs = [dict(run, optim__lr=0.5) if run["optim"] == "sgd" else run for run in runs]
    found = study(tmp_path / "set", runs)
    assert found.factors == ["optim", "optim.lr"] and not found.results
    assert {pair.also for pair in found.confounded if pair.factor == "optim"} == {("optim.lr",)}


def test_equal_values_agree_whether_they_were_typed_or_not(tmp_path: Path) -> None:
    """sgd at the typed rate 0.01, adam at 0.01 by default: nothing else differs."""
    runs = [{"optim": o, "seed": s, "losses": (9.0, s)} for o in ("adam", "sgd") for s in (1, 2)]
    found = study(tmp_path, [dict(run, optim__lr=0.01) if run["optim"] == "sgd" else run for run in runs])
    assert [r.factor for r in found.results] == ["optim"] and not found.confounded


def test_width_and_depth_are_one_architecture_beside_hidden(tmp_path: Path) -> None:
    deep = {"model__width": 32, "model__depth": 2, "model__hidden": (32, 32)}
    for seed in (1, 2):
        write_run(tmp_path / "study" / f"a{seed}", seed=seed)
        run = write_run(tmp_path / "study" / f"b{seed}", seed=seed, **deep)
        edit_summary(run, set={"model.width": 32, "model.depth": 2})
    found = compare(load_runs(tmp_path / "study"))
    assert found.factors == ["model.hidden"] and not found.confounded


def test_a_default_that_differs_between_two_levels_throughout_confounds_them(tmp_path: Path) -> None:
    for i, run in enumerate(grid({"relu": [1.0, 1.1, 1.2], "tanh": [5.0, 5.2, 5.1]})):
        directory = write_run(tmp_path / "study" / str(i), **run)
        if run["activation"] == "tanh":
            config = load_runs(directory).summaries[str(i)]["config"]
            edit_summary(directory, config={**config, "optim": {**config["optim"], "lr": 0.5}})
    found = compare(load_runs(tmp_path / "study"))
    assert not found.results and found.confounded[0].also == ("optim.lr",)


def test_data_whose_content_differs_are_not_compared(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.1, 1.2], "tanh": [5.0, 5.2, 5.1]})
    for run in runs:
        run["more"] = {"data": {"sha256": ("a" if run["activation"] == "relu" else "b") * 64}}
    found = study(tmp_path, runs)
    assert not found.results and found.confounded[0].also == ("data content",)
    assert found.blocks == ["data content"]


def test_what_only_one_option_has_belongs_to_it(tmp_path: Path) -> None:
    """The step schedule with a gamma of its own against none, which has no gamma."""
    runs = [{"seed": s, "losses": (90.0, 9.0 + s + 0.01 * s * s)} for s in SEEDS]
    runs += [{"scheduler": "step", "scheduler__gamma": 0.5, "seed": s, "losses": (90.0, 1.0 + s)} for s in SEEDS]
    found = study(tmp_path / "one", runs)
    assert [(r.contest.kind, r.winner) for r in found.results] == [(Kind.CONTROLLED, "step")] and not found.confounded
    more = [{"scheduler": "step", "scheduler__gamma": g, "seed": s, "losses": (90.0, 5.0 + s)}
            for g in (0.3, 0.7) for s in SEEDS]  # fmt: skip
    result = only(study(tmp_path / "several", runs + more).of("scheduler"))
    assert result.contest.kind == Kind.TUNED and result.winner == "step"
    assert {level.level: level.trials for level in result.levels} == {"none": 1, "step": 3}


def test_what_follows_from_another_value_does_not_confound_it(tmp_path: Path) -> None:
    """T_max is the number of epochs unless it is set."""
    for i, (epochs, seed) in enumerate((e, s) for e in (10, 20) for s in SEEDS):
        directory = write_run(tmp_path / "s" / str(i), (9.0, epochs / 10 + seed), seed=seed, scheduler="cosine",
                              trainer__max_epochs=epochs)  # fmt: skip
        config = load_runs(directory).summaries[str(i)]["config"]
        edit_summary(directory, config={**config, "scheduler": {"_target_": "cosine", "T_max": epochs}})
    found = compare(load_runs(tmp_path / "s"))
    assert [r.contest.kind for r in found.of("trainer.max_epochs")] == [Kind.CONTROLLED] and not found.confounded


def test_null_is_a_level_like_others(tmp_path: Path) -> None:
    runs = [
        {"trainer__gradient_clip_val": level, "seed": s, "losses": (90.0, 20 * i + s + 0.01 * s * s * i)}
        for i, level in enumerate((None, 0.5)) for s in SEEDS
    ]  # fmt: skip
    found = study(tmp_path, runs)
    assert only(found.of("trainer.gradient_clip_val")).winner == "null"
    assert tables.runs(found)["trainer.gradient_clip_val"].tolist().count("null") == 3
