"""Lines for people."""

import textwrap

from hypothesis import given
from hypothesis import strategies as st

from paribus.formatting import wrap_lines


def test_a_number_stays_with_its_per_cent_and_an_interval_in_one_piece() -> None:
    text = "MATTERS lr 43 % of the variance, seeds 9 %, by 1.09 points [-0.79, 1.39]"
    for width in range(20, 80):
        lines = wrap_lines(text, width, "  ", "    ")
        assert all(len(line) <= width for line in lines)
        assert " ".join(line.strip() for line in lines) == text
        assert not any(line.lstrip().startswith("%") or line.endswith("[-0.79,") for line in lines), lines


@given(st.lists(st.sampled_from(["a", "word", "relu", "of", "settings"]), min_size=1).map(" ".join), st.integers(8, 60))
def test_words_are_wrapped_as_textwrap_does(text: str, width: int) -> None:
    assert wrap_lines(text, width) == textwrap.wrap(text, width)
