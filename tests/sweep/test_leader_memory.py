"""What a study costs its leader does not grow with what its runs have recorded."""

import json
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import open_dict
from rich.console import Console

from paribus import record
from paribus.config.compose import Composer
from paribus.run.attempt import Outcome
from paribus.run.spec import Job
from paribus.sweep.board import Board
from paribus.sweep.execute import execute_plan
from paribus.sweep.expand import expand_sweep
from paribus.sweep.plan import plan_study

RUNS = 100
MOST_PLANNED, MOST_FINISHED = 20_000, 4_000  # bytes a run


@pytest.mark.slow
def test_a_run_costs_the_leader_a_few_kilobytes(tmp_path: Path) -> None:
    """Each run's summary has 60 kB here, and a composition takes 200 kB: neither is kept."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        study = loader.load_configuration("train", ["study=s"], RunMode.MULTIRUN)
        with open_dict(study):
            study.hydra.sweep.dir = str(tmp_path / "s")
        sweep = expand_sweep(["model=regression", f"seed=range({RUNS})"], loader, study, None, None)
        composer = Composer(loader, "train")
        plan_study(sweep[:2], composer, study)
        tracemalloc.start()
        try:
            planned = plan_study(sweep, composer, study)
            assert tracemalloc.get_traced_memory()[0] / RUNS < MOST_PLANNED
            (tmp_path / "s").mkdir()
            board = Board(Console(file=(tmp_path / "shown").open("w")), planned, tmp_path / "s", live=False)
            after: list[int] = []

            def finish_all(jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
                for job in jobs:
                    job.directory.mkdir()
                    whole: dict[str, Any] = {"status": "completed", "identity": record.identify(job.config),
                                             "config": job.config, "statistics": {"best_val_loss": 1.0},
                                             "instruments": {f"key {i}": float(i) for i in range(2000)}}  # fmt: skip
                    (job.directory / record.METRICS).touch()
                    (job.directory / record.SUMMARY).write_text(json.dumps(whole))
                    yield job, Outcome()
                    after.append(tracemalloc.get_traced_memory()[0])

            execute_plan(planned, finish_all, board.report_run)  # type: ignore[arg-type]
        finally:
            tracemalloc.stop()
    assert all(run.finished for run in board.runs.values())
    assert (after[-1] - after[20]) / (RUNS - 21) < MOST_FINISHED
