"""Carry out a sweep: plan, execute, report."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import configure_log
from omegaconf import DictConfig
from rich.console import Console
from rich.text import Text

from paribus import record
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
from paribus.sweep.naming import format_command, is_dated, name_study, require_same_study
from paribus.sweep.plan import PlannedRun, count_epochs, plan_study
from paribus.sweep.recorded_plan import PlanKeeper, is_awaited
from paribus.sweep.rounds import Driver, Round, StartDriver, match_runs
from paribus.sweep.tables import (
    announce_study,
    get_planned_epochs,
    tabulate_study,
    warn_of_changed_data,
)
from paribus.terminal import make_console


def run_study(
    start: StartDriver,
    loader: ConfigLoader,
    study: DictConfig,
    make_executor: Callable[[Path], Executor],
    live: bool,
    elsewhere: bool = False,
) -> list[PlannedRun]:
    """Execute the unfinished runs of a study, round by round, and return all its runs.

    A round begins once those before it are over: their runs are finished, or failed where the round allows that.
    `study` is the configuration with which the sweep was started, with the node `hydra`. With study.dry_run, only show
    what the first unfinished round would execute. `elsewhere` means on other machines. Raises UserError, before any run
    of a round starts, for an invalid run.
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
    driver = start(composer, directory)
    shown = directory.relative_to(Path.cwd()) if directory.is_relative_to(Path.cwd()) else directory
    runs: dict[Path, PlannedRun] = {}
    keeper: PlanKeeper | None = None  # once a round has something to train
    current: Round | None = next(driver)
    try:
        while current is not None:
            with console.status(f"Reading the configurations of {len(current.overrides)} runs"):
                planned, shared = label_runs(plan_study(current.overrides, composer, study))
            if named_by_experiment and not current.name:
                require_same_study(planned, directory)
            whole = all(run.finished for run in planned)
            if not (whole and current.name):
                announce_study(console, planned, shown, shared, current.name)
            if study.dry_run and not whole:
                show_plan(console, planned, directory, shown, current.later, elsewhere)
                return list((runs | {run.job.directory: run for run in planned}).values())
            if not whole:
                directory.mkdir(parents=True, exist_ok=True)
                if keeper is None and console.is_terminal and len(planned) > 1:
                    console.print(Text(f"follow it: paribus watch {shlex.quote(str(shown))}"), soft_wrap=True)
                keeper = keeper or PlanKeeper(directory, format_command(study))
                planned = execute_round(current, planned, executor, console, keeper, study, live, runs)
            runs |= {run.job.directory: run for run in planned}
            if not current.is_over(planned):
                if current.remedy and any(run.status == record.FAILED for run in planned):
                    console.print(Text(current.remedy), soft_wrap=True)
                break
            current = _advance(driver, match_runs(current, planned))
            if current is None and not study.dry_run:
                if keeper is None and is_awaited(directory, format_command(study)):
                    keeper = PlanKeeper(directory, format_command(study))
                if keeper is not None:
                    keeper.write(Round([]), runs.values())
    finally:
        driver.close()
        if keeper is not None:
            keeper.close()
            describe_columns(list(runs.values()), directory)
        if runs and not study.dry_run:
            another = format_command(study) if keeper is not None and is_dated(study) else None
            labelled, _ = label_runs(list(runs.values()))  # a look of one seed has labels without it
            print_results(console, labelled, shown, another)
    if study.dry_run:
        show_plan(console, list(runs.values()), directory, shown, 0, elsewhere)
    return list(runs.values())


def _advance(driver: Driver, runs: list[PlannedRun]) -> Round | None:
    """Send the runs of a round to the driver, and return its next round; None after the last one."""
    try:
        return driver.send(runs)
    except StopIteration:
        return None


def show_plan(
    console: Console, planned: Sequence[PlannedRun], directory: Path, shown: Path, later: int, elsewhere: bool
) -> None:
    """Print which runs a round would execute and how long they take; build each setting once, and train nothing.

    `later` is the number of epochs that later rounds are expected to train.
    """
    from paribus.process import silence_libraries
    from paribus.sweep.estimate import check_buildable, estimate_seconds

    silence_libraries()
    console.print(tabulate_study(planned, shown, to_do=True))
    with console.status("Building each setting once"):
        check_buildable(planned, elsewhere)
    with console.status("Estimating the time"):
        seconds = estimate_seconds(planned, directory)
    about = "unknown before their first epoch" if seconds is None else f"about {format_duration(seconds)}"
    console.print(f"Nothing was run (dry_run=true). Estimated time of all unfinished runs in sequence: {about}.")
    epochs = sum(
        max(0, get_planned_epochs(run) - count_epochs(run.job.directory)) for run in planned if not run.finished
    )
    if later:
        more = f", in sequence about {format_duration(seconds / epochs * later)}" if seconds and epochs else ""
        console.print(f"Later rounds train at most {later:,} epochs more{more}.")


def execute_round(
    current: Round,
    planned: Sequence[PlannedRun],
    executor: Executor,
    console: Console,
    keeper: PlanKeeper,
    study: DictConfig,
    live: bool,
    runs: dict[Path, PlannedRun],
) -> list[PlannedRun]:
    """Execute the unfinished runs of a round, and return all its runs; also put them into `runs`, however it ends."""
    directory = keeper.directory
    keeper.write(current, (runs | {run.job.directory: run for run in planned}).values())
    describe_columns(planned, directory)
    board = Board(console, planned, directory, live, current)
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
        runs |= board.runs
        keeper.write(current, runs.values())  # some may have got the directories of another command
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
