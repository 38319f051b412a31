"""The page's charts: diverged runs, scales, means, layers, and records that are odd."""

# ruff: noqa: F811

import pytest
from pages import browser, find, odd, odd_opened, odd_report, opened, page, report, shown  # noqa: F401
from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_diverged_runs_have_a_slot_of_their_own_and_a_cross(page: Page) -> None:
    axis = page.evaluate("axes.at(-1)")
    assert {"diverged", "failed"} <= set(axis["ticktext"])
    assert page.locator("#parallel .y-axis").last.locator(".tick text").all_text_contents() == axis["ticktext"]
    slot = axis["tickvals"][axis["ticktext"].index("diverged")]
    numbers = [
        value
        for value, text in zip(axis["tickvals"], axis["ticktext"], strict=True)
        if text not in ("diverged", "failed")
    ]
    assert axis["values"].count(slot) == 3 and slot > max(numbers)
    assert axis["range"][0] <= min(axis["values"]) and axis["range"][1] >= max(axis["values"])
    crosses = page.evaluate(
        "document.getElementById('curve-chart').data.filter(t => t.marker && t.marker.symbol === 'x-thin').map(t => t.x)"
    )
    assert sorted(crosses[0]) == [2, 2, 2, 3]


def test_a_rate_that_spans_powers_of_ten_has_a_log_axis(page: Page) -> None:
    axis = page.evaluate("document.getElementById('parallel').data[0].dimensions.find(d => d.label === 'optim.lr')")
    assert axis["ticktext"] == ["0.0001", "0.001", "0.1"] and axis["tickvals"] == pytest.approx([-4, -3, -1])


def test_means_over_seeds_are_means_over_seeds(page: Page) -> None:
    page.fill("#query", "sgd 0.001")
    page.wait_for_function("document.getElementById('count').textContent.startsWith('3 of')")
    page.select_option("#metric", "val/loss")
    page.select_option("#lines", "means")
    mean = page.evaluate("document.getElementById('curve-chart').data.find(t => t.text && !t.fill).y")
    last = [5.0 + seed + 10 + 1 / 0.001**0.3 for seed in (1, 2, 3)]
    assert mean == pytest.approx([40.0, 20.0, sum(last) / 3], rel=1e-4)


def test_the_slider_shows_the_layers_of_an_epoch(page: Page) -> None:
    page.evaluate("document.getElementById('layers').scrollIntoView()")
    assert page.inner_text("#epoch-shown") == "3"
    page.focus("#epoch")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#epoch-shown") == "2"
    page.wait_for_function("document.getElementById('depth-title').textContent.startsWith('epoch 2')")
    line = page.evaluate(
        "document.getElementById('depth-chart').data.find(t => t.mode.startsWith('lines')).y.slice(0, 3)"
    )
    # weight and bias joined: (100 * 0.1 + 10 * 0.05) / 110, and a tenth of it a layer further
    assert line == pytest.approx([10.5 / 110 * 0.1**k for k in range(3)], rel=1e-4)
    page.select_option("#quantity", "dead_fraction")
    line = page.evaluate(
        "document.getElementById('depth-chart').data.find(t => t.mode.startsWith('lines')).y.slice(0, 3)"
    )
    assert line == pytest.approx([0, 0.1, 0.2])


def test_every_layer_has_its_name_on_the_axis(page: Page) -> None:
    """Plotly leaves out names that do not fit beside the chart."""
    page.evaluate("document.getElementById('layers').scrollIntoView()")
    page.wait_for_selector("#depth-chart .xtick text")
    shown = page.locator("#depth-chart .xtick text").evaluate_all(
        "all => all.filter(one => getComputedStyle(one).display !== 'none').map(one => one.textContent)"
    )
    assert shown == ["linear1", "linear2", "linear3"]
    assert page.evaluate("document.getElementById('depth-chart').layout.xaxis.range") == [
        -0.3,
        2.3,
    ]  # with room for them


def test_runs_that_ended_before_the_epoch_of_the_layers_are_counted(page: Page) -> None:
    page.evaluate(
        "document.getElementById('epoch').value = 3; document.getElementById('epoch').dispatchEvent(new Event('input'))"
    )
    note = "document.getElementById('layer-note').textContent"
    page.wait_for_function(f"{note}.includes('3 of the runs shown had ended before epoch 3.')")
    page.evaluate(
        "document.getElementById('epoch').value = 2; document.getElementById('epoch').dispatchEvent(new Event('input'))"
    )
    page.wait_for_function(f"!{note}.includes('ended')")


