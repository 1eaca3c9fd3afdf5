"""Memory as closed forms in the sizes and the batch: every named quantity, and each peak at its moment."""

from collections.abc import Mapping
from typing import Any

from archcalc.algebra.assumptions import Substitution
from archcalc.algebra.ops import CONVENTIONS
from archcalc.model.network import Network
from archcalc.model.sizes import Sizes
from archcalc.questions.account import Account, Choices
from archcalc.questions.closed_form import Derivation, asking, shortest
from archcalc.questions.symbols import BATCH, replaced, symbols_of


def forms(
    model: Network, input: Sizes | Mapping[str, Sizes] | None, batch: int, dtype: str, choices: Choices
) -> dict[str, Any]:
    """Each quantity as an expression in the input's axes and the batch N, in sympy; before rounding to blocks.

    A peak is the expression of the moment that is the peak at the sizes given: elsewhere it is what that moment
    takes, and so at most the peak.
    """
    names = [symbol.name for symbol in symbols_of(model, {}) if symbol.usual]
    derivation = Derivation(model, [*names, BATCH], (), input, batch=batch, dtype=dtype)
    way = Substitution(derivation.names, derivation.assumptions)
    uses = derivation.walk(way, asking("params", CONVENTIONS["archcalc"], derivation.names))
    shapes = replaced(derivation.shapes, derivation.symbols, way.forward)
    general = Account(model, uses, shapes, dtype, choices)
    here = Account(model, model.walk(derivation.shapes), derivation.shapes, dtype, choices)
    found = dict(general.quantities())
    for training in (False, True) if choices.training else (False,):
        moments = here.ledger(training=training).moments
        place = max(range(len(moments)), key=lambda place: moments[place].bytes)
        name = "training_peak_bytes" if training else "inference_peak_bytes"
        found[name] = general.ledger(training=training, until=place).now
    return {name: shortest(total, way.back) for name, total in found.items()}
