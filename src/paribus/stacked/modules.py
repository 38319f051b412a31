"""Stack networks of one shape: parameters of K networks lie along a first axis, a layer is one batched product.

    stacked = stack_modules([network1, network2, ...])      # inputs (K, n, ...), outputs (K, n, ...)
    get_member_state(stacked, 1)                            # equal to network2.state_dict()
"""  # fmt: skip

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paribus.models.activations import ReLU2, Sine
from paribus.models.mlp import MLP, Residual
from paribus.models.norms import ChannelLayerNorm, ChannelRMSNorm
from paribus.models.regression import RegressionNet
from paribus.models.vgg6 import VGG6
from paribus.stacked.images import POOLS, StackedConv2d, StackedPool, merge_channels, split_channels
from paribus.stacked.mapped import Mapped

# Activations that act on each number alone and have no parameters.
ELEMENTWISE = (
    nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Identity, nn.Hardswish, nn.Mish, nn.SELU,
    nn.Softplus, nn.CELU, nn.Softsign, nn.ReLU6, nn.Hardtanh, nn.Hardsigmoid, nn.LogSigmoid, nn.Softshrink,
    nn.Tanhshrink, ReLU2, Sine,
)  # fmt: skip

STACKED_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
SAMPLE_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, ChannelLayerNorm, ChannelRMSNorm)


class NotStackable(Exception):
    """The reason why networks cannot be trained as one stack."""


class StackedLinear(nn.Module):
    """K linear layers: inputs (K, n, in), outputs (K, n, out), weight (K, out, in), bias (K, out)."""

    def __init__(self, layers: Sequence[nn.Linear]):
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
        self.bias = nn.Parameter(torch.stack(biases)) if biases else None

    def forward(self, inputs: Tensor) -> Tensor:
        products: Tensor = _Products.apply(inputs, self.weight, self.bias)
        return products


class _Products(torch.autograd.Function):
    """The product of K linear layers, with a backward pass of its own.

    Autograd would compute the gradient of the transposed weight, and spend a tenth of the backward pass on copying it
    into the weight's layout. It can be differentiated itself, for second derivatives.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.biased = bias is not None
        transposed = weight.transpose(1, 2)
        return torch.bmm(inputs, transposed) if bias is None else torch.baddbmm(bias.unsqueeze(1), inputs, transposed)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        inputs, weight = ctx.saved_tensors
        inputs_gradient = torch.bmm(gradient, weight) if ctx.needs_input_grad[0] else None
        return inputs_gradient, torch.bmm(gradient.transpose(1, 2), inputs), gradient.sum(1) if ctx.biased else None


class StackedBatchNorm(nn.Module):
    """K batch normalisations, each over its own n samples: (K, n, features), or images (K, n, features, ...)."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, layers: Sequence[nn.BatchNorm1d | nn.BatchNorm2d]):
        super().__init__()
        first = layers[0]
        assert first.momentum is not None
        self.eps, self.momentum = first.eps, first.momentum
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))
        self.register_buffer("running_mean", _stack_tensors([layer.running_mean for layer in layers]))
        self.register_buffer("running_var", _stack_tensors([layer.running_var for layer in layers]))
        self.register_buffer("num_batches_tracked", _stack_tensors([layer.num_batches_tracked for layer in layers]))

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            self.num_batches_tracked += 1
        normalised = F.batch_norm(
            merge_channels(inputs),
            self.running_mean.view(-1),
            self.running_var.view(-1),
            self.weight.view(-1),
            self.bias.view(-1),
            self.training,
            self.momentum,
            self.eps,
        )
        return split_channels(normalised, len(inputs))


class StackedSampleNorm(nn.Module):
    """K normalisations of each sample alone, (K, n, ...): of layers, of groups, or by the root mean square."""

    def __init__(self, layers: Sequence[nn.LayerNorm | nn.RMSNorm | nn.GroupNorm]):
        super().__init__()
        self.normalise = _select_normalisation(layers[0])
        self.of_groups = isinstance(layers[0], nn.GroupNorm)
        self.of_channels = isinstance(layers[0], ChannelLayerNorm | ChannelRMSNorm)
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        biases = [bias.detach() for layer in layers if (bias := getattr(layer, "bias", None)) is not None]
        self.bias = nn.Parameter(torch.stack(biases)) if biases else None

    def forward(self, inputs: Tensor) -> Tensor:
        inputs = inputs.movedim(2, -1) if self.of_channels else inputs
        normalised = self.normalise(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])
        own, rest = self.weight.shape[1:], inputs.ndim - self.weight.ndim
        shape = (len(inputs), 1, *own, *(1,) * (rest - 1)) if self.of_groups else (len(inputs), *(1,) * rest, *own)
        weight = self.weight.view(shape)
        outputs = normalised * weight if self.bias is None else torch.addcmul(self.bias.view(shape), normalised, weight)
        return outputs.movedim(-1, 2) if self.of_channels else outputs


def _select_normalisation(layer: nn.LayerNorm | nn.RMSNorm | nn.GroupNorm) -> Callable[[Tensor], Tensor]:
    """Return the function that a layer applies, without its weights."""
    if isinstance(layer, nn.GroupNorm):
        return partial(F.group_norm, num_groups=layer.num_groups, eps=layer.eps)
    function: Callable[..., Tensor] = F.layer_norm if isinstance(layer, nn.LayerNorm) else F.rms_norm
    return partial(function, normalized_shape=list(layer.normalized_shape), eps=layer.eps)


def _stack_tensors(tensors: Sequence[Tensor | None]) -> Tensor:
    return torch.stack([tensor for tensor in tensors if tensor is not None])


