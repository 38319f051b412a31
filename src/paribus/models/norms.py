"""Make the normalisations that networks offer by name."""

from math import gcd
from typing import Any

from torch import Tensor, nn

from paribus.errors import unknown_name

NORMS = ("none", "batch", "layer", "group", "rms")
GROUPS = 32  # at most, as Wu & He (2018)


class ChannelLayerNorm(nn.LayerNorm):
    """Layer normalisation over the channels at each position of images, (n, channels, height, width)."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


class ChannelRMSNorm(nn.RMSNorm):
    """Division by the root mean square over the channels at each position of images, (n, channels, height, width)."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


def make_norm(name: str, features: int, images: bool = False) -> nn.Module | None:
    """Make the normalisation `name` of units (n, features), or of images (n, features, height, width); None for "none".

    "batch" normalises each feature over the batch (Ioffe & Szegedy, 2015); "layer" each sample over its features (Ba et
    al., 2016), in images at each position (as ConvNeXt does; Liu et al., 2022); "rms" likewise, without subtracting the
    mean (Zhang & Sennrich, 2019); "group" each sample over groups of its features, and over positions (Wu & He, 2018):
    the largest power of 2 up to 32 that divides the features.

    Raises UserError for any other name.
    """
    if name not in NORMS:
        raise unknown_name(name, "model.norm", NORMS)
    if name == "none":
        return None
    if name == "group":
        return nn.GroupNorm(gcd(GROUPS, features), features)
    of_units, of_images = {
        "batch": (nn.BatchNorm1d, nn.BatchNorm2d),
        "layer": (nn.LayerNorm, ChannelLayerNorm),
        "rms": (nn.RMSNorm, ChannelRMSNorm),
    }[name]
    kind: Any = of_images if images else of_units
    return kind(features)
