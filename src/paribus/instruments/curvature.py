"""Compute the curvature of a loss from its values and gradients; plain functions of tensors, for K runs at once.

Vectors of all parameters are matrices (K, P), with K = 1 for a run alone.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.autograd.graph import Node

LARGEST_SCALE = 2.0**20  # of a step, and its inverse the smallest


def find_critical_scale(loss_at: Callable[[Tensor], Tensor], resolution: float, tolerance: float = 0.02) -> Tensor:
    """Find for K runs the smallest multiple s > 0 of a step at which the loss is higher than without the step: (K,).

    The scale is doubled or halved from 1 until the loss rises at one scale and not at half of it, and then bisected: on
    a convex loss that is the only such s, on others the first one is missed if the loss falls again before the next
    doubled scale. So is critical sharpness found by forward passes alone (arXiv 2601.16979).

    Args:
        loss_at: returns the losses (K,) at scales (K,).
        resolution: relative error of a loss. Smaller changes do not count as a rise, and a run whose loss falls by less
            than that at s / 2 has no result.
        tolerance: width of the final interval, relative to s; half of it is the greatest error.

    Returns NaN where the loss rises at every scale down to 2^-20 (the step does not descend), at none up to 2^20, or is
    not finite without the step.
    """
    first = loss_at(torch.zeros(()))
    margin = resolution * first.abs()
    low, high = torch.zeros_like(first), torch.full_like(first, torch.inf)
    scale = torch.ones_like(first)
    while True:
        loss = loss_at(scale)
        rises = ~(loss <= first + margin)  # also where it is not finite
        low, high = torch.where(rises, low, scale), torch.where(rises, scale, high)
        beyond = (low >= LARGEST_SCALE) | (high <= 1 / LARGEST_SCALE) | ~torch.isfinite(first)
        done = beyond | (high.isfinite() & (high - low <= tolerance * high))
        if bool(done.all()):
            break
        wider = torch.where(high.isinf(), 2 * low, torch.where(low == 0, high / 2, (low + high) / 2))
        scale = torch.where(done, torch.where(rises, high, low), wider)
    critical = torch.where(beyond, torch.nan, (low + high) / 2)
    falls = first - loss_at(critical / 2) > margin  # where a quadratic is lowest
    return torch.where(falls, critical, torch.nan)


def differentiate(losses: Tensor, parameters: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
    """Return the function that multiplies vectors (K, P) with the Hessian of each run's loss: Pearlmutter (1994).

    `losses` () or (K,) with gradients, each a function of its own row of the `parameters` (K, ...) alone. Raises
    NotImplementedError where a part of the network cannot be differentiated twice.
    """
    runs = losses.numel()
    gradients = torch.autograd.grad(losses.sum(), parameters, create_graph=True, materialize_grads=True)
    if any(node.name() == "torch::autograd::Error" for node in _walk_graph(gradients)):
        # autograd raises no error where it is asked for the parameters alone, and takes the derivatives for 0
        raise NotImplementedError("a function is marked with @once_differentiable")
    curved = [i for i, gradient in enumerate(gradients) if gradient.requires_grad]  # the others are constant
    sizes = [parameter.numel() // runs for parameter in parameters]

    def multiply(vectors: Tensor) -> Tensor:
        if not curved:
            return torch.zeros_like(vectors)
        parts = [part.reshape_as(p) for part, p in zip(vectors.split(sizes, 1), parameters, strict=True)]
        products = torch.autograd.grad(
            [gradients[i] for i in curved], parameters, [parts[i] for i in curved],
            retain_graph=True, materialize_grads=True,
        )  # fmt: skip
        return torch.cat([product.reshape(runs, -1) for product in products], 1)

    return multiply


def _walk_graph(tensors: Sequence[Tensor]) -> Iterator[Node]:
    """Yield the nodes of the graph that the tensors were computed by, each once."""
    waiting = [tensor.grad_fn for tensor in tensors]
    seen: set[Node | None] = {None}
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
            yield node


def find_largest_eigenvalue(
    multiply: Callable[[Tensor], Tensor], start: Tensor, tolerance: float, iterations: int
) -> Tensor:
    """Find the largest eigenvalues (K,) of K symmetric matrices by the Lanczos method.

    Args:
        multiply: returns the products of the matrices with vectors (K, P).
        start: vectors to begin with (K, P), not 0 and not orthogonal to the eigenvectors sought.
        tolerance: of the residual ‖Hv - θv‖, relative to |θ|. The error of θ is of the order of its square.
        iterations: greatest number of products.

    Returns NaN where this tolerance is not reached, or a product is not finite. Vectors are not made orthogonal to all
    former ones, which spares their memory: that adds copies of extreme eigenvalues, and changes none (Paige, 1980).
    """
    vectors, former = start / start.norm(dim=1, keepdim=True), torch.zeros_like(start)
    lengths = torch.zeros(len(start), 1, dtype=start.dtype, device=start.device)
    found = torch.full((len(start),), torch.nan, dtype=torch.float64)
    done = torch.zeros(len(start), dtype=torch.bool)
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    for _ in range(min(iterations, start.shape[1])):
        products = multiply(vectors) - lengths * former
        along = (products * vectors).sum(1, keepdim=True)
        products -= along * vectors
        lengths = products.norm(dim=1, keepdim=True)
        former, vectors = vectors, products / lengths.clamp_min(torch.finfo(start.dtype).tiny)
        diagonal.append(along[:, 0].cpu().double())
        beside.append(lengths[:, 0].cpu().double())
        reached = torch.stack([*diagonal, *beside], 1)
        done |= ~torch.isfinite(reached).all(1)
        values, ritz = torch.linalg.eigh(_make_tridiagonal(diagonal, beside[:-1]).nan_to_num(0.0, 0.0, 0.0))
        largest, residual = values[:, -1], (beside[-1] * ritz[:, -1, -1]).abs()
        new = ~done & (residual <= tolerance * largest.abs())
        found, done = torch.where(new, largest, found), done | new
        if bool(done.all()):
            break
    return found


def _make_tridiagonal(diagonal: Sequence[Tensor], beside: Sequence[Tensor]) -> Tensor:
    """Make symmetric tridiagonal matrices (K, m, m) of m diagonal entries and m - 1 beside them, each (K,)."""
    whole = torch.diag_embed(torch.stack(list(diagonal), 1))
    if beside:
        entries = torch.stack(list(beside), 1)
        whole = whole + torch.diag_embed(entries, 1) + torch.diag_embed(entries, -1)
    return whole
