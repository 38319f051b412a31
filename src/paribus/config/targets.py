"""Find what a configuration names by `_target_`, and check what it is before anything is called."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from pkgutil import resolve_name
from typing import Any, get_type_hints

from paribus.errors import UserError

TRUSTED = (
    *("paribus.", "torch.nn.", "torch.optim.", "torchmetrics.", "torchvision.", "lightning."),
    *("schedulefree.", "pytorch_optimizer."),
)
PACKAGES = {"schedulefree": "schedulefree", "pytorch_optimizer": "pytorch-optimizer"}  # of extras, by their module


def find_kind(target: Any, part: str, kinds: tuple[type, ...]) -> type:
    """Return the class of what `target` makes for `part` of a run. Raises as find_target does."""
    found = find_target(target, part, kinds)
    made = found if isinstance(found, type) else _return_type(found)
    assert made is not None
    return made


def find_target(target: Any, part: str, kinds: tuple[type, ...]) -> Callable[..., Any]:
    """Return the class, or the function, that `target` names for `part` of a run.

    Raises UserError unless it is a subclass of one of `kinds`, or a function whose return annotation is one. So
    nothing is called before it is known what it makes.
    """
    found = find_callable(target, part)
    made = found if isinstance(found, type) else _return_type(found)
    if isinstance(made, type) and issubclass(made, kinds):
        return found
    names = " or ".join(kind.__name__ for kind in kinds)
    hint = "" if isinstance(found, type) else " A function has to say by its return annotation what it makes."
    raise UserError(f"{part}._target_: {target} is no {names}.{hint}")


class UntrustedError(UserError):
    """The error of a record that names a class outside the trusted packages: `what`, with the place that names it."""

    def __init__(self, whose: str, what: str):
        super().__init__(
            f"{whose} names {what}, which is no class of Paribus, torch.nn, torch.optim, torchmetrics, torchvision or "
            "Lightning. Loading the run would call it. If you trust this record, give trust=true (evaluate: --trust; "
            "load_run: trust=True)."
        )
        self.what = what


def require_trusted(config: Mapping[str, Any], whose: str) -> None:
    """Raise UntrustedError where a configuration from a record names something else than a class of a trusted package.

    A record can come from anywhere, and what its configuration names is called. `whose` names the record.
    """
    for path, target in _iterate_targets(config, ""):
        if target.startswith(TRUSTED):
            found = find_callable(target, path.removesuffix("._target_"))
            if isinstance(found, type) or (target.startswith("paribus.") and _return_type(found) is not None):
                continue
        raise UntrustedError(whose, f"{target} ({path})")


def find_callable(target: Any, part: str) -> Any:
    """Return the class or function that `target` names for `part` of a run. Raises UserError where it names none."""
    if not isinstance(target, str):
        raise UserError(f"{part}._target_ is {'null' if target is None else target}; it must name a class.")
    try:
        found = resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        package = PACKAGES.get(target.partition(".")[0])
        if package is not None and isinstance(error, ImportError):
            raise UserError(f"{part}._target_: {target} needs {package}: pip install {package}") from None
        top = target.partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and error.name == top:
            raise UserError(
                f"{part}._target_: Python finds no module {top!r}. Put {top}.py beside train.py (for paribus train: "
                "into the working directory), or install the package that has it."
            ) from None
        raise UserError(f"{part}._target_: {str(error).splitlines()[0]}") from None
    except Exception as error:
        raise UserError(f"{part}._target_: importing {target} fails: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise UserError(f"{part}._target_: {target} is a {type(found).__name__}, which cannot be called.")
    return found


def _return_type(function: Any) -> type | None:
    try:
        made = get_type_hints(function).get("return")
    except (NameError, TypeError):  # an annotation that cannot be evaluated here
        return None
    return made if inspect.isclass(made) and made not in (Any, type(None)) else None


def _iterate_targets(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in ("_target_", "adapter") and value is not None:  # an adapter of data is called too
                yield f"{path}.{key}", str(value)
            yield from _iterate_targets(value, f"{path}.{key}".lstrip("."))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _iterate_targets(value, f"{path}.{i}")
