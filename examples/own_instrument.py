"""An instrument of your own."""

from collections.abc import Iterable

import torch

from paribus import Instrument, Measured


class Turn(Instrument):
    """weight_cosine: the cosine between a layer's weight and its initial weight, flattened, at the end of an epoch."""

    def measure(self, epoch: int) -> Iterable[Measured]:
        """Yield one value for each layer; epoch 0 is before training."""
        layers = self.learner.layers
        cosines = [
            torch.cosine_similarity(
                layer.weight.flatten(), self.learner.initial[layer.path].to(layer.weight.device).flatten(), dim=0
            )
            for layer in layers
        ]
        yield Measured("weight_cosine", "weight", layers, torch.stack(cosines))
