"""The least time that a loop needs: its matrix products and convolutions alone, and its memory traffic alone."""

import statistics
from collections.abc import Callable

import torch
from timing import seconds
from torch import Tensor, nn

LEAST_SECONDS = 0.1  # of a measurement, unless three calls take longer


def time_median(work: Callable[[], object]) -> float:
    """Return the median seconds of a call, after one that warms up."""
    work()
    times: list[float] = []
    while len(times) < 3 or sum(times) < LEAST_SECONDS:
        times.append(seconds(work))
    return statistics.median(times)


def time_arithmetic(network: nn.Module, inputs: Tensor, trains: bool = True, runs: int = 1) -> float:
    """Return the seconds that the products of one step take, on tensors of the same shapes and nothing else.

    Those of several runs are batched products, of linear layers alone.

    Each linear and convolutional layer is multiplied with its input; with `trains` its gradient also with its input and
    its weight, where a layer comes before it. No activations, loss, autograd or Python around them.
    """
    met: list[tuple[nn.Module, Tensor]] = []
    layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    handles = [m.register_forward_hook(lambda module, args, output: met.append((module, args[0]))) for m in layers]
    with torch.no_grad():
        network(inputs)
        for handle in handles:
            handle.remove()
        return sum(_time_layer(layer, given, trains, i > 0, runs) for i, (layer, given) in enumerate(met))


def _time_layer(layer: nn.Module, given: Tensor, trains: bool, passes_on: bool, runs: int) -> float:
    output = torch.randn_like(layer(given))
    weight = layer.weight
    assert isinstance(weight, Tensor)
    if isinstance(layer, nn.Conv2d):
        shape = (layer.stride, layer.padding, layer.dilation)
        times = [time_median(lambda: torch.nn.functional.conv2d(given, weight, None, *shape))]
        if trains:
            options = (None, *shape, False, [0, 0], 1, [passes_on, True, False])
            backward = torch.ops.aten.convolution_backward
            times.append(time_median(lambda: backward(output, given, weight, *options)))
        return sum(times)
    if runs > 1:
        given, weight, output = (t.expand(runs, *t.shape).contiguous() for t in (given, weight, output))
    times = [time_median(lambda: given @ weight.mT)]
    if trains:
        times.append(time_median(lambda: output.mT @ given))
        if passes_on:
            times.append(time_median(lambda: output @ weight))
    return sum(times)


def time_traffic(size: int, reads: int, writes: int = 0) -> float:
    """Return the seconds in which `size` bytes are read and written so many times: copies and sums, nothing else."""
    values = torch.randn(max(1, size // 4))
    other = torch.empty_like(values)
    copies = min(reads, writes) * time_median(lambda: other.copy_(values)) if writes else 0.0
    return copies + (reads - min(reads, writes)) * time_median(values.sum)


def time_epoch(
    network: nn.Module, inputs: Tensor, steps: int, validation: Tensor, validations: int, runs: int = 1
) -> float:
    """Return the seconds of the floor of an epoch with Adam: products and traffic of its steps and of its validation.

    Of the traffic it counts what the update reads (weight, gradient, two averages) and writes (all but the gradient).

    Args:
        inputs, validation: a batch of each.
        steps, validations: number of batches of each.
        runs: number of networks of this shape that are trained as one.
    """
    size = runs * sum(4 * p.numel() for p in network.parameters())
    step = time_arithmetic(network, inputs, runs=runs) + time_traffic(size, reads=4, writes=3)
    return steps * step + validations * time_arithmetic(network, validation, False, runs)


def show_shares(floor: float, plain: float, ours: float) -> None:
    """Print how a run's seconds divide into the floor, what a plain loop takes beyond it, and what is ours."""
    shares = [part / ours for part in (floor, plain - floor, ours - plain)]
    print("  floor {:.0%} ({:.4g} s), the rest of the plain loop {:.0%}, ours {:.0%}".format(
        shares[0], floor, *shares[1:]), flush=True)  # fmt: skip
