"""Train one run, or with --multirun the runs of a study: `python train.py --help` says how."""

from paribus.cli.train import main

if __name__ == "__main__":
    main()
