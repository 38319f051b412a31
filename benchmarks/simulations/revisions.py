"""Studies before and after a change of the code that does nothing, or something of known size."""

import math
from collections.abc import Iterator

import numpy as np

from multirun_analysis.compare.design import Levels, Outcome
from multirun_analysis.compare.results import Result, Verdict
from multirun_analysis.compare.revisions import AFTER, BEFORE, judge_revision
from simulations.made_studies import Random
from simulations.rows import Row, share

SIZES = ((1, 3), (1, 10), (4, 5), (9, 3), (9, 10))  # settings and seeds


def judge(before: np.ndarray, after: np.ndarray) -> tuple[list[Result], list[tuple[Levels, Result]]]:
    """Judge figures (settings, seeds) before and after, of which more is better; settings without a change are out."""

    def outcomes(values: np.ndarray) -> dict[tuple[int, int], Outcome]:
        return {(k, k): Outcome("", (k, k), float(v), float(v)) for k, v in enumerate(values)}

    cells = {
        (f"a{i}",): {BEFORE: outcomes(old), AFTER: outcomes(new)}
        for i, (old, new) in enumerate(zip(before, after, strict=True))
        if (old != new).any()
    }
    return judge_revision(cells, ("activation",), 1, False, None, 0.0)


def null(random: Random, studies: int) -> Iterator[Row]:
    """The change disturbs runs and moves none to one side: at most 5 % of studies conclude anything."""
    for settings, seeds in SIZES:
        for noise in ("equal noise", "one setting 4 times", "half of the runs unchanged", "5 % diverge"):
            scale = np.ones((settings, 1))
            if noise.startswith("one"):
                scale[0] = 4

            def happens(scale: np.ndarray = scale, shape: tuple[int, int] = (settings, seeds), noise: str = noise
                        ) -> bool:  # fmt: skip
                before = random.normal(size=shape)
                after = before + scale * random.normal(size=shape)
                if noise.startswith("half"):
                    after = np.where(random.random(shape) < 0.5, before, after)
                if noise.startswith("5"):
                    for values in (before, after):
                        values[random.random(shape) < 0.05] = -np.inf
                whole, single = judge(before, after)
                return any(result.concluded for result in [*whole, *(result for _, result in single)])

            what = f"{settings} setting{'s' * (settings > 1)}, {seeds} seeds, {noise}"
            yield Row("code, null", what, share(studies, happens), studies, (0, 5))


def power(random: Random, studies: int) -> Iterator[Row]:
    """The change moves all settings, or one of them, by deviations of the difference of a pair."""
    for settings, seeds, gap, one in ((1, 5, 2.0, False), (9, 3, 1.0, False), (9, 5, 4.0, True), (9, 10, 2.0, True)):

        def happens(shape: tuple[int, int] = (settings, seeds), gap: float = gap, one: bool = one) -> bool:
            before = random.normal(size=shape)
            after = before + random.normal(size=shape)
            after[: 1 if one else None] -= gap
            whole, single = judge(before, after)
            result = single[0][1] if one else whole[0]
            pair = result.pair(AFTER, BEFORE)
            return pair is not None and pair.verdict == Verdict.WORSE

        where = "one of them" if one else "all"
        what = f"{settings} setting{'s' * (settings > 1)}, {seeds} seeds, {where} worse by {gap:g} deviations: said"
        yield Row("code, power", what, share(studies, happens), studies, None)


def unit(random: Random, studies: int) -> Iterator[Row]:
    """The interval of the effect of one setting holds the truth."""

    def holds() -> bool:
        before = random.normal(size=(1, 5))
        [result], _ = judge(before, before + 0.7 + random.normal(size=(1, 5)))
        pair = result.pair(AFTER, BEFORE)
        assert pair is not None and not math.isnan(pair.estimate.error)
        low, high = pair.estimate.interval
        return low <= 0.7 <= high

    yield Row("code, interval", "1 setting, 5 seeds: holds the truth", share(studies, holds), studies, (93, 97))
