"""Find the weight layers of any network in the order of their use, and observe their activations."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

PARAMETRIZATIONS = ".parametrizations."  # in paths of the originals of weights under torch.nn.utils.parametrize
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
NORMS = (*BATCH_NORMS, *INSTANCE_NORMS, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)


@dataclass(eq=False)
class Call:
    """A call, in a forward pass, of a module that has own parameters or no children."""

    path: str  # as in network.get_submodule
    module: nn.Module
    input: Any  # the first argument
    output: Any = None

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The output's shape without the batch axis; () unless it is a tensor."""
        return tuple(self.output.shape[1:]) if isinstance(self.output, Tensor) else ()

    @property
    def kind(self) -> str:
        return type(self.module).__name__

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.module.parameters(recurse=False))


@dataclass(frozen=True, eq=False)
class WeightLayer:
    """A linear, convolutional or other layer with a weight of two or more axes; not a normalisation.

    Attributes:
        path: path of the module, or of the parameter if that is not called `weight`.
        depth: position in the order of use; 0 is nearest the input.
        label: depth (zero-padded) and path; text order is the order of depth.
        module: the module with the weight.
        weight, bias: the parameters.
        route: the modules from the layer's output to its activation, inclusive; empty without an activation.
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
        """The module whose output is this layer's activation; None if it is the layer's own output."""
        return self.route[-1] if self.route else None

    @property
    def tensors(self) -> list[tuple[str, nn.Parameter]]:
        """The parameters with their names: "weight", and "bias" if there is one."""
        return [("weight", self.weight)] + ([("bias", self.bias)] if self.bias is not None else [])

    @property
    def fan_in(self) -> int:
        """The inputs of a unit: features, or channels per group times the kernel's size."""
        return self.weight[0].numel()

    @property
    def unit_axis(self) -> int:
        """Return the axis of units of a run's output, flattened or not: a convolution's channels, else features."""
        return 1 if isinstance(getattr(self.module, "kernel_size", None), tuple) else -1


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Put `network` in evaluation mode without gradients; restore each module's mode at the end."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def recording_calls(network: nn.Module) -> Iterator[list[Call]]:
    """Yield a list to which each call of a module is added, in order, while the block runs."""
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
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def trace_calls(network: nn.Module, inputs: Tensor) -> tuple[Any, list[Call]]:
    """Run `network` on `inputs` in evaluation mode; return its output and its modules' calls in order.

    Draws no random number and does not change the network.
    """
    with recording_calls(network) as calls, evaluation_mode(network):
        return network(inputs), calls


def find_weight_layers(network: nn.Module, calls: Sequence[Call]) -> list[WeightLayer]:
    """Return the layers of `network` with weights, in the order of their first call in `calls`.

    A module without a call takes its parent's place if that was called (attention uses the weight of its output
    projection directly), else the last place. A shared parameter belongs to the first module. A parametrised weight
    (weight_norm) is represented by its trained tensor, without the scale.
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
    found.sort(key=lambda entry: entry[0])  # stable: equal places stay in order of definition
    owners = {module for _, _, module, _, _ in found}
    digits = len(str(max(len(found) - 1, 0)))
    return [
        WeightLayer(
            path, i, f"{i:0{digits}}_{path}", module, weight, bias, _find_route(calls, first.get(module), owners)
        )
        for i, (_, path, module, weight, bias) in enumerate(found)
    ]


def _find_route(calls: Sequence[Call], start: int | None, owners: set[nn.Module]) -> tuple[nn.Module, ...]:
    """Return the modules that the output of call `start` passes up to its activation; empty without one."""
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
    if not ends:  # a user's own activation: not torch's, and without parameters
        ends = [
            i
            for i, kind in enumerate(kinds)
            if not kind.startswith("torch.") and not any(True for _ in met[i].parameters())
        ]
    return tuple(met[: ends[0] + 1]) if ends else ()


def watch_activations(
    layers: Sequence[WeightLayer], see: Callable[[WeightLayer, Tensor], None]
) -> list[RemovableHandle]:
    """Register hooks that call `see(layer, activation)` at each use of a layer; return their handles.

    An activation that is not a module (torch.relu in a forward method), or one after an operation that is not a module
    (a sum), is invisible to hooks: `see` then gets the layer's own output.
    """
    pending: dict[WeightLayer, Tensor] = {}  # outputs on their route to the activation

    def enter(layer: WeightLayer, module: nn.Module, args: Any, output: Any) -> None:
        if layer.activation is not None:
            pending[layer] = output
        elif isinstance(output, Tensor):
            see(layer, output)

    def pass_on(module: nn.Module, args: Any, output: Any) -> None:
        layer = next((layer for layer, tensor in pending.items() if args and tensor is args[0]), None)
        if layer is None:
            return
        if module is layer.activation:
            del pending[layer]
            see(layer, output)
        else:
            pending[layer] = output

    # a module with several weights: its last one
    handles = [m.register_forward_hook(partial(enter, x)) for m, x in {x.module: x for x in layers}.items()]
    routes = {module for layer in layers for module in layer.route}
    return handles + [module.register_forward_hook(pass_on) for module in routes]


def format_table(calls: Sequence[Call], total: int) -> str:
    """Format the modules as text, a line each, then the other parameters and the network's `total`."""
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
