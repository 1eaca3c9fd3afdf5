"""How fast formulas are derived, against torch's symbolic counter, and evaluated, against single counts."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

import numpy
import sympy
import torch
from networks import ResNet50
from rival import macs, on_meta
from speed import HERE, Figure, in_turn, machine, per_call, process, same, totals
from symbolic import formula

import archcalc
from archcalc.questions.closed_form import Derivation

DERIVE = (
    "import archcalc; form = archcalc.load('zoo:resnet50').closed_form('macs'); "
    "print(f'MACs {int(form(H=224, W=224)):,}')"
)
POINTS, SIZES = 10**6, 1000


def derived(rounds: int) -> list[Figure]:
    """ResNet-50's MACs as a formula: in a process that has done so before, and in a fresh one."""
    model, network = archcalc.load("zoo:resnet50"), on_meta(ResNet50)
    form, theirs = model.closed_form("macs"), formula(network)
    height, width = sorted(theirs.free_symbols, key=str)
    for h, w in ((224, 224), (225, 301), (33, 1000), (64, 65)):
        same(f"formula at {h}×{w}", form(H=h, W=w), int(theirs.subs({height: h, width: w})))
        same(f"count at {h}×{w}", form(H=h, W=w), macs(network, (3, h, w)))
    ours, rival = in_turn(rounds, per_call(lambda: model.closed_form("macs"), 5), per_call(lambda: formula(network), 1))
    mine, other = in_turn(
        rounds,
        lambda: process(sys.executable, "-c", DERIVE),
        lambda: process(sys.executable, str(HERE / "symbolic.py")),
    )
    same("formula in a process", totals(mine[0].printed), totals(other[0].printed))
    seconds = [[run.seconds for run in runs] for runs in (mine, other)]
    return [
        Figure("e. ResNet-50's MACs as a formula, warm", ours, rival, "ms", "torch, symbolic", least=10),
        Figure("e. the same with imports, process", *seconds, "s", "torch, symbolic", least=3),
    ]


def evaluated(rounds: int) -> list[Figure]:
    """A million random sizes at once, against a plain lambdify; and a thousand sizes against a thousand counts."""
    model, network = archcalc.load("zoo:resnet50"), on_meta(ResNet50)
    derivation = Derivation(model)
    forms = [derivation.form(name) for name in ("params", "macs", "output_bytes")]
    function = archcalc_function(forms)
    h, w = numpy.random.default_rng(0).integers(32, 4096, (2, POINTS))
    columns = function(h, w)
    exact = numpy.random.default_rng(1).choice(POINTS, SIZES, replace=False)
    for at in exact:  # against Python's integers, and every tenth against a report
        place = {"H": int(h[at]), "W": int(w[at])}
        same(
            "a point",
            [int(numpy.broadcast_to(column, h.shape)[at]) for column in columns],
            [form(**place) for form in forms],
        )
        if at % 10 == 0:
            counted = model.report((place["H"], place["W"])).totals
            same("a report", (int(columns[1][at]), int(columns[2][at])), (counted.macs, counted.output_bytes))
    plain = lambdified(forms[1])
    million, bare = in_turn(rounds, per_call(lambda: function(h, w), 3), per_call(lambda: plain(h, w), 3))
    many = per_call(lambda: function(h[:SIZES], w[:SIZES]), 200)
    one = per_call(lambda: macs(network, (3, 224, 224)), 2)
    thousand, counter = in_turn(rounds, many, lambda: one() * SIZES)
    return [
        Figure(
            f"f. params, MACs and bytes at {POINTS:,} random sizes",
            million,
            bare,
            "ms",
            "lambdify, MACs only",
            limit=150,
        ),
        Figure(f"f. the same at {SIZES:,} sizes", thousand, counter, "ms", f"{SIZES:,} × torch on meta", least=1000),
    ]


def archcalc_function(forms: list[Any]) -> Callable[..., Any]:
    """One function for several closed forms."""
    from archcalc.algebra.compiled import compiled

    return compiled([form.expressions[0] for form in forms], ["H", "W"])


def lambdified(form: Any) -> Callable[..., Any]:
    """The plain way: sympy's own floor, and its printer for numpy."""
    height, width = (next(s for s in form.expression.free_symbols if s.name == name) for name in "HW")
    plain = form.expression.replace(archcalc_floor(), lambda p, q: sympy.floor(p / q))
    made: Callable[..., Any] = sympy.lambdify([height, width], plain, "numpy")
    return made


def archcalc_floor() -> Any:
    from archcalc.algebra.symbolic import FloorDiv

    return FloorDiv


def explained(rounds: int) -> list[Figure]:
    """The derivation of all of ResNet-50, and what a report of it takes."""
    model = archcalc.load("zoo:resnet50")
    ours, report = in_turn(rounds, per_call(lambda: str(model.explain()), 1), per_call(model.report, 5))
    return [Figure("g. explain ResNet-50, whole", ours, report, "ms", "its report", limit=1000)]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=7, help="pairs")
    given = options.parse_args()
    torch.set_num_threads(1)
    figures = [*derived(given.rounds), *evaluated(given.rounds), *explained(given.rounds)]
    print("\n".join(f"- {key}: {value}" for key, value in machine().items()))
    print("\n| figure | ours | against | ratio | target | met? |\n|---|---|---|---|---|---|")
    print("\n".join(figure.line() for figure in figures))
    print("\nMedians (smallest–largest); the ratio is that of the medians, its range that of pairs run in turn.")


if __name__ == "__main__":
    main()
