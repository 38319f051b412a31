"""Follow a study while it is trained, in a browser: `paribus watch outputs/STUDY`."""

import argparse
import sys
from functools import partial

from paribus.cli.errors import report_errors
from paribus.errors import UserError
from paribus.paths import parse_path

DESCRIPTION = """\
Show a study on a page that follows it while it is trained: runs, curves, time left, and the verdict once all planned
runs are there. From the page, a run or the study can be stopped so that it can be resumed.

The page is for this machine. From another one:  ssh -L PORT:127.0.0.1:PORT THIS-MACHINE, with --port PORT here.
"""


def main() -> None:
    """Serve the page of the study that sys.argv names, until Ctrl-C. Exit with 1 after an error."""
    parser = argparse.ArgumentParser(
        prog="paribus watch", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=partial(parse_path, option="DIR"), metavar="DIR", help="a study, or a run")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="of this machine (default: a free one)")
    with report_errors():
        options = parser.parse_args()
        if not 0 <= options.port <= 65535:
            raise UserError(f"--port is {options.port}; it must be a whole number from 0 (a free one) to 65535.")
        from multirun_analysis.watch.followed_study import FollowedStudy
        from multirun_analysis.watch.server import open_server

        with open_server(FollowedStudy(options.path), options.port) as (server, address):
            print(f"{options.path} is shown at\n\n  {address}\n\nuntil you press Ctrl-C here.", flush=True)  # noqa: T201
            server.serve_forever()
    sys.exit(0)
