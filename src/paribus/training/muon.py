"""Train hidden matrices by Muon, and all other parameters by AdamW, in one optimizer."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from paribus.errors import UserError
from paribus.private_names import skip_graph_check


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al., 2024) for hidden weights, AdamW for the rest; each by torch's own class.

    Hidden weights are the parameters of two or more axes but for the first and the last one, in the order of
    `params`: the layers nearest to input and output are left to AdamW, as the source has it, and so are biases and the
    parameters of norms. A convolution's filters count as a matrix, a row a filter. The matrices are the first
    group of parameters, the rest the second; a schedule scales the rate of both.

    Args:
        params: parameters of a network, from its input to its output.
        lr, momentum, nesterov, ns_steps, weight_decay, adjust_lr_fn: of torch.optim.Muon.
        adamw_lr, adamw_betas, adamw_eps, adamw_weight_decay: of torch.optim.AdamW.

    Raises UserError where there is no hidden weight.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        adamw_lr: float,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        weight_decay: float = 0.0,
        adjust_lr_fn: str | None = None,
        adamw_betas: Sequence[float] = (0.9, 0.95),
        adamw_eps: float = 1e-10,
        adamw_weight_decay: float = 0.0,
    ):
        if not hasattr(torch.optim, "Muon"):
            raise UserError(f"optim=muon needs torch 2.9 or later; this is {torch.__version__}. Choose optim=adamw.")
        everything = list(params)
        weights = [parameter for parameter in everything if parameter.ndim >= 2]
        hidden, taken = weights[1:-1], {id(weight) for weight in weights[1:-1]}
        others = [parameter for parameter in everything if id(parameter) not in taken]
        if not hidden:
            raise UserError(
                "optim=muon trains the weights between a network's first and last layer, and this one has "
                f"{len(weights)} layers with weights. Add a hidden layer, or choose optim=adamw."
            )
        self._muon = torch.optim.Muon(
            [_to_matrix(weight, weight) for weight in hidden], lr=lr, weight_decay=weight_decay, momentum=momentum,
            nesterov=nesterov, ns_steps=ns_steps, adjust_lr_fn=adjust_lr_fn,
        )  # fmt: skip
        self._adamw = torch.optim.AdamW(
            others, lr=adamw_lr, betas=tuple(adamw_betas), eps=adamw_eps, weight_decay=adamw_weight_decay  # type: ignore[arg-type]
        )  # fmt: skip
        if all(parameter.device.type == "cpu" for parameter in everything):
            skip_graph_check(self._adamw)
        super().__init__([{**self._muon.param_groups[0], "params": hidden}, self._adamw.param_groups[0]], {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        with torch.enable_grad():
            loss = closure() if closure is not None else None
        first, second = self.param_groups
        # The two optimizers work on the groups and states of this one: a schedule and a checkpoint see them here.
        inner: dict[str, Any] = self._muon.param_groups[0]
        inner |= {key: value for key, value in first.items() if key != "params"}
        inner["params"] = []
        self._muon.state.clear()
        for weight in first["params"]:
            if weight.grad is not None:
                matrix = _to_matrix(weight, weight)
                matrix.grad = _to_matrix(weight.grad, weight)
                inner["params"].append(matrix)
                self._muon.state[matrix] = self.state[weight]
        self._muon.step()
        self._adamw.param_groups, self._adamw.state = [second], self.state
        self._adamw.step()
        return loss


def _to_matrix(tensor: Tensor, like: Tensor) -> Tensor:
    """Return `tensor` as a matrix with a row for each index of its first axis; a view if its layout is that of `like`.

    The columns are in the order of memory of `like` (channels-last or not), which Muon does not depend on.
    """
    if like.ndim == 2:
        return tensor.detach()
    order = sorted(range(1, like.ndim), key=like.stride, reverse=True)
    return tensor.detach().permute(0, *order).flatten(1)
