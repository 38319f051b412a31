"""Look at a data set before anything is trained: `python -m paribus.data --help` says how."""

from paribus.cli.data import main

if __name__ == "__main__":
    main()
