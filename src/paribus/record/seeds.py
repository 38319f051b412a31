"""Resolve the seeds of a run's sources of randomness; imports no torch.

All sources follow `seed`. `data.seed` seeds what the data module draws: the split, the order of batches and
augmentation. `seeds.SOURCE` gives one source a seed of its own.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

SOURCES = ("split", "weights", "order", "augmentation", "dropout")
FIRST_FRESH = 101


def resolve_seeds(config: Mapping[str, Any]) -> dict[str, int]:
    """Return the seed of each source, by the names in SOURCES, of a resolved, plain configuration."""
    given = config.get("seeds") or {}
    followed = _follow(config)
    return {name: followed[name] if given.get(name) is None else given[name] for name in SOURCES}


def find_fresh_seed(used: Iterable[int]) -> int:
    """Return the first of a confirmation's seeds: 101, or the 1 of the next hundred beyond all that are in use."""
    return max(FIRST_FRESH, math.ceil((max(used, default=0) + 1) / 100) * 100 + 1)


def use_canonical_seeds(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration in which each way to write the same seeds is written alike.

    The split's seed is data.seed, where data have one; `seeds` holds the others that differ from what they follow,
    and is left out where none does. So a run without seeds of their own has the identity that it always had.
    """
    seeds, canonical = resolve_seeds(config), {key: value for key, value in config.items() if key != "seeds"}
    data = canonical.get("data")
    if isinstance(data, Mapping) and data.get("seed") is not None:
        canonical["data"] = {**data, "seed": seeds["split"]}
    followed = _follow(canonical)
    own = {name: seed for name, seed in seeds.items() if seed != followed[name]}
    return {**canonical, "seeds": own} if own else canonical


def _follow(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the seed that each source follows where it has none of its own."""
    seed = config.get("seed")
    data = config.get("data")
    of_data = data.get("seed") if isinstance(data, Mapping) else None
    drawn = seed if of_data is None else of_data
    return {"split": drawn, "weights": seed, "order": drawn, "augmentation": drawn, "dropout": seed}
