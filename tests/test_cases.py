"""Every kind against literals: shapes, parameters, multiply–accumulates and operations."""

import pytest

from archcalc.layers import KINDS
from tests.asking import model_of, report_of
from tests.cases import CASES

ids = [f"{n}-{case.line[:60]}" for n, case in enumerate(CASES)]


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_literals(case):
    report = report_of(case)
    totals = report.totals
    counted = (totals.ops.mul, totals.ops.add, totals.ops.cmp, totals.ops.div, totals.ops.exp)
    assert report.output == case.out
    assert (totals.params, totals.buffers) == (case.params, case.buffers)
    assert (totals.macs, totals.macs_exact) == (case.macs, case.macs if case.macs_exact is None else case.macs_exact)
    assert counted == case.ops
    assert report.status == "complete"
    assert case.source


def test_every_kind_has_a_case():
    assert {case.kind for case in CASES} == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_every_example_works_on_the_shapes_it_names(name):
    from archcalc.dialects.kinds import kind_page

    page = kind_page(name, 80)
    assert KINDS[name].example in page
    assert max(map(len, page.split("Example")[0].splitlines())) <= 80


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_batch_multiplies_operations_and_leaves_weights(case):
    model = model_of(case)
    once, thrice = model.report(batch=1).totals, model.report(batch=3).totals
    assert thrice.params == once.params
    times = 9 if case.kind == "weighted_conv" else 3  # its kernel is an input, whose filters stand where the batch does
    assert (thrice.macs, thrice.macs_exact) == (times * once.macs, times * once.macs_exact)
    if case.kind == "batch_norm" and "running: false" in case.line:  # its rows run over the batch
        assert thrice.ops.total > 2 * once.ops.total
    else:
        assert thrice.ops == once.ops.times(times)
