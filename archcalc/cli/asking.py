"""The commands that ask for more than one size: formulas, derivations, sweeps, the largest size, differences."""

import argparse
from collections.abc import Sequence

from archcalc.cli.common import as_json, keep_the_model, model_of, size_of, width, write
from archcalc.errors import UsageError
from archcalc.questions.quantities import USUAL, wanted


def formula(options: argparse.Namespace) -> int:
    """Print quantities of a model as closed forms."""
    from archcalc.questions.closed_form import Derivation
    from archcalc.views import formula as views

    of = wanted("--of", options.of, USUAL)
    keep_the_model(options)
    symbols = listed("--symbols", options.symbols)
    derivation = Derivation(model_of(options), symbols, options.assume, **size_of(options))
    forms = [derivation.form(name, options.layer) for name in of]
    style = options.format or "text"
    if style == "json":
        page = as_json([form.to_dict() for form in forms] if len(forms) > 1 else forms[0].to_dict())
    elif style == "text":
        page = views.page(forms, width())
    else:
        page = views.program(forms, style) if style in ("python", "js") else views.lines(forms, style)
    write(page, options.output)
    return 0


def listed(option: str, text: str | None) -> list[str] | None:
    """Names separated by commas; None where the option is not given."""
    if text is None:
        return None
    names: Sequence[str] = [name.strip() for name in text.split(",")]
    if not all(names):
        raise UsageError(option, "must be names separated by commas", repr(text))
    return list(names)
