"""The layers of any network, in the order in which data pass through them, and what comes out of each."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

PARAMETRIZATIONS = ".parametrizations."  # where torch.nn.utils.parametrize keeps what it makes a weight of
NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass(eq=False)
class Call:
    """A module without children, or with weights of its own, as a pass of data met it."""

    path: str  # as in network.get_submodule
    module: nn.Module
    input: Any  # the first argument
    output: Any = None

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of one sample; () for what is no tensor."""
        return tuple(self.output.shape[1:]) if isinstance(self.output, Tensor) else ()

    @property
    def kind(self) -> str:
        return type(self.module).__name__

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.module.parameters(recurse=False))


@dataclass(frozen=True, eq=False)
class WeightLayer:
    """A linear, convolutional or other layer with a weight of two or more axes; normalisations are none.

    Attributes:
        path: the module's; where its weight is not called `weight`, the parameter's own path.
        depth: its place in the order of use, 0 nearest the input.
        label: depth and path, so that labels sorted as text are in order of depth.
        module: the module that holds the weight.
        weight, bias: its parameters.
        route: the modules from its output to its activation, the last of which is that; empty without one.
    """

    path: str
    depth: int
    label: str
    module: nn.Module
    weight: nn.Parameter
    bias: nn.Parameter | None
    route: tuple[nn.Module, ...] = ()

    @property
    def activation(self) -> nn.Module | None:
        """The module whose output is this layer's activation; None: the layer's own output is."""
        return self.route[-1] if self.route else None

    @property
    def tensors(self) -> list[tuple[str, nn.Parameter]]:
        return [("weight", self.weight)] + ([("bias", self.bias)] if self.bias is not None else [])

    @property
    def fan_in(self) -> int:
        """As torch counts it: features, or channels of a group times the positions under the kernel."""
        return self.weight[0].numel()

    @property
    def unit_axis(self) -> int:
        """The axis of the output that counts units: channels of a convolution, features of all others."""
        return 1 if isinstance(self.module, nn.modules.conv._ConvNd) else -1


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """`network` in evaluation mode and without gradients; then each of its modules in the mode it was in."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def trace_calls(network: nn.Module, inputs: Tensor) -> tuple[Any, list[Call]]:
    """What `network` returns of `inputs` in evaluation mode, and the calls of its modules, in their order.

    Draws no random number and leaves the network as it was.
    """
    calls: list[Call] = []
    running: list[Call] = []

    def begin(path: str, module: nn.Module, args: Any) -> None:
        running.append(Call(path, module, args[0] if args else None))
        calls.append(running[-1])

    def end(module: nn.Module, args: Any, output: Any) -> None:
        running.pop().output = output

    handles: list[RemovableHandle] = []
    for path, module in network.named_modules():
        own = any(True for _ in module.parameters(recurse=False)) or hasattr(module, "parametrizations")
        if own or not any(module.children()):
            handles.append(module.register_forward_pre_hook(partial(begin, path)))
            handles.append(module.register_forward_hook(end))
    try:
        with evaluation_mode(network):
            output = network(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return output, calls


def find_weight_layers(network: nn.Module, calls: Sequence[Call]) -> list[WeightLayer]:
    """The layers of `network` that have weights, in the order of their first use in `calls`.

    A module that was not called takes the place of the one that holds it, if that was (attention reaches into its
    output projection), and comes last otherwise. A parameter that two modules share belongs to the first. Of a
    parametrised weight (weight_norm) the tensor that is trained counts, without its scale.
    """
    first: dict[nn.Module, int] = {}
    for i, call in enumerate(calls):
        first.setdefault(call.module, i)
    modules = dict(network.named_modules())
    found: list[tuple[int, str, nn.Module, nn.Parameter, nn.Parameter | None]] = []
    taken: set[int] = set()
    for path, module in modules.items():
        if isinstance(module, NORMS):
            continue
        holder, _, parametrised = path.partition(PARAMETRIZATIONS)
        owner = modules[holder]
        own = dict(owner.named_parameters(recurse=False))
        for name, weight in module.named_parameters(recurse=False):
            scale = parametrised and weight.numel() == len(weight)
            if weight.ndim < 2 or id(weight) in taken or scale:
                continue
            taken.add(id(weight))
            name = parametrised or name
            bias = own.get(name.replace("weight", "bias"))
            full = ".".join(part for part in (holder, "" if name == "weight" else name) if part) or name
            place = first.get(owner, first.get(modules[holder.rpartition(".")[0]], len(calls)))
            found.append((place, full, owner, weight, bias if bias is not None and bias.ndim == 1 else None))
    found.sort(key=lambda entry: entry[0])  # stable: within a place in the order of definition
    owners = {module for _, _, module, _, _ in found}
    digits = len(str(max(len(found) - 1, 0)))
    return [
        WeightLayer(
            path, i, f"{i:0{digits}}_{path}", module, weight, bias, _find_route(calls, first.get(module), owners)
        )
        for i, (_, path, module, weight, bias) in enumerate(found)
    ]


def _find_route(calls: Sequence[Call], start: int | None, owners: set[nn.Module]) -> tuple[nn.Module, ...]:
    """The modules that the output of call `start` goes through, up to its activation; none where it meets none."""
    if start is None:
        return ()
    met: list[nn.Module] = []
    current = calls[start].output
    for call in calls[start + 1 :]:
        if call.input is not current or current is None:
            continue
        if call.module in owners:
            break
        met.append(call.module)
        current = call.output
    kinds = [type(module).__module__ for module in met]
    ends = [i for i, kind in enumerate(kinds) if kind == "torch.nn.modules.activation"]
    if not ends:  # a user's own: what is not torch's and has nothing to learn
        ends = [i for i, kind in enumerate(kinds) if not kind.startswith("torch.") and not any(met[i].parameters())]
    return tuple(met[: ends[0] + 1]) if ends else ()


def watch_activations(
    layers: Sequence[WeightLayer], see: Callable[[WeightLayer, Tensor], None]
) -> list[RemovableHandle]:
    """Have `see` called with each of `layers` and its activation whenever data pass through them.

    A module that is used more than once is seen each time. The handles end it. Activations that are no modules
    (torch.relu in a forward method) cannot be seen: there it is the layer's own output, as where something that is no
    module stands between layer and activation (a sum).
    """
    on_the_way: dict[WeightLayer, Tensor] = {}  # outputs that have not met their activation yet

    def enter(layer: WeightLayer, module: nn.Module, args: Any, output: Any) -> None:
        if layer.activation is not None:
            on_the_way[layer] = output
        elif isinstance(output, Tensor):
            see(layer, output)

    def pass_on(module: nn.Module, args: Any, output: Any) -> None:
        layer = next((layer for layer, tensor in on_the_way.items() if args and tensor is args[0]), None)
        if layer is None:
            return
        if module is layer.activation:
            del on_the_way[layer]
            see(layer, output)
        else:
            on_the_way[layer] = output

    # of several weights of one module, the last
    handles = [m.register_forward_hook(partial(enter, x)) for m, x in {x.module: x for x in layers}.items()]
    routes = {module for layer in layers for module in layer.route}
    return handles + [module.register_forward_hook(pass_on) for module in routes]


def format_table(calls: Sequence[Call], total: int) -> str:
    """The modules as text, a line each; then parameters that belong to none of them, and `total`, the network's."""
    first: dict[str, Call] = {}
    for call in calls:
        first.setdefault(call.path, call)
    met = list(first.values())
    rows = [("layer", "kind", "output", "parameters")]
    rows += [(x.path, x.kind, "x".join(map(str, x.output_shape)) or "1", f"{x.parameters:,}") for x in met]
    elsewhere = total - sum(x.parameters for x in met)
    if elsewhere:
        rows.append(("elsewhere", "", "", f"{elsewhere:,}"))
    rows.append(("total", "", "", f"{total:,}"))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join(
        "  ".join((*(cell.ljust(w) for cell, w in zip(row[:3], widths, strict=False)), row[3].rjust(widths[3])))
        for row in rows
    )
