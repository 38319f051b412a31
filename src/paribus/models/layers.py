"""The layers of any network, in the order in which data passes through them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layer:
    """A module without children, as one pass of data met it."""

    path: str  # as in network.get_submodule
    kind: str
    output_shape: tuple[int, ...]  # of one sample
    parameters: int


def trace(network: nn.Module, inputs: Tensor) -> tuple[Any, list[Layer]]:
    """What `network` returns of `inputs` in evaluation mode, and its layers in the order of their first use.

    Draws no random number and leaves the network as it was.
    """
    layers: dict[str, Layer] = {}

    def note(path: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()
            count = sum(p.numel() for p in module.parameters())
            layers.setdefault(path, Layer(path, type(module).__name__, shape, count))

        return hook

    leaves = [(path, module) for path, module in network.named_modules() if not any(module.children())]
    handles = [module.register_forward_hook(note(path)) for path, module in leaves]
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            output = network(inputs)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
    return output, list(layers.values())


def table(layers: list[Layer], total: int) -> str:
    """The layers as text, a line each; then parameters that belong to none of them, and `total`, the network's."""
    rows = [("layer", "kind", "output", "parameters")]
    rows += [(x.path, x.kind, "x".join(map(str, x.output_shape)) or "1", f"{x.parameters:,}") for x in layers]
    elsewhere = total - sum(x.parameters for x in layers)
    if elsewhere:
        rows.append(("elsewhere", "", "", f"{elsewhere:,}"))
    rows.append(("total", "", "", f"{total:,}"))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join(
        "  ".join((*(cell.ljust(w) for cell, w in zip(row[:3], widths, strict=False)), row[3].rjust(widths[3])))
        for row in rows
    )
