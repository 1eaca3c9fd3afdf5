"""Every kind beside the real network, fact by fact; and that each sort of mistake in a formula is found."""

import random
from math import gcd

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archcalc.algebra.ops import Ops
from archcalc.crosscheck.strategies import STRATEGIES
from archcalc.layers import (
    KINDS,
    Activation,
    AdaptiveAvgPool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    GroupNorm,
    LayerNorm,
    MaxPool,
    Recurrent,
    RMSNorm,
    SeparableConv,
    Weight,
)
from archcalc.layers.layer import Saved
from archcalc.layers.pool import covered
from tests.asking import model_of
from tests.cases import CASES

torch = pytest.importorskip("torch", reason="torch is not installed")

from archcalc.crosscheck import facts, naive, sizes  # noqa: E402
from archcalc.crosscheck.bench import Bench  # noqa: E402
from archcalc.crosscheck.kinds import checked  # noqa: E402
from archcalc.crosscheck.measure import Kept, stated  # noqa: E402
from archcalc.crosscheck.small import smaller, work  # noqa: E402

WELL_DEFINED = {  # what PyTorch refuses, though the numbers are clear
    "PyTorch does not normalise a single value",
    "PyTorch's average pool over three axes measures its kernel without the padding",
    Recurrent.keeps_more,
}


def known(note):
    """What is said not to be known: copies of permuted tensors, and what a library keeps of a recurrent layer."""
    return "permuted" in note or Recurrent.keeps_more in note or clamped(note)


def clamped(note):
    """A slice that may begin before the axis does: which is larger depends on sizes that PyTorch has ruled out."""
    return "not decided: " in note and "Largest(" in note


def inputs_of(model, case):
    """Full shapes of a case's inputs; the spec of a layer that reads nothing has one that nothing reads."""
    return dict(zip(model.inputs, case.inputs or [(1, *item.shape) for item in model.inputs.values()], strict=True))


def checks_of(layer, *xs):
    return list(checked(layer, xs))


def differing(layer, *xs):
    return {check.what for check in checks_of(layer, *xs) if check.verdict == "differs"}


@pytest.mark.parametrize("case", CASES, ids=[f"{n}-{case.line[:50]}" for n, case in enumerate(CASES)])
def test_every_fact_of_every_case(case):
    model = model_of(case)
    shapes = inputs_of(model, case)
    bench = Bench(model, model.walk(shapes), shapes, "meta")
    checks = [*bench.in_network(), *bench.by_itself(), bench.whole()]
    fixed = "its weights fix every size" if case.kind in ("parameter", "constant") else None
    differing = [
        str(check) for check in checks if check.verdict != "equal" and not known(check.note) and check.note != fixed
    ]
    assert differing == []
    assert {check.what for check in checks} >= {
        "output",
        "tensors",
        "operations",
        "values",
        "saved",
        "every size",
    }
    assert ("MACs" in {check.what for check in checks}) == ("exact MACs" in {check.what for check in checks})


@pytest.mark.parametrize("name", KINDS)
def test_random_configurations_of_every_kind(name):
    """A small share of what `archcalc verify --kinds --cases 10000` looks at; others in every long run."""
    from archcalc.crosscheck.kinds import SHARE, USUAL, verified

    share = SHARE.get(KINDS[name].cls, USUAL)
    number = (9 if share == max(SHARE.values()) else 3) * share * settings().max_examples // 150
    seed = 0 if settings().derandomize else random.randrange(2**32)  # noqa: S311
    found = verified(KINDS[name], number, "meta", seed=seed)
    assert found.failure is None, str(found.failure)
    assert found.cases > number // 2
    notes = {check.note for check in found.unchecked}
    if name in ("reshape", "parameter", "constant"):  # with all sizes given, there is none to leave open
        notes -= {"its weights fix every size"}
    if name == "slice":
        notes = {note for note in notes if not clamped(note)}
    if name == "reshape":  # its quotients are of products of all sizes
        notes = {note for note in notes if not note.endswith("residue classes are too many to look at")}
    assert notes <= WELL_DEFINED


def test_every_kind_has_a_strategy_a_program_a_module_and_says_what_it_keeps():
    assert {kind.cls for kind in KINDS.values()} == set(STRATEGIES)
    for case in CASES:
        model = model_of(case)
        for use in model.walk(inputs_of(model, case)):
            assert naive.has_program(use.layer)
            assert use.layer.saved(use.xs, use.answers.y) is not None


def size_less(self, *xs):
    return (xs[0][0], self.filters, *(n - 1 for n in xs[0][2:]))


def no_bias(self, *xs):
    return {"weight": Weight((self.filters, xs[0][1], 3, 3))}


