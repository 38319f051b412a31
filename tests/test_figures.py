"""Figures, by what is drawn in them."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from paribus import plots as figures


def drawn(figure: Figure, path: str = "figure.png") -> Figure:
    figure.savefig(path)  # nothing in it may fail only when it is drawn
    return figure


def test_weight_histograms_have_a_panel_a_layer_shares_and_the_bound() -> None:
    random = np.random.default_rng(0)
    weights = {f"l{i}": random.normal(size=(5, 40)) for i in range(5)}
    figure = drawn(figures.plot_weight_histograms(weights, weights, dict.fromkeys(weights, 0.25), "5 of 9 layers"))
    assert [axes.get_title() for axes in figure.axes] == list(weights)
    assert "5 of 9 layers" in figure.get_suptitle()
    for axes in figure.axes:
        assert [line.get_xdata()[0] for line in axes.lines] == [-0.25, 0.25]
        assert [patch.get_data().values.sum() for patch in axes.patches] == pytest.approx([1, 1])
    (axes,) = drawn(figures.plot_weight_histograms({"l": weights["l0"]}, None, {"l": 1.0})).axes
    assert len(axes.patches) == 1


def test_heat_maps_are_side_by_side_on_one_scale() -> None:
    before, after = np.zeros((3, 4)), np.linspace(-2, 2, 12).reshape(3, 4)
    left, right, _ = drawn(figures.plot_heat_maps("conv", before, after)).axes
    assert (
        left.images[0].get_clim()
        == right.images[0].get_clim()
        == (-right.images[0].get_clim()[1], pytest.approx(2, rel=0.05))
    )
    assert np.array_equal(right.images[0].get_array(), after)
    kernel = np.random.default_rng(0).normal(size=(4, 2, 3, 3))
    assert drawn(figures.plot_heat_maps("conv", kernel, kernel)).axes[0].images[0].get_array().shape == (4, 18)


def test_long_titles_are_wrapped_inside_of_the_figure() -> None:
    weights = np.ones((3, 4))
    name = "features.block11.convolution_of_very_many_channels_with_bias"
    for figure in (
        figures.plot_weight_histograms(
            {name: weights}, {name: weights}, {}, "regression, relu, " + "sgd_momentum, " * 12
        ),
        figures.plot_heat_maps(name, weights, weights),
    ):
        drawn(figure)
        titles = [text for axes in figure.axes for text in (axes.title,)] + (
            [figure._suptitle] if figure._suptitle else []
        )
        for box in (title.get_window_extent() for title in titles if title.get_text()):
            assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height


@pytest.mark.parametrize("target", [1e15, -1e15, 1e30])
@pytest.mark.parametrize("step", [0.0, 1e-16, 0.1])
def test_predictions_of_huge_targets_have_an_axis(target: float, step: float) -> None:
    targets = target * (1 + step * np.arange(3.0))
    (axes,) = drawn(figures.plot_predictions({"val": (targets, targets)}, target)).axes
    low, high = axes.get_xlim()
    assert low < targets.min() and targets.max() < high


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_weights_that_are_broken_or_all_alike_are_drawn(value: float) -> None:
    weights = np.full((3, 4), value)
    drawn(figures.plot_weight_histograms({"l": weights}, {"l": weights}, {"l": 0.5}))
    drawn(figures.plot_heat_maps("l", np.ones((3, 4)), weights))
    drawn(figures.plot_predictions({"val": (np.arange(3.0), np.full(3, value))}, 1.0))


def test_predictions_show_their_error_and_that_of_the_mean() -> None:
    targets, predicted = np.array([0.0, 2.0, 4.0]), np.array([1.0, 2.0, 5.0])
    (axes,) = drawn(figures.plot_predictions({"val": (targets, predicted)}, 3.0)).axes
    assert axes.get_title() == "val: MSE 0.6667\n(of the mean: 3.667)"
    assert np.array_equal(axes.lines[0].get_xdata(), targets)
    assert axes.lines[2].get_ydata()[0] == 3.0
