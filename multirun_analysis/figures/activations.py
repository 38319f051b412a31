"""The activation functions that were compared, and their derivatives, in closed form. Never torch."""

from collections.abc import Callable, Hashable, Iterable

import numpy as np
from matplotlib.figure import Figure
from scipy.special import expit, ndtr

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.figures import style
from multirun_analysis.figures.registry import figure
from multirun_analysis.records.described import in_words

Function = Callable[[np.ndarray], np.ndarray]

LEAKY_SLOPE, PRELU_SLOPE = 0.1, 0.25  # the latter is where its training starts
SHRINKAGE = 0.5
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
SPAN = 4.0  # of x, to both sides


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x)


def _elu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def _elu_slope(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, 1, np.exp(np.minimum(x, 0)))


def _selu(x: np.ndarray) -> np.ndarray:
    return SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0)))


def _selu_slope(x: np.ndarray) -> np.ndarray:
    return SELU_SCALE * np.where(x > 0, 1, SELU_ALPHA * np.exp(np.minimum(x, 0)))


def _mish_slope(x: np.ndarray) -> np.ndarray:
    bent = np.tanh(_softplus(x))
    return bent + x * expit(x) * (1 - bent**2)


def _bend(x: np.ndarray) -> np.ndarray:
    """Return the tanh in the approximation of GELU."""
    return np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))


def _tanh_gelu_slope(x: np.ndarray) -> np.ndarray:
    bent, inner_slope = _bend(x), np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
    return (1 + bent + x * (1 - bent**2) * inner_slope) / 2


# The function and its derivative; parameters as in conf/activation/.
ACTIVATIONS: dict[str, tuple[Function, Function]] = {
    "identity": (lambda x: x, np.ones_like),
    "relu": (lambda x: np.maximum(x, 0), lambda x: np.where(x > 0, 1.0, 0)),
    "leaky_relu": (lambda x: np.where(x > 0, x, LEAKY_SLOPE * x), lambda x: np.where(x > 0, 1.0, LEAKY_SLOPE)),
    "prelu": (lambda x: np.where(x > 0, x, PRELU_SLOPE * x), lambda x: np.where(x > 0, 1.0, PRELU_SLOPE)),
    "relu2": (lambda x: np.maximum(x, 0) ** 2, lambda x: 2 * np.maximum(x, 0)),
    "relu6": (lambda x: np.clip(x, 0, 6), lambda x: np.where((x > 0) & (x < 6), 1.0, 0)),
    "elu": (_elu, _elu_slope),
    "celu": (_elu, _elu_slope),  # the same with alpha = 1
    "selu": (_selu, _selu_slope),
    "gelu": (lambda x: x * ndtr(x), lambda x: ndtr(x) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)),
    "tanh_gelu": (lambda x: x * (1 + _bend(x)) / 2, _tanh_gelu_slope),
    "silu": (lambda x: x * expit(x), lambda x: expit(x) * (1 + x * expit(-x))),
    "mish": (lambda x: x * np.tanh(_softplus(x)), _mish_slope),
    "softplus": (_softplus, expit),
    "hardswish": (
        lambda x: x * np.clip(x + 3, 0, 6) / 6,
        lambda x: np.where(np.abs(x) < 3, (2 * x + 3) / 6, np.where(x > 0, 1.0, 0)),
    ),
    "sigmoid": (expit, lambda x: expit(x) * expit(-x)),
    "hardsigmoid": (lambda x: np.clip(x + 3, 0, 6) / 6, lambda x: np.where(np.abs(x) < 3, 1 / 6, 0)),
    "logsigmoid": (lambda x: -_softplus(-x), lambda x: expit(-x)),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "hardtanh": (lambda x: np.clip(x, -1, 1), lambda x: np.where(np.abs(x) < 1, 1.0, 0)),
    "softsign": (lambda x: x / (1 + np.abs(x)), lambda x: 1 / (1 + np.abs(x)) ** 2),
    "tanhshrink": (lambda x: x - np.tanh(x), lambda x: np.tanh(x) ** 2),
    "softshrink": (
        lambda x: np.sign(x) * np.maximum(np.abs(x) - SHRINKAGE, 0),
        lambda x: np.where(np.abs(x) > SHRINKAGE, 1.0, 0),
    ),
    "sine": (np.sin, np.cos),
}


@figure("activations")
def compared_functions(comparison: Comparison) -> Figure | None:
    """Draw the activation functions of the runs."""
    return functions(dict.fromkeys(run.choices.get("activation") for run in comparison.described.values()))


def functions(names: Iterable[Hashable]) -> Figure | None:
    """Draw two panels: the activation functions, and their derivatives, for inputs from -4 to 4.

    One's own are not drawn, and named below. None where no name is known.
    """
    asked = list(dict.fromkeys(in_words(name) for name in names))
    known = [name for name in asked if name in ACTIVATIONS]
    if not known:
        return None
    colours = style.colours(known)
    x = np.linspace(-SPAN, SPAN, 801)
    whole = style.figure(9.2, 3.6)
    panels = whole.subplots(1, 2)
    for axes, which, title in zip(panels, (0, 1), ("f(x)", "its derivative f'(x)"), strict=True):
        axes.axhline(0, color=style.GREY, linewidth=0.6)
        axes.axvline(0, color=style.GREY, linewidth=0.6)
        for i, name in enumerate(known):
            y = ACTIVATIONS[name][which](x)
            dash, mark = style.DASHES[i % len(style.DASHES)], style.MARKS[i % len(style.MARKS)]
            # marks at places of their own: many of these functions lie upon one another
            axes.plot(x, y, color=colours[name], linestyle=dash, marker=mark, markersize=5, linewidth=1.6,
                      markevery=(40 + 13 * i % 100, 160), label=name)  # fmt: skip
        axes.set_title(title, fontsize=style.LARGE)
        axes.set_xlabel("x", fontsize=10)
        axes.tick_params(labelsize=style.SMALL)
    panels[0].set_ylim(-1.9, SPAN)
    handles, labels = panels[0].get_legend_handles_labels()
    style.add_title(whole, "Activation functions with their default parameters")
    style.add_legend(whole, {"": list(zip(handles, labels, strict=True))})
    others = [name for name in asked if name not in ACTIVATIONS]
    if others:
        more = f" and {len(others) - 8} more" if len(others) > 8 else ""
        style.add_note(whole, f"Not drawn, being no function of Paribus' own: {', '.join(others[:8])}{more}.")
    return whole
