"""Time runs, as ratios to loops that a user would write by hand; all in one process, with equal threads.

    make bench            (or: python benchmarks/bench.py [--threads N] [--rounds N] [NAME ...]; --help has the names)

A figure is the median over rounds of the ratio of two times taken one after the other, so that a machine whose speed
changes spoils few of them. The data are random numbers in the shapes of the real ones; content does not change times
(but of `studies` and `stacks`, which need Fashion-MNIST in data/ or PARIBUS_DATA).
"""

import argparse

import torch
from commands import bench_analysis, bench_config, bench_stacks, bench_start, bench_studies
from instruments import bench_instruments
from loops import bench_memory, bench_mlp, bench_regression, bench_vgg6
from timing import SCRATCH

from paribus.process import keep_freed_memory

if __name__ == "__main__":
    benches = {
        "config": bench_config,
        "start": bench_start,
        "regression": bench_regression,
        "mlp": bench_mlp,
        "vgg6": bench_vgg6,
        "memory": bench_memory,
        "instruments": bench_instruments,
        "studies": bench_studies,
        "stacks": bench_stacks,
        "analysis": bench_analysis,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[[], *benches], help="default: all")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # as train.py does; the loops written by hand have it too
    print(f"torch {torch.__version__}, {options.threads} threads, median of {options.rounds} rounds", flush=True)
    with SCRATCH:
        for name in options.what or benches:
            benches[name](options.rounds)
