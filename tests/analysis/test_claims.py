"""Claims about two levels, and what came of them."""

from pathlib import Path

import pytest
from made_studies import grid, study

from multirun_analysis.compare.claims import Answer, check_claim
from multirun_analysis.compare.comparison import Comparison
from paribus.errors import UserError


def claim(found: Comparison, text: str) -> Answer:
    return check_claim(found, text).answer


def test_claims_hold_are_refuted_or_undecided(tmp_path: Path) -> None:
    found = study(tmp_path, grid({"relu": [11.0, 12.0, 13.1], "tanh": [16.0, 17.1, 18.2], "gelu": [11.3, 11.8, 13.4]}))
    assert claim(found, "activation: relu <= tanh") == Answer.HOLDS
    assert claim(found, "activation: relu <= tanh - 4") == Answer.HOLDS
    assert claim(found, "activation: relu >= tanh") == Answer.REFUTED
    assert claim(found, "activation: relu <= tanh - 6") == Answer.REFUTED
    assert claim(found, "activation: relu < gelu") == Answer.UNDECIDED
    assert claim(found, "activation: relu == gelu +- 3") == Answer.HOLDS
    assert claim(found, "activation: relu == tanh +- 1") == Answer.REFUTED
    assert [answer.exit_code for answer in Answer] == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("activaton: relu <= tanh", "Did you mean 'activation'"), ("activation: rellu <= tanh", "Did you mean 'relu'"),
        ("activation: relu == tanh", "needs a margin"), ("activation: relu <= tanh - 0.3pt", "unit of"),
        ("relu is best", "Its form is"), ("activation: relu <= tanh +- 1", "=="), ("", "Its form is"),
    ],
)  # fmt: skip
def test_claims_that_cannot_be_read_say_how(tmp_path: Path, text: str, message: str) -> None:
    found = study(tmp_path, grid({"relu": [1.0, 2.0], "tanh": [1.5, 2.1]}))
    with pytest.raises(UserError, match=message):
        check_claim(found, text)