def seven(*_):
    return 7


def padding_too(self, xs, y):
    return self.macs(xs, y)


def one_addition_less(self, xs, y):
    return Ops(mul=self.macs(xs, y), add=self.macs(xs, y) - 1)


def nothing(*_):
    return ()


def one_of_the_output(*_):
    return (Saved("output", 1),)


def right_at_this_size_alone(_, __, y):
    return 8 * 9 * 4 * 9 * 11 * y[0]


MISTAKES = [  # a wrong answer to each question, and the check that must see it
    ("out", size_less, "output"),
    ("weights", no_bias, "tensors"),
    ("macs", seven, "MACs"),
    ("macs_exact", padding_too, "exact MACs"),
    ("ops", one_addition_less, "operations"),
    ("saved", nothing, "saved"),
    ("saved", one_of_the_output, "saved"),
    ("macs", right_at_this_size_alone, "every size"),
]


@pytest.mark.parametrize(("question", "wrong", "what"), MISTAKES)
def test_a_mistake_in_each_answer_is_seen(monkeypatch, question, wrong, what):
    layer, x = Conv(filters=8, kernel=3, padding=1), (2, 4, 9, 11)
    assert differing(layer, x) == set()
    monkeypatch.setattr(Conv, question, wrong)
    assert what in differing(layer, x)


def test_a_program_that_computes_something_else_is_seen(monkeypatch):
    monkeypatch.setitem(naive.elements.FUNCTIONS, "relu", lambda x, _: x.at_least(1))
    assert differing(Activation("relu"), (1, 3, 4)) == {"values"}


def test_a_composite_is_compared_as_a_whole(monkeypatch):
    layer, x = SeparableConv(filters=3, kernel=3, padding="same"), (1, 2, 5, 5)
    names = [check.layer for check in checks_of(layer, x) if check.what == "values"]
    assert names == ["separable_conv/depthwise", "separable_conv/pointwise", "separable_conv"]
    parts = SeparableConv.parts
    monkeypatch.setattr(SeparableConv, "parts", lambda self, *xs: (parts(self, *xs)[0],))
    with pytest.raises(KeyError):  # its program wants the weights of both parts
        checks_of(layer, x)


def kept(layer, *xs, device="cuda"):
    y = layer.out(*xs)
    return sorted(stated(layer.saved(xs, y, device)).elements(), key=str)


def test_what_cuda_keeps_by_its_own_rules():
    """PyTorch's CUDA kernels, from its source: a mask of a byte each, a fused RMS norm, a log-sigmoid without buffer."""
    x = (2, 8, 10, 10)
    assert kept(Dropout("dropout", rate=0.1), x) == [Kept("own", 1600, "bool")]
    assert kept(Dropout("dropout", rate=0.1), x, device="cpu") == [Kept("own", 1600, "float32")]
    assert kept(RMSNorm(), (1, 4, 32)) == [Kept(0, 128, "float32"), Kept("own", 4, "float32")]
    assert kept(Activation("logsigmoid"), x) == [Kept(0, 1600, "float32")]
    composite = [Kept(0, 120, "float32"), Kept("own", 10, "float32"), Kept("own", 120, "float32")]
    assert kept(RMSNorm(axes=(1, 2)), (2, 3, 4, 5)) == composite  # there is no fused norm for channels last
    assert len(kept(RMSNorm(axes=(2, 3)), (2, 3, 4, 5))) == 2


def test_a_refusal_of_pytorch_is_unchecked_and_never_equal():
    found = {check.what: check for check in checks_of(GroupNorm(groups=2), (1, 2, 1))}
    assert found["runs"].verdict == "unchecked"
    assert found["runs"].note == "PyTorch does not normalise a single value"
    assert "output" not in found
    single = {check.what: check.verdict for check in checks_of(BatchNorm(), (1, 2, 1))}
    assert (single["output"], single["saved"]) == ("equal", "unchecked")


def test_an_error_of_pytorch_that_is_not_known_is_a_difference():
    check = facts.refused("conv1", "runs", RuntimeError("something  else\nhappened"))
    assert str(check) == "conv1, runs: formula runs, measured RuntimeError: something else happened"
    assert check.verdict == "differs"


@given(STRATEGIES[Conv](KINDS["conv"]))
@settings(max_examples=60)
def test_a_smaller_layer_is_of_the_same_make(case):
    layer, xs = case
    found = smaller(layer, xs, 2_000)
    if found is not None:
        assert work(*found) <= 2_000
        assert type(found[0]) is type(layer)
        assert (found[0].kernel, found[0].stride, found[0].padding) == (layer.kernel, layer.stride, layer.padding)
        found[0].out(*found[1])


