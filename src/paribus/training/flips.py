"""Evaluate images together with their mirror images."""

from collections.abc import Callable

from torch import Tensor


def compute_outputs(network: Callable[[Tensor], Tensor], inputs: Tensor, average_flips: bool) -> Tensor:
    """Compute the outputs of `network` for inputs (..., height, width) that are evaluated.

    With `average_flips` each is the mean of the outputs for the image and its mirror image (as Jordan, 2024,
    arXiv:2404.00498, has it; Simonyan & Zisserman, 2015, average the probabilities).
    """
    output = network(inputs)
    return (output + network(inputs.flip(-1))) / 2 if average_flips else output
