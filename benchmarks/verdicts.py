"""What the verdict says, held against simulations whose truth is known: python benchmarks/verdicts.py

Each row is a claim of docs/verdict.md: the share of simulated studies, its standard error, and the range that it has to
lie in. The functions that are called are those of the analysis. A summary by part follows. Exit code 1 where a rate
lies outside by more than three standard errors. docs/simulations.md has the rows.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from simulations import (
    claims,
    curves,
    divergence,
    effects,
    noise,
    revisions,
    searches,
    times,
    trends,
    tuning,
    turned,
    until,
    varying,
    why,
)
from simulations.made_studies import Random
from simulations.rows import Row, summarise

from paribus.terminal import make_console

PARTS: Mapping[str, Callable[[Random, int], Iterator[Row]]] = {
    "null": effects.null,
    "interactions": effects.interactions,
    "jitter": curves.jitter,
    "power": effects.power,
    **tuning.PARTS,
    **searches.PARTS,
    "splits": trends.splits,
    "equivalence": effects.equivalence,
    "reversals": turned.null,
    "reversals_found": turned.power,
    "varying": varying.null,
    "varying_found": varying.power,
    "trends": trends.trends,
    "claims": claims.claims,
    "tuned_claims": claims.tuned_claims,
    "divergence": divergence.divergence,
    "until": until.until,
    "until_powers": until.powers,
    "until_equivalence": until.equivalence,
    "until_confirmed": until.confirmed,
    "times": times.times,
    "why": why.null,
    "why_named": why.power,
    "noise": noise.noise,
    "code": revisions.null,
    "code_power": revisions.power,
    "code_interval": revisions.unit,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies a row; of large ones fewer")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    console = make_console(width=160)
    rows: list[Row] = []
    console.print(
        "| part | what | required | measured | studies | |\n| --- | --- | ---: | ---: | ---: | --- |", soft_wrap=True
    )
    for name in options.only:
        for row in PARTS[name](np.random.default_rng(options.seed), options.studies):
            rows.append(row)
            console.print(row.as_markdown(), soft_wrap=True)
    console.print("\n| part | required | measured | rows |\n| --- | ---: | ---: | --- |", soft_wrap=True)
    for line in summarise(rows):
        console.print(line, soft_wrap=True)
    if failed := sum(not row.met for row in rows):
        sys.exit(f"{failed} rates are outside of what is required.")


if __name__ == "__main__":
    main()
