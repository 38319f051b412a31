"""The analysis as a command, in this process."""

import sys

from multirun_analysis import __main__ as command


def analyse(*arguments: object) -> int:
    """The command in this process; its exit code."""
    argv, sys.argv = sys.argv, ["multirun_analysis", *map(str, arguments)]
    try:
        with command.report_errors(command.error_code(1)):
            command.main()
        return 0
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.argv = argv
