"""A loss of your own."""

from torch import Tensor, nn
from torch.nn import functional as F


class Focal(nn.Module):
    """-(1 - p)^gamma log p, where p is the probability of the true class (Lin et al., 2017, without weights).

    With the argument `reduction` it can give the loss of each sample, so that stacks can use it too.
    """

    def __init__(self, gamma: float, reduction: str = "mean"):
        super().__init__()
        self.gamma, self.reduction = gamma, reduction

    def forward(self, output: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of scores (n, classes) for class numbers (n,)."""
        surprise = F.cross_entropy(output, targets, reduction="none")  # -log p
        losses = (1 - (-surprise).exp()) ** self.gamma * surprise
        return losses.mean() if self.reduction == "mean" else losses
