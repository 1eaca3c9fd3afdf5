"""Every kind against the real network: output shape, each tensor by name and shape, and MACs on the meta device."""

from collections import defaultdict
from operator import lt

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from archcalc import load
from archcalc.dialects.yaml import zoo_names
from archcalc.layers import AvgPool, Conv, ConvTranspose, Layer
from archcalc.layers.windowed import per_axis
from archcalc.model.walk import answer
from tests.asking import model_of
from tests.cases import CASES
from tests.strategies import convs, pools, transposed

torch_oracle = pytest.importorskip("tests.torch_oracle", reason="torch is not installed")


def agrees(layer: Layer, xs):
    """The layer's answers equal what the real module does."""
    ours = answer(layer, tuple(xs))
    shape, tensors, macs = torch_oracle.run(layer, xs)
    assert ours.y == shape
    assert {name: weight.shape for name, weight in ours.weights.items()} == tensors
    assert ours.macs == macs
    return ours


@pytest.mark.parametrize("case", CASES, ids=[f"{n}-{case.line[:50]}" for n, case in enumerate(CASES)])
def test_cases(case):
    shapes = dict(zip(model_of(case).inputs, case.inputs, strict=True))
    uses = model_of(case).walk(shapes)
    for use in uses:
        agrees(use.layer, use.xs)
    assert uses[-1].answers.y == case.out


@given(convs())
def test_random_convolutions(pair):
    agrees(pair[0], [pair[1]])


@given(transposed())
def test_random_transposed_convolutions(pair):
    agrees(pair[0], [pair[1]])


@given(pools())
def test_random_pools(pair):
    layer, x = pair
    # PyTorch's three-axis average pool alone measures its kernel against the axis without the padding
    assume(not (isinstance(layer, AvgPool) and len(x) == 5 and any(map(lt, x[2:], per_axis(layer, "kernel", 3)))))
    agrees(layer, [x])


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 4), st.booleans())
def test_ceil_mode_sizes(n, kernel, stride, ceil):
    """The rule of the last window, on single axes where it is easiest to get wrong."""
    from archcalc.errors import LayerError
    from archcalc.layers import MaxPool

    try:
        layer = MaxPool(kernel=kernel, stride=stride, padding=kernel // 2, ceil_mode=ceil)
        agrees(layer, [(1, 1, n)])
    except LayerError:
        with pytest.raises(RuntimeError):
            torch_oracle.torch.nn.MaxPool1d(kernel, stride, kernel // 2, ceil_mode=ceil)(
                torch_oracle.torch.zeros(1, 1, n)
            )


@pytest.mark.parametrize("name", zoo_names())
def test_every_layer_of_the_zoo(name):
    """Each distinct use in a network, at its own size and at another one."""
    model = load(f"zoo:{name}")
    seen = defaultdict(int)
    for size in (None, other_size(model)):
        report = model.report(size)
        for use in model.walk(report.inputs):
            key = (use.layer, use.xs)
            seen[key] += 1
            if seen[key] == 1:
                agrees(use.layer, use.xs)
    assert seen


def other_size(model):
    at = model.expect.get("at", {})
    if at:
        return next(iter(at))
    (item,) = model.inputs.values()
    return None if len(item.shape) == 1 else item.shape[1:]


def test_it_can_disagree():
    """The comparison is not empty: wrong answers are seen."""
    with pytest.raises(AssertionError):
        assert (
            answer(Conv(filters=4, kernel=3), ((1, 2, 8, 8),)).macs
            == torch_oracle.run(Conv(filters=4, kernel=3, padding=1), [(1, 2, 8, 8)])[2]
        )
    assert torch_oracle.run(ConvTranspose(filters=1, kernel=2, stride=2), [(1, 1, 3, 3)])[0] == (1, 1, 6, 6)
