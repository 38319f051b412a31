"""Inspect a data set before training; see `python -m paribus.data --help`."""

from paribus.cli.data import main

if __name__ == "__main__":
    main()
