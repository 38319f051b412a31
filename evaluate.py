"""Evaluate finished runs on the test set: `python evaluate.py --help` says how."""

from paribus.cli.evaluate import main

if __name__ == "__main__":
    main()
