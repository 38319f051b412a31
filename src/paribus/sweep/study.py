"""Carry out a sweep: plan, execute, report."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import configure_log
from omegaconf import DictConfig
from rich.console import Console
from rich.text import Text

from paribus.errors import UserError
from paribus.formatting import format_duration
from paribus.installation import name_commands
from paribus.run.attempt import Outcome
from paribus.run.spec import to_plain_list
from paribus.sweep.board import Board
from paribus.sweep.columns import describe_columns
from paribus.sweep.execute import Executor, execute_plan
from paribus.sweep.expand import make_composer
from paribus.sweep.labels import label_runs
from paribus.sweep.means import tabulate_means
from paribus.sweep.naming import format_command, name_study, require_same_study
from paribus.sweep.plan import PlannedRun, plan_study
from paribus.sweep.tables import announce_study, tabulate_study, warn_of_changed_data
from paribus.terminal import make_console


def run_study(
    overrides: Sequence[Sequence[str]],
    loader: ConfigLoader,
    study: DictConfig,
    make_executor: Callable[[Path], Executor],
    live: bool,
    elsewhere: bool = False,
) -> list[PlannedRun]:
    """Execute the unfinished runs of a study, one for each list of overrides, and return all runs.

    `study` is the configuration with which the sweep was started, with the node `hydra`. With study.dry_run, only show
    what would be executed. `elsewhere` means on other machines. Raises UserError, before any run starts, for an invalid
    run.
    """
    console = make_console()
    if not console.is_terminal:
        console = make_console(width=200)  # a file has no narrow window
    named_by_experiment = name_study(study)
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
    executor = make_executor(directory)
    with console.status(f"Reading the configurations of {len(overrides)} runs"):
        planned, shared = label_runs(plan_study(overrides, composer, study))
    if named_by_experiment:
        require_same_study(planned, directory)
    shown = directory.relative_to(Path.cwd()) if directory.is_relative_to(Path.cwd()) else directory
    announce_study(console, planned, shown, shared)
    if study.dry_run:
        console.print(tabulate_study(planned, shown, to_do=True))
        from paribus.sweep.estimate import check_buildable, estimate_seconds

        with console.status("Building each setting once"):
            check_buildable(planned, elsewhere)
        with console.status("Estimating the time"):
            seconds = estimate_seconds(planned, directory)
        about = "unknown before their first epoch" if seconds is None else f"about {format_duration(seconds)}"
        console.print(f"Nothing was run (dry_run=true). Estimated time of all unfinished runs in sequence: {about}.")
        return planned
    if all(run.finished for run in planned):
        print_results(console, planned, shown)
        return planned
    directory.mkdir(parents=True, exist_ok=True)
    describe_columns(planned, directory)
    board = Board(console, planned, directory, live)
    finished = sum(run.finished for run in planned)
    typed = [*to_plain_list(study.hydra.overrides.task), *to_plain_list(study.hydra.overrides.hydra)]
    board.note(f"{len(planned)} runs, {finished} of them finished: {shlex.join(typed)}")

    def on_outcome(run: PlannedRun, outcome: Outcome) -> None:
        configure_log(study.hydra.hydra_logging, study.hydra.verbose)  # the run has configured its own
        board.report_run(run, outcome)

    try:
        with board.show():
            configure_log(study.hydra.hydra_logging, study.hydra.verbose)  # its lines go above the board
            execute_plan(planned, executor, on_outcome)
    except KeyboardInterrupt:
        configure_log(study.hydra.hydra_logging, study.hydra.verbose)
        board.note("interrupted")
        for run in planned:
            if not run.finished:
                board.runs[run.job.directory] = run.update(Outcome())
        raise
    finally:
        configure_log(study.hydra.hydra_logging, study.hydra.verbose)
        describe_columns(list(board.runs.values()), directory)
        print_results(console, list(board.runs.values()), shown, format_command(study))
    return list(board.runs.values())


def print_results(
    console: Console, runs: Sequence[PlannedRun], directory: Path, unfinished_command: str | None = None
) -> None:
    """Print the runs of a study, the means over their seeds, and the command that compares them.

    `unfinished_command` finishes the study; None where the same command does.
    """
    warn_of_changed_data(console, runs)
    console.print(tabulate_study(runs, directory, again=unfinished_command is None))
    if unfinished_command is not None and not all(run.finished for run in runs):
        text = f"This command finishes the other runs, and retries those that failed:\n  {unfinished_command}"
        console.print(Text(text), soft_wrap=True)
    if sum(run.finished for run in runs) < 2:
        return
    means = tabulate_means(runs)
    if means is not None:
        console.print(means)
    command = name_commands(f"python -m multirun_analysis {shlex.quote(str(directory))}")
    console.print(Text(f"What the differences are worth: {command}"), soft_wrap=True)
