"""How often levels diverge: Fisher's test and the smallest p that it could give, by enumeration."""

import math
from itertools import product

import pytest

from multirun_analysis.compare.design import Cell, Contest, Entry, Kind, Outcome
from multirun_analysis.compare.divergence import compare_divergence, least_p
from multirun_analysis.compare.results import DivergenceTest

A, B = "relu", "tanh"


def by_enumeration(a: int, na: int, b: int, nb: int) -> float:
    """The two-sided p over all tables with these margins: of those that are as probable or less."""
    total = a + b
    ways = {k: math.comb(na, k) * math.comb(nb, total - k) for k in range(max(0, total - nb), min(na, total) + 1)}
    return sum(w for w in ways.values() if w <= ways[a]) / sum(ways.values())


def contest(*contexts: dict[str, list[float]]) -> Contest:
    """Of the figures of a level by seed, in each setting of another factor; infinite where a run diverged."""
    entries = {}
    for k, figures in enumerate(contexts):
        cells = {
            level: Cell({(s, s): Outcome(f"{level}{k}{s}", (s, s), v, v) for s, v in enumerate(values)})
            for level, values in figures.items()
        }
        entries[k,] = {level: Entry({(): cell}, ()) for level, cell in cells.items()}
    return Contest("activation", Kind.CONTROLLED, {}, entries, (), ("optim",))  # type: ignore[arg-type]


def runs(diverged: int, of: int) -> list[float]:
    return [-math.inf] * diverged + [0.9] * (of - diverged)


@pytest.mark.parametrize(("a", "b"), [((0, 5), (5, 5)), ((1, 10), (4, 10)), ((2, 3), (1, 6)), ((3, 3), (0, 3))])
def test_levels_are_compared_by_fishers_exact_test(a: tuple[int, int], b: tuple[int, int]) -> None:
    (test,) = compare_divergence(contest({A: runs(*a), B: runs(*b)}))
    assert (test.diverged, test.replicates) == ((a[0], b[0]), (a[1], b[1]))
    assert test.p == pytest.approx(by_enumeration(*a, *b))


def test_none_against_all_of_five_seeds_is_two_tables_of_252() -> None:
    (test,) = compare_divergence(contest({A: runs(0, 5), B: runs(5, 5)}))
    assert test.p == pytest.approx(2 / 252)


def test_a_seed_counts_once_and_where_most_of_its_settings_diverged() -> None:
    """tanh diverges with seed 0 in two of three settings, with seed 1 in one: that is one seed of two."""
    inf = -math.inf
    found = compare_divergence(
        contest({A: [1.0, 1.0], B: [inf, 1.0]}, {A: [1.0, 1.0], B: [inf, inf]}, {A: [1.0, 1.0], B: [1.0, 1.0]})
    )
    assert [(t.diverged, t.replicates) for t in found] == [((0, 1), (2, 2))]


def test_missing_runs_and_levels_that_never_diverge_say_nothing() -> None:
    assert compare_divergence(contest({A: runs(0, 5), B: runs(0, 5)})) == []
    (test,) = compare_divergence(contest({A: [0.9, math.nan], B: [-math.inf, 0.9]}))
    assert test.replicates == (1, 2)


def test_the_least_p_is_the_smallest_of_all_tables_with_as_many_divergences() -> None:
    for na, nb in product(range(1, 6), repeat=2):
        for total in range(1, na + nb + 1):
            tables = [(a, total - a) for a in range(max(0, total - nb), min(na, total) + 1)]
            for a, b in tables:
                least = least_p(DivergenceTest(A, B, (a, b), (na, nb), math.nan))
                assert least == pytest.approx(min(by_enumeration(i, na, j, nb) for i, j in tables))
