"""What it does to a step of a large network that malloc keeps what the last one freed (paribus.importing)."""

import statistics
import time
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

STEPS = 8


def in_turns(rounds: int, threads: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Of each round, first without and then with: seconds a step and the process's memory at most, in megabytes."""
    without: list[tuple[float, float]] = []
    kept: list[tuple[float, float]] = []
    for _ in range(rounds):
        for keep, found in ((False, without), (True, kept)):
            with get_context("spawn").Pool(1) as pool:
                found.append(pool.apply(vgg6_step, (keep, threads)))
    return without, kept


def vgg6_step(keep: bool, threads: int) -> tuple[float, float]:
    from paribus.models.vgg6 import VGG6
    from paribus.process import keep_freed_memory

    if keep:
        keep_freed_memory()
    torch.set_num_threads(threads)
    images, labels = torch.randn(128, 3, 32, 32), torch.randint(10, (128,))
    model = VGG6((3, 32, 32), 10, nn.ReLU)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    took = []
    for _ in range(STEPS + 2):  # the first two warm up
        start = time.perf_counter()
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        took.append(time.perf_counter() - start)
    lines = Path("/proc/self/status").read_text().splitlines()  # ru_maxrss begins with that of the process before it
    [most] = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return statistics.median(took[2:]), most / 1024
