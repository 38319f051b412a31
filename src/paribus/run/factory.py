"""Build the parts of a run from nodes of its configuration; errors name the part."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning import LightningModule
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import nn

from paribus.config.targets import find_kind, find_target
from paribus.errors import UserError

T = TypeVar("T")
COMPLAINTS = (
    *(ArithmeticError, ImportError, LookupError, MisconfigurationException, RuntimeError, TypeError, ValueError),
    InstantiationException,
)


def is_foreign(config: Mapping[str, Any]) -> bool:
    """Return whether the configured model is a LightningModule of its own, not a network that a Learner trains."""
    return issubclass(find_kind(config["model"].get("_target_"), "model", (nn.Module,)), LightningModule)


def make_factory(part: str, node: Mapping[str, Any], *kinds: type[T]) -> Callable[..., T]:
    """Return a function that builds `part`: it calls what `node` names, with the node's values and further arguments.

    Raises UserError where `node` names something that is none of `kinds`; so does the function where what is called
    complains about its arguments.
    """
    find_target(node.get("_target_"), part, kinds)
    with naming_part(part):
        make = instantiate(node, _partial_=True, _convert_="all")

    def build(*arguments: Any, **keywords: Any) -> T:
        with naming_part(part):
            built: T = make(*arguments, **keywords)
        return built

    return build


@contextmanager
def naming_part(part: str) -> Iterator[None]:
    """Turn a constructor's complaint in the block into one message that names the part. Raises UserError."""
    try:
        yield
    except (UserError, OSError):
        raise
    except COMPLAINTS as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        if isinstance(cause, UserError | OSError):
            raise cause from None
        said = str(cause).strip().splitlines() or [type(cause).__name__]
        text = " ".join(said[:2]) if said[0].endswith(":") else said[0]
        given = re.search(r"unexpected keyword argument '(in_shape|out_features|activation)'", text)
        hint = ". A network takes in_shape, out_features and activation: docs/own_parts.md" if given else ""
        raise UserError(f"{part}: {text}{hint}") from error