class StackedPReLU(nn.Module):
    """K activations with one trained slope each."""

    def __init__(self, layers: Sequence[nn.PReLU]):
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))

    def forward(self, inputs: Tensor) -> Tensor:
        return F.prelu(inputs.transpose(0, 1), self.weight.view(-1)).transpose(0, 1)


class StackedDropout(nn.Module):
    """K dropouts, each with its own share and generator, so that each draws the same mask as alone."""

    def __init__(self, layers: Sequence[nn.Dropout]):
        super().__init__()
        self.shares = [layer.p for layer in layers]
        self.generators: list[torch.Generator] = []  # of each run; set at the start of an epoch
        self.counts: list[int] | None = None  # each run's samples in a batch that is padded

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training:
            return inputs
        if inputs.ndim > 3:  # alone, the mask is drawn in the order of memory of the images, which may be another one
            raise NotStackable("a dropout acts on images")
        mask = torch.ones_like(inputs, memory_format=torch.contiguous_format)
        counts = self.counts or [inputs.shape[1]] * len(inputs)
        for own_mask, share, generator, n in zip(mask, self.shares, self.generators, counts, strict=True):
            own_mask[:n].bernoulli_(1 - share, generator=generator)
            if share < 1:
                own_mask[:n].div_(1 - share)
        return inputs * mask


def stack_modules(networks: Sequence[nn.Module]) -> nn.Module:
    """Build one stacked network from several of the same structure, which are left unchanged.

    Its modules have the names of those in the first network. Each stands for the modules of that name in all networks;
    an activation is copied. Raises NotStackable, which names the part that cannot be stacked.
    """
    first = networks[0]
    if any(not parameter.requires_grad for parameter in first.parameters()):
        raise NotStackable("a part of the network is frozen")
    names, parameters = len(list(first.named_modules())), len(list(first.named_parameters()))
    if names < len(list(first.named_modules(remove_duplicate=False))) or parameters < len(
        list(first.named_parameters(remove_duplicate=False))
    ):
        raise NotStackable("a part of the network is used under two names")
    stacked = copy.deepcopy(first)
    for path, module in first.named_modules():
        if path and not list(module.children()):
            layers = [network.get_submodule(path) for network in networks]
            parent, _, name = path.rpartition(".")
            setattr(stacked.get_submodule(parent), name, _stack_layers(path, layers))
        elif [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
            raise NotStackable(f"{type(module).__name__} has parameters or buffers of its own")
    return stacked


def _stack_layers(path: str, modules: Sequence[nn.Module]) -> nn.Module:
    kinds = {type(module) for module in modules}
    if len(kinds) > 1:
        raise NotStackable(f"{path} is of several types: {', '.join(sorted(kind.__name__ for kind in kinds))}")
    [kind] = kinds
    if kind is nn.Linear:
        return StackedLinear(modules)  # type: ignore[arg-type]
    if kind is nn.Dropout:
        return StackedDropout(modules)  # type: ignore[arg-type]
    if kind is nn.Conv2d and all(m.padding_mode == "zeros" for m in modules):
        return StackedConv2d(modules)  # type: ignore[arg-type]
    if kind in POOLS and not any(getattr(m, "return_indices", False) for m in modules):
        return StackedPool(copy.deepcopy(modules[0]))
    if kind in STACKED_BATCH_NORMS and all(
        m.affine and m.track_running_stats and m.momentum is not None for m in modules
    ):
        return StackedBatchNorm(modules)  # type: ignore[arg-type]
    if kind in SAMPLE_NORMS and all(m.weight is not None for m in modules):
        return StackedSampleNorm(modules)  # type: ignore[arg-type]
    if kind is nn.PReLU and all(m.num_parameters == 1 for m in modules):
        return StackedPReLU(modules)  # type: ignore[arg-type]
    if all(isinstance(m, nn.Flatten) and (m.start_dim, m.end_dim) == (1, -1) for m in modules):
        return nn.Flatten(start_dim=2)
    if kind in ELEMENTWISE:
        return copy.deepcopy(modules[0])
    if next(modules[0].buffers(), None) is not None:
        raise NotStackable(f"{path} is a {kind.__name__}, which may change its buffers")
    return Mapped(modules)


def get_member_state(stacked: nn.Module, k: int) -> dict[str, Tensor]:
    """Return the state dict of the k-th network, as views of the stack's tensors."""
    return {name: tensor[k] for name, tensor in stacked.state_dict().items()}


def set_generators(stacked: nn.Module, make: Callable[[], Sequence[torch.Generator]]) -> None:
    """Give every dropout the generators that `make` returns, one a network. Without dropouts `make` is not called."""
    dropouts = _list_dropouts(stacked)
    generators = make() if dropouts else ()
    for module in dropouts:
        module.generators, module.counts = list(generators), None


def set_counts(stacked: nn.Module, counts: Sequence[int]) -> None:
    """Tell every dropout how many samples each network has in a padded batch, until generators are set again."""
    for module in _list_dropouts(stacked):
        module.counts = list(counts)


def _list_dropouts(stacked: nn.Module) -> list[StackedDropout]:
    return [module for module in stacked.modules() if isinstance(module, StackedDropout)]


def treats_samples_alone(network: nn.Module) -> bool:
    """Return whether a network is known to treat each sample by itself, so that a batch may be padded.

    That is so of the layers known here but batch norms, in containers of torch and networks of Paribus. What a
    user's class does is not known.
    """
    alone = (nn.Linear, nn.Dropout, nn.Conv2d, nn.PReLU, nn.Flatten, *POOLS, *SAMPLE_NORMS, *ELEMENTWISE)
    containers = (nn.Sequential, MLP, Residual, RegressionNet, VGG6)
    return all(type(module) in (containers if list(module.children()) else alone) for module in network.modules())