def test_a_dragged_slider_draws_once_a_frame(page: Page) -> None:
    draws = page.evaluate("""async () => {
        const chart = document.getElementById('depth-chart'), slider = document.getElementById('epoch');
        let draws = 0;
        chart.on('plotly_afterplot', () => { draws += 1; });
        for (let i = 0; i < 12; i++) { slider.value = i % 4; slider.dispatchEvent(new Event('input')); }
        for (let i = 0; i < 4; i++) await new Promise(requestAnimationFrame);
        return draws;
    }""")
    assert draws == 1 and page.inner_text("#epoch-shown") == "3"


def test_no_button_sends_data_away(page: Page) -> None:
    buttons = page.locator(".modebar-btn").evaluate_all("buttons => buttons.map(b => b.dataset.title)")
    assert buttons and not [title for title in buttons if "hare" in title or "loud" in title]


def test_an_interval_below_zero_does_not_spoil_a_log_scale(odd: Page) -> None:
    assert odd.is_checked("#curve-log") and odd.input_value("#lines") == "means"
    low, high = odd.evaluate("document.getElementById('curve-chart')._fullLayout.yaxis.range")
    assert -1.3 < low <= -1 and 2 <= high < 2.3  # of 0.1 to 100
    least = odd.evaluate(
        "Math.min(...document.getElementById('curve-chart').data.flatMap(t => t.y).filter(v => v !== null))"
    )
    assert least == pytest.approx(0.1 / 3)


def test_steps_are_those_of_any_metric_and_seconds_are_means(odd: Page) -> None:
    lines = "document.getElementById('curve-chart').data.filter(t => t.text && !t.fill && t.mode === 'lines').map(t => [t.text[0], t.x])"
    odd.select_option("#metric", "train/loss")
    odd.select_option("#against", "step")
    steps = odd.evaluate(lines)
    odd.select_option("#against", "seconds")
    seconds = odd.evaluate(lines)
    odd.select_option("#against", "epoch")
    odd.select_option("#metric", "val/loss")
    assert [x for _, x in steps] == [[10, 20, 30]] * 3
    assert [x for _, x in seconds] == [[1, 2, 3]] * 3  # of 0.5, 1 and 1.5 an epoch


def test_a_run_made_twice_counts_once_in_means(odd: Page) -> None:
    find(odd, "optim.lr=0.0001", 4)
    mean = odd.evaluate("document.getElementById('curve-chart').data.find(t => t.text && !t.fill).y")
    assert mean == pytest.approx([100, 10, 4])  # of 3, 4 and 5; not 99
    assert "1 of the runs shown is the same experiment as another" in odd.inner_text("#curve-note")
    assert shown(odd) == 4
    odd.locator("#table-of-runs tbody tr:not([hidden])", has_text="99").click()
    assert "the same experiment as 0.0001,1" in odd.inner_text("tr.detail")


def test_a_run_of_unknown_setting_has_a_slot_of_its_own_and_is_grey(odd: Page) -> None:
    assert shown(odd) == 11
    found = odd.evaluate("document.getElementById('parallel').data[0].dimensions.find(d => d.label === 'optim.lr')")
    assert found["ticktext"] == ["unknown", "0.0001", "0.01", "1"] and found["tickvals"][1:] == [-4, -2, 0]
    assert found["values"].count(found["tickvals"][0]) == 1 and found["tickvals"][0] < -4
    assert odd.locator("#legend span", has_text="unknown").locator("line").get_attribute("stroke") == "#8a929a"
    find(odd, "unknown", 1)
    traces = odd.evaluate("document.getElementById('curve-chart').data")
    assert [trace["line"]["color"] for trace in traces if trace["mode"] == "lines"] == ["#8a929a"]


def test_a_layer_that_the_runs_shown_lack_is_not_drawn(odd: Page) -> None:
    odd.select_option("#layer", label="6")
    assert "6 of the runs shown have no layer 6." in odd.inner_text("#layer-note")
    find(odd, "optim.lr=0.01", 3)
    assert odd.text_content("#flow-title") == "no layer 6: the runs shown have 2"
    assert odd.locator("#layer option:not([disabled])").count() == 2
    odd.click("#reset")
    assert odd.locator("#layer option:not([disabled])").count() == 6
    odd.select_option("#layer", label="1")