@given(st.integers(1, 60), st.integers(1, 20))
def test_adaptive_windows(n, size):
    cells = [len(range(n)[i * n // size : -(-(i + 1) * n // size)]) for i in range(size)]
    assert covered(n, size) == sum(cells) == n + size - gcd(n, size)
    assert AdaptiveAvgPool(size=size).ops([(1, 1, n)], (1, 1, size)).add == sum(cells) - size


def test_what_is_large_is_cut_down_and_what_cannot_be_is_said():
    layer, xs = Conv(filters=512, kernel=3, padding=1, groups=32), ((8, 1024, 64, 64),)
    small, shapes = facts.cut(layer, xs)
    assert work(small, shapes) <= facts.MOST
    assert facts.cut(Conv(filters=1, kernel=200), ((1, 1, 200, 200),)) == "more than 10,000 even when cut down"


def test_sizes_that_the_weights_fix_are_left_alone():
    assert sizes.free_axes(Conv(filters=4, kernel=3), [(2, 3, 8, 8)]) == [{0, 2, 3}]
    assert sizes.free_axes(Dense(units=4), [(2, 5, 8)]) == [{0, 1}]
    assert sizes.free_axes(LayerNorm(axes=(1, 2)), [(2, 5, 8)]) == [{0}]
    assert sizes.free_axes(MaxPool(kernel=2), [(2, 3, 8, 8)]) == [{0, 1, 2, 3}]


def sized(layer, *xs):
    (check,) = [check for check in checks_of(layer, *xs) if check.what == "every size"]
    return check.verdict, check.note


def test_what_pytorch_does_not_leave_open_is_said():
    assert sized(MaxPool(kernel=2), (1, 2, 6, 6)) == ("equal", "")
    assert sized(MaxPool(kernel=2), (1, 2, 6)) == ("equal", "but for axis 2, which PyTorch specialises")
    assert sized(LayerNorm(affine=False, axes=(1, 2)), (1, 2, 6)) == (
        "equal",
        "but for axes 1, 2, which PyTorch specialises",
    )
    assert sized(Dense(units=2), (1, 3)) == ("equal", "")  # its batch
    assert sized(GroupNorm(groups=2, affine=False), (1, 4, 3)) == ("equal", "")  # odd channels are no legal size


@pytest.mark.parametrize("padding", ["same", 1, ((1, 0), (0, 1))])
@pytest.mark.parametrize("ceil", [False, True])
def test_every_rest_of_a_division_is_looked_at(padding, ceil):
    """PyTorch's answer holds for some sizes only, where it pads by their rest: the others take runs of their own."""
    layer = MaxPool(kernel=3, stride=3, padding=padding, ceil_mode=ceil)
    assert sized(layer, (1, 1, 9, 9)) == ("equal", "")


def test_a_class_of_sizes_with_another_answer_is_seen(monkeypatch):
    """A formula that is right for odd sizes and wrong for even ones."""
    right = MaxPool.out
    monkeypatch.setattr(MaxPool, "out", lambda self, x: (*right(self, x)[:2], *((n + 1) // 2 for n in x[2:])))
    layer = MaxPool(kernel=3, stride=2, padding=1)
    assert sized(layer, (1, 1, 9, 9)) == ("equal", "")
    other = MaxPool(kernel=3, stride=2, padding=0, ceil_mode=True)  # ⌈(n − 3)/2⌉ + 1 is less by one for odd sizes
    assert sized(other, (1, 1, 8, 8))[0] == "differs"


@pytest.mark.parametrize("wrong", [lambda n: n // 2, lambda n: n // 2 + 1], ids=["for odd sizes", "for even sizes"])
def test_a_formula_that_is_right_where_pytorch_was_asked_is_not_enough(monkeypatch, wrong):
    """PyTorch pads `same` by the rest of the size: its expression for even sizes says nothing of odd ones."""
    monkeypatch.setattr(Conv, "out", lambda _, x: (x[0], 1, wrong(x[2])))
    for n in (8, 16):  # PyTorch is asked about an odd size first, and about an even one
        layer = Conv(filters=1, kernel=3, stride=2, padding="same")
        assert facts.sized(layer, ((1, 1, n),), (None,)).verdict == "differs"


def test_a_torch_without_symbolic_sizes_is_said(monkeypatch):
    monkeypatch.setattr(sizes, "missing", "this version of PyTorch has no symbolic sizes (ShapeEnv)")
    (check,) = [check for check in checks_of(Dense(units=2), (1, 3)) if check.what == "every size"]
    assert (check.verdict, check.note) == ("unchecked", "this version of PyTorch has no symbolic sizes (ShapeEnv)")
