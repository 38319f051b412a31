"""Claims and verdict.json through the command line: exit codes that programs may rely on, and valid JSON."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from records import write_run

from multirun_analysis import __main__ as command


def run(*arguments: object) -> int:
    """Run the command as it is run from a shell; its exit code."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["multirun_analysis", *map(str, arguments)])
        try:
            command.run()
        except SystemExit as stop:
            return int(stop.code or 0)
    return 0


@pytest.fixture(scope="module")
def accuracies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seeds: adam is 2 to 3 points better than sgd, and within half a point of nadam; rmsprop diverges."""
    root = tmp_path_factory.mktemp("claims") / "study"
    for seed in range(1, 6):
        base = 0.20 + 0.01 * seed
        errors = {"adam": base, "sgd": base + 0.025 + 0.001 * (seed % 3), "nadam": base + 0.001 * (seed % 3 - 1)}
        for optim, error in errors.items():
            write_run(root / f"{optim}{seed}", (0.9, error), seed=seed, task="classification", optim=optim)
        write_run(root / f"rmsprop{seed}", (float("nan"),), seed=seed, task="classification", optim="rmsprop",
                  status="diverged")  # fmt: skip
    return root


@pytest.mark.parametrize(
    ("claim", "code"),
    [
        ("optim: adam >= sgd", 0), ("optim: adam >= sgd + 1pt", 0), ("optim: sgd <= adam", 0), ("optim: adam > sgd", 0),
        ("optim: adam <= sgd", 1), ("optim: adam >= sgd + 5pt", 1), ("optim: adam == sgd +- 1pt", 1),
        ("optim: adam == nadam +- 1pt", 0), ("optim: nadam >= adam", 2), ("optim: adam == nadam +- 0.01pt", 2),
    ],
)  # fmt: skip
def test_the_exit_code_is_the_answer(
    accuracies: Path, capsys: pytest.CaptureFixture[str], claim: str, code: int
) -> None:
    assert run(accuracies, "--claim", claim) == code
    out, error = capsys.readouterr()
    assert out.startswith(["holds", "refuted", "undecided"][code]) and len(out.splitlines()) == 1 and not error
    assert "5 replicates" in out and "settled_val_acc" in out
    assert not (accuracies / "analysis").exists()  # a question writes nothing


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        ("optm: adam >= sgd", ("'optm'", "Did you mean 'optim'")),
        ("optim: adm >= sgd", ("'adm'", "Did you mean 'adam'")),
        ("optim: adam >= sgd - 0.3", ("'0.3'", "percentage points")),
        ("optim: adam == sgd", ("margin", "+- 0.3pt")),
        ("optim: adam >= rmsprop", ("rmsprop", "unusable")),
        ("adam is best", ("'adam is best'", "FACTOR: LEVEL OP LEVEL")),
        ("", ("not understood",)),
    ],
)
def test_an_error_is_no_answer_and_names_the_thing_and_the_remedy(
    accuracies: Path, capsys: pytest.CaptureFixture[str], claim: str, words: tuple[str, ...]
) -> None:
    assert run(accuracies, "--claim", claim) == 3
    out, error = capsys.readouterr()
    assert not out and error.startswith("error: ") and len(error.splitlines()) == 1 and "Traceback" not in error
    assert all(word in error for word in words), error


@pytest.mark.parametrize(
    "arguments",
    [("nowhere", "--claim=a: b > c"), ("--claim",), ("--claim", "a: b > c", "--no-such-option"), ("--cla", "a: b > c")],
)
def test_mistakes_around_a_claim_are_no_answer_either(arguments: tuple[str, ...]) -> None:
    assert run(*arguments) == 3


def test_a_mistake_of_the_program_is_no_answer(
    accuracies: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(command, "answer", fail)
    assert run(accuracies, "--claim", "optim: adam >= sgd") == 3
    assert "ZeroDivisionError: a mistake" in capsys.readouterr().err


def test_several_tasks_are_asked_one_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "s" / "a")
    write_run(tmp_path / "s" / "b", (0.5, 0.2), task="classification")
    assert run(tmp_path / "s", "--claim", "optim: adam >= sgd") == 3
    assert "classification, regression" in capsys.readouterr().err


def strict(text: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    return parsed


KEYS = {"schema", "task", "metric", "direction", "margin", "runs", "heading", "lines", "next", "best", "best_by_block", "factors",
        "confounded", "blocks", "unusable", "shares", "why", "diagnosis", "noise", "looks", "budgets", "times", "claim",
        "reversals", "varying_effects", "planned", "rest_of_shares"}  # fmt: skip


def test_the_documentation_has_every_key() -> None:
    text = (ROOT / "docs" / "verdict.md").read_text(encoding="utf-8").partition("## verdict.json")[2]
    named = {
        key for cell in re.findall(r"^\| (`.+?`) \|", text, re.MULTILINE) for key in re.findall(r"`([^`.\[]+)`", cell)
    }
    assert named == KEYS


def test_json_has_every_key_and_numbers_alone(accuracies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(accuracies, "--json", "--margin", "0.5pt", "--claim", "optim: adam >= sgd") == 0
    found = strict(capsys.readouterr().out)
    assert set(found) == KEYS
    assert found["runs"] == {"completed": 15, "diverged": 5} and found["margin"] == pytest.approx(0.005)
    assert found["claim"]["answer"] == "holds" and found["claim"]["replicates"] == 5
    (factor,) = found["factors"]
    levels = {level["level"]: level for level in factor["levels"]}
    assert levels["rmsprop"]["usable"] is False and levels["rmsprop"]["mean"] is None
    assert levels["adam"]["mean"] == pytest.approx(1 - 0.23)  # the mean of 0.21 to 0.25
    pair = next(p for p in factor["pairs"] if {p["a"], p["b"]} == {"adam", "sgd"})
    sign = 1 if pair["a"] == "adam" else -1
    assert sign * pair["difference"] == pytest.approx(0.025 + 0.001 * (1 + 2 + 0 + 1 + 2) / 5)
    assert pair["interval"][0] < pair["difference"] < pair["interval"][1]
    assert "rmsprop" in found["unusable"] and not (accuracies / "analysis").exists()


def test_an_analysis_writes_the_same_object(accuracies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                            monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    from multirun_analysis.figures import gallery

    monkeypatch.setattr(gallery, "gallery", lambda *_: {})
    assert run(accuracies, "--json") == 0
    printed = strict(capsys.readouterr().out)
    assert run(accuracies, "--out", tmp_path / "out") == 0
    assert strict((tmp_path / "out" / "verdict.json").read_text()) == printed
