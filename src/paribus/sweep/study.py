"""Carry out a sweep: plan, execute, report."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import configure_log
from omegaconf import DictConfig

from paribus.errors import UserError
from paribus.formatting import format_duration
from paribus.run.attempt import Outcome
from paribus.run.spec import to_plain_list
from paribus.sweep.board import Board
from paribus.sweep.execute import Executor, execute_plan
from paribus.sweep.expand import make_composer
from paribus.sweep.plan import PlannedRun, plan_study
from paribus.sweep.tables import announce_study, tabulate_study, warn_of_changed_data
from paribus.terminal import make_console


def run_study(
    overrides: Sequence[Sequence[str]],
    loader: ConfigLoader,
    study: DictConfig,
    make_executor: Callable[[Path], Executor] | None,
    live: bool,
) -> list[PlannedRun]:
    """Execute the unfinished runs of a study, one for each list of overrides, and return all runs.

    `study` is the configuration with which the sweep was started, with the node `hydra`. Without `make_executor`, only
    show what would be executed. Raises UserError, before any run starts, for an invalid run.
    """
    console = make_console()
    if not console.is_terminal:
        console = make_console(width=200)  # a file has no narrow window
    directory = Path(study.hydra.sweep.dir).absolute()
    name = str(study.study)
    if not name.strip() or Path(name).is_absolute() or ".." in Path(name).parts:
        raise UserError(f"study is {name!r}; it must be the name of a directory in outputs/.")
    if study.dry_run not in (True, False):
        raise UserError(f"dry_run is {study.dry_run!r}; it must be true or false.")
    if study.hydra.job.chdir or study.hydra.callbacks:
        raise UserError("hydra.job.chdir and hydra.callbacks have no effect on the runs of a study. Leave them out.")
    composer = make_composer(loader, study)
    # first, since a package that it needs may be missing
    executor = None if make_executor is None else make_executor(directory)
    with console.status(f"Reading the configurations of {len(overrides)} runs"):
        planned = plan_study(overrides, composer, study)
    shown = directory.relative_to(Path.cwd()) if directory.is_relative_to(Path.cwd()) else directory
    announce_study(console, planned, shown)
    if executor is None:
        console.print(tabulate_study(planned, shown, console.width, to_do=True))
        from paribus.sweep.estimate import check_buildable, estimate_seconds

        with console.status("Building each setting once"):
            check_buildable(planned)
        with console.status("Estimating the time"):
            seconds = estimate_seconds(planned, directory)
        about = "unknown before their first epoch" if seconds is None else f"about {format_duration(seconds)}"
        console.print(f"Nothing was run (dry_run=true). Estimated time of all unfinished runs in sequence: {about}.")
        return planned
    if all(run.finished for run in planned):
        warn_of_changed_data(console, planned)
        console.print(tabulate_study(planned, shown, console.width))
        return planned
    directory.mkdir(parents=True, exist_ok=True)
    board = Board(console, planned, directory, live)
    finished = sum(run.finished for run in planned)
    typed = [*to_plain_list(study.hydra.overrides.task), *to_plain_list(study.hydra.overrides.hydra)]
    board.note(f"{len(planned)} runs, {finished} of them finished: {shlex.join(typed)}")

    def on_outcome(run: PlannedRun, outcome: Outcome) -> None:
        configure_log(study.hydra.hydra_logging, study.hydra.verbose)  # the run has configured its own
        board.report_run(run, outcome)

    try:
        with board.show():
            execute_plan(planned, executor, on_outcome)
    except KeyboardInterrupt:
        configure_log(study.hydra.hydra_logging, study.hydra.verbose)
        board.note("interrupted")
        for run in planned:
            if not run.finished:
                board.runs[run.job.directory] = run.update(Outcome())
        raise
    finally:
        warn_of_changed_data(console, list(board.runs.values()))
        console.print(tabulate_study(list(board.runs.values()), shown, console.width))
    return list(board.runs.values())
