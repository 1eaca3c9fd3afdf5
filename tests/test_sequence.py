"""Recurrent layers, einsum and positions: their laws, counting by loops, and PyTorch's own modules beside them."""

from itertools import product
from math import prod

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import archcalc
from archcalc.errors import ArchcalcError, LayerError, ModelError
from archcalc.layers import AddedPosition, Einsum, MatMul, Recurrent, Rotary
from archcalc.layers.layer import KINDS
from archcalc.model.walk import answer

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from archcalc.crosscheck.facts import counted, randomised  # noqa: E402
from archcalc.crosscheck.measure import kept_by, packing, storage  # noqa: E402
from archcalc.crosscheck.strategies import cases  # noqa: E402
from archcalc.dialects.torch_face import module, read  # noqa: E402

RECURRENT = ("rnn", "lstm", "gru")
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
recurrent = st.sampled_from(RECURRENT).flatmap(lambda name: cases(KINDS[name]))
few = settings(max_examples=40)


def costs(layer, *xs):
    found = answer(layer, xs)
    return found.params, found.macs, found.ops


# --- laws


@given(recurrent, st.integers(2, 5))
def test_costs_are_linear_in_batch_and_length(case, times):
    layer, ((batch, length, features),) = case
    once = answer(layer, ((batch, length, features),))
    for x in ((times * batch, length, features), (batch, times * length, features)):
        more = answer(layer, (x,))
        assert (more.params, more.macs, more.ops) == (once.params, times * once.macs, once.ops.times(times))


@given(recurrent)
def test_two_directions_cost_twice(case):
    (name, fields), x = fields_of(case)
    fields |= {"layers": 1, "dropout": 0.0}
    params, macs, ops = costs(Recurrent(name, **fields | {"bidirectional": False}), x)
    assert costs(Recurrent(name, **fields | {"bidirectional": True}), x) == (2 * params, 2 * macs, ops.times(2))


@given(recurrent, st.integers(2, 4))
def test_layers_add(case, number):
    (name, fields), x = fields_of(case)
    whole = costs(Recurrent(name, **fields | {"layers": number}), x)
    single = fields | {"layers": 1, "dropout": 0.0, "returns": "sequence"}
    parts, y = [], x
    for _ in range(number):
        layer = Recurrent(name, **single)
        parts.append(costs(layer, y))
        y = layer.out(y)
    params, macs, ops = zip(*parts, strict=True)
    assert whole == (sum(params), sum(macs), sum(ops[1:], ops[0]))


def fields_of(case):
    layer, (x,) = case
    fields = {name: getattr(layer, name) for name in layer.__struct_fields__ if name != "function"}
    return (layer.function, fields), x


@given(recurrent)
def test_macs_are_what_loops_count(case):
    """For every sequence, direction, step, layer, row of weights: one for each number that the row reads."""
    layer, ((batch, length, features),) = case
    count, state = 0, layer.projection or layer.units
    for _ in range(batch * length):
        reads = features
        for _ in range(layer.layers):
            for _ in range(1 + layer.bidirectional):
                for _ in range(GATES[layer.function] * layer.units):
                    count += reads + state
                for _ in range(layer.projection or 0):
                    count += layer.units
            reads = state * (1 + layer.bidirectional)
    assert layer.macs([(batch, length, features)], layer.out((batch, length, features))) == count


# --- PyTorch's own modules


def own(layer, features):
    """The module of PyTorch's, as users write it."""
    words = {"num_layers": layer.layers, "bidirectional": layer.bidirectional, "bias": layer.biases > 0}
    words |= {"proj_size": layer.projection} if layer.projection else {}
    words |= {"nonlinearity": layer.nonlinearity} if layer.function == "rnn" else {}
    return getattr(nn, layer.function.upper())(features, layer.units, batch_first=True, **words)


@few
@given(recurrent)
def test_tensors_outputs_and_last_states_are_those_of_pytorchs_modules(case):
    layer, (x,) = case
    assume(layer.reset_after and layer.biases != 1)
    real, made = own(layer, x[-1]).double().eval(), module(layer, x).double().eval()
    ours = {name: weight.shape for name, weight in layer.weights(x).items()}
    assert ours == {name: tuple(parameter.shape) for name, parameter in real.named_parameters()}
    assert list(ours) == [name for name, _ in real.named_parameters()]
    made.load_state_dict(randomised(real).state_dict())
    data = torch.rand(x, dtype=torch.float64) - 0.5
    with torch.no_grad():
        sequence, last = real(data)
        last = last[0] if layer.function == "lstm" else last
        ends = torch.cat(list(last[-layer.directions :]), -1)
        torch.testing.assert_close(made(data), sequence if layer.returns == "sequence" else ends, rtol=0, atol=0)


@few
@given(recurrent)
def test_one_bias_is_a_second_one_of_zeros(case):
    layer, (x,) = case
    assume(layer.biases == 1)
    twice = Recurrent(**{name: getattr(layer, name) for name in layer.__struct_fields__} | {"biases": 2})
    made, other = module(layer, x).double().eval(), module(twice, x).double().eval()
    zeros = {name: torch.zeros_like(tensor) for name, tensor in other.state_dict().items() if "bias_hh" in name}
    other.load_state_dict(made.state_dict() | zeros)
    data = torch.rand(x, dtype=torch.float64)
    torch.testing.assert_close(made(data), other(data), rtol=0, atol=0)


def test_modules_are_read_back():
    assert read(nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True, proj_size=2, dropout=0.5)) == Recurrent(
        "lstm", units=4, layers=2, bidirectional=True, projection=2, dropout=0.5
    )
    assert read(nn.GRU(3, 4, batch_first=True, bias=False)) == Recurrent("gru", units=4, biases=0)
    relu = nn.RNN(3, 4, batch_first=True, nonlinearity="relu")
    assert read(relu) == Recurrent("rnn", units=4, nonlinearity="relu")
    with pytest.raises(ModelError) as caught:
        read(nn.GRU(3, 4))
    assert str(caught.value) == "GRU: archcalc has no layer with batch_first=False; got GRU(3, 4)"


def unrolled(x, weights, units):
    """An LSTM of one layer written out, gate by gate."""
    state, memory = x.new_zeros((len(x), units)), x.new_zeros((len(x), units))
    for step in range(x.shape[1]):
        gates = []
        for gate in range(4):
            rows = slice(gate * units, (gate + 1) * units)
            given = functional.linear(x[:, step], weights["weight_ih_l0"][rows], weights["bias_ih_l0"][rows])
            gates.append(given + functional.linear(state, weights["weight_hh_l0"][rows], weights["bias_hh_l0"][rows]))
        entry, forget, candidate, shows = gates
        memory = torch.sigmoid(forget) * memory + torch.sigmoid(entry) * torch.tanh(candidate)
        state = torch.sigmoid(shows) * torch.tanh(memory)
    return state


def test_the_counter_is_right_about_an_lstm_that_is_written_out_and_silent_about_onednns():
    layer, x = Recurrent("lstm", units=6), (2, 7, 5)
    macs = layer.macs([x], layer.out(x))
    assert macs == 2 * 7 * 4 * 6 * (5 + 6)
    for device, seen in (("meta", macs), ("cpu", 0)):
        with torch.device(device):
            network, data = nn.LSTM(5, 6, batch_first=True), torch.rand(x)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            unrolled(data, dict(network.named_parameters()), 6)
        assert counter.get_total_flops() == 2 * macs
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(data)
        assert counter.get_total_flops() == 2 * seen


def test_what_is_written_out_computes_the_same():
    network, data = nn.LSTM(5, 6, batch_first=True).double(), torch.rand((2, 7, 5), dtype=torch.float64)
    torch.testing.assert_close(unrolled(data, dict(network.named_parameters()), 6), network(data)[0][:, -1])


@few
@given(recurrent)
def test_what_a_recurrent_layer_keeps_is_a_lower_bound(case):
    """On a CPU: input, states and gates, in oneDNN's buffer or one by one; views count by their storage."""
    layer, (x,) = case
    made, data = module(layer, x), torch.rand(x, requires_grad=True)
    _, packed = packing(made, [data])
    sizes = {storage(tensor): tensor.untyped_storage().nbytes() for tensor in packed}
    weights = {storage(parameter) for parameter in made.parameters()}
    kept = sum(size for block, size in sizes.items() if block not in weights)
    y = layer.out(x)
    stated = 4 * sum(tensor.elements for tensor in layer.saved((x,), y))
    assert stated >= 4 * (prod(x) + x[0] * x[1] * layer.state * layer.directions)
    assert stated <= kept + 4 * prod(y) * (layer.returns == "sequence")  # the output is held in any case


def spec(lines, inputs="{x: [9, 5]}"):
    return archcalc.loads(f"archcalc: 1\ninputs: {inputs}\nlayers:\n{lines}")


def test_memory_and_time_say_what_they_do_not_know():
    model = spec("- lstm: {units: 6, layers: 2}\n- dense: 3\n")
    unknown = Recurrent.keeps_more
    assert model.memory().status == "complete"
    training = model.memory(training=True)
    assert (training.status, training.notes) == (
        "partial",
        (f"what training keeps is a lower bound: lstm1: {unknown}",),
    )
    assert model.time("nvidia-t4", training=True).notes == (
        "lstm1: each step waits for the one before, which the estimate leaves out: expect more",
    )
    (row, _) = model.time("nvidia-t4").rows
    assert row.macs_exact == 9 * 4 * 6 * (5 + 6 + 6 + 6)
    assert row.traffic_bytes == 4 * (9 * 5 + 4 * 6 * (5 + 6 + 6 + 6 + 4) + 9 * 6)
    learnt = model.time("nvidia-t4", training=True).rows[0]
    assert learnt.macs_exact == 2 * row.macs_exact  # forward and weights; the input needs no gradient


# --- einsum


@given(cases(KINDS["einsum"]))
def test_einsum_counts_what_torchs_counter_sees_of_torch_einsum(case):
    layer, xs = case
    sizes = layer.sizes(xs)
    assume(
        not layer.summed or any(sizes[letter] > 1 for letter in layer.summed)
    )  # else it multiplies, and adds nothing
    with FlopCounterMode(display=False) as counter:
        y = torch.einsum(layer.equation, *(torch.empty(x, device="meta") for x in xs))
    assert tuple(y.shape) == layer.out(*xs)
    assert counter.get_total_flops() == 2 * layer.macs(xs, y.shape)
    loops = sum(1 for _ in product(*(range(n) for n in sizes.values())))
    assert layer.ops(xs, layer.out(*xs)).mul == loops


@given(cases(KINDS["einsum"]))
def test_einsum_keeps_and_gives_what_torch_einsum_does(case):
    layer, xs = case
    made = module(layer, *xs)
    data = [torch.rand(x, dtype=torch.float64) for x in xs]
    real = torch.einsum(layer.equation, *data)
    torch.testing.assert_close(made(*data), real, rtol=1e-12, atol=1e-12)
    if any(layer.sizes(xs)[letter] > 1 for letter in layer.summed):
        assert kept_by(made, data) == kept_by(Plain(layer.equation), data)
        order = [n for n in range(real.dim()) if real.shape[n] > 1]
        strides = [real.stride(n) for n in order]
        assert layer.permutes(xs) or strides == sorted(strides, reverse=True)


class Plain(nn.Module):
    """torch.einsum, as users call it."""

    def __init__(self, equation):
        super().__init__()
        self.equation = equation

    def forward(self, *xs):
        return torch.einsum(self.equation, *xs)


@given(st.lists(st.integers(1, 9), min_size=5, max_size=5))
def test_a_product_of_matrices_is_an_einsum(sizes):
    batch, heads, rows, inner, columns = sizes
    a, b = (batch, heads, rows, inner), (batch, heads, inner, columns)
    for kind, equation, second in (
        (MatMul(), "bhik,bhkj->bhij", b),
        (MatMul(transpose_second=True), "bhik,bhjk->bhij", (batch, heads, columns, inner)),
    ):
        einsum, matmul = Einsum(equation), kind
        assert costs(einsum, a, second) == costs(matmul, a, second)
        assert einsum.product((a, second), einsum.out(a, second)) == matmul.product((a, second), matmul.out(a, second))


# --- positions


def test_a_rotation_keeps_lengths_and_depends_on_the_distance_alone():
    made = module(Rotary(length=50), (1, 1, 50, 8)).double()
    q, k = (torch.rand((1, 1, 1, 8), dtype=torch.float64).expand(1, 1, 50, 8) for _ in range(2))
    turned, other = made(q)[0, 0], made(k)[0, 0]
    torch.testing.assert_close(turned.norm(dim=-1), q[0, 0].norm(dim=-1), rtol=1e-6, atol=1e-6)
    scores = turned @ other.T
    for distance in (0, 1, 7):
        along = scores.diagonal(distance)
        torch.testing.assert_close(along, along[:1].expand_as(along), rtol=1e-5, atol=1e-5)
    assert (scores.diagonal(1)[0] - scores.diagonal(2)[0]).abs() > 1e-3


def test_features_behind_the_turned_ones_stay():
    made = module(Rotary(length=5, features=4), (2, 3, 5, 7))
    data = torch.rand(2, 3, 5, 7)
    torch.testing.assert_close(made(data)[..., 4:], data[..., 4:], rtol=0, atol=0)
    assert not torch.equal(made(data)[..., :4], data[..., :4])


def test_sines_are_those_of_the_paper():
    """PE(pos, 2i) = sin(pos / 10000^(2i/d)), PE(pos, 2i + 1) = cos of the same."""
    table = module(AddedPosition("sinusoidal_position", length=6), (1, 6, 4)).weight
    for position in range(6):
        angle = torch.tensor([position, position / 100.0])
        expected = torch.stack([angle.sin(), angle.cos()], -1).flatten()
        torch.testing.assert_close(table[position], expected)


def test_a_shared_table_counts_once():
    model = spec(
        "- rotary: {name: q, from: a, length: 8}\n- rotary: {name: k, from: b, length: 8, shared_with: q}\n"
        "- einsum: {equation: 'bhid,bhjd->bhij', from: [q, k]}\n",
        "{a: [2, 5, 4], b: [2, 5, 4]}",
    )
    assert model.report().totals.buffers == 2 * 8 * 2
    network = archcalc.torch.build(model)
    assert network.k.sines is network.q.sines


@given(cases(KINDS["rotary"]) | cases(KINDS["learned_position"]) | cases(KINDS["sinusoidal_position"]))
def test_positions_are_counted_element_by_element(case):
    layer, (x,) = case
    _, values, ops, _ = counted(layer, (x,), (None,))
    assert ops == layer.ops((x,), x)
    assert values.shape == x


# --- mistakes


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Recurrent("lstm", units=4, projection=4).out((1, 2, 3)), "Lstm: projection must be less than the units; got 4 and 4"),
        (lambda: Recurrent("gru", units=4, biases=3), "Gru: biases must be 0, 1 or 2; got 3"),
        (lambda: Recurrent("gru", units=4, dropout=0.5), "Gru: dropout is between layers: it needs 2 or more; got 0.5 and 1 layer"),
        (lambda: Recurrent("gru", units=4, layers=2, dropout=2.0), "Gru: dropout must lie between 0 and 1; got 2.0"),
        (lambda: Recurrent("rnn", units=0), "Rnn: units must be at least 1; got 0"),
        (lambda: Recurrent("mgu", units=4), "Recurrent: function must be one of the table; got 'mgu'"),
        (lambda: Recurrent("rnn", units=4).out((1, 3, 8, 8)), "Rnn: the input must be (batch, length, features); got 1×3×8×8"),
        (lambda: Einsum("b...i,b...j->bij"), "Einsum: equation must name every axis by a letter, without an ellipsis; got 'b...i,b...j->bij'"),
        (lambda: Einsum("bij,bjk"), "Einsum: equation must be of the form bij,bjk->bik; got 'bij,bjk'"),
        (lambda: Einsum("bii,bij->bj"), "Einsum: a letter must stand once in each input and in the output; got 'bii,bij->bj'"),
        (lambda: Einsum("ij,jk->ik"), "Einsum: inputs and output must begin with the same letter: the batch; got 'ij,jk->ik'"),
        (lambda: Einsum("bij,bjk->bix"), "Einsum: each letter of the output must be one of an input; got 'bij,bjk->bix'"),
        (lambda: Einsum("bij,bk->bik"), "Einsum: a letter that is summed over must stand in both inputs; got 'bij,bk->bik'"),
        (lambda: Einsum("bij,bjk->bik").out((1, 2), (1, 3, 4)), "Einsum: bij must have a letter for each axis of its input; got 1×2"),
        (lambda: Einsum("bij,bjk->bik").out((1, 2, 3), (1, 4, 5)), "Einsum: inputs must agree in j; got 1×2×3 and 1×4×5"),
        (lambda: AddedPosition("learned_position", length=4).out((1, 5, 8)), "LearnedPosition: the sequence must not be longer than the table; got 5 positions, length=4"),
        (lambda: AddedPosition("learned_position", length=4).out((1, 4)), "LearnedPosition: the input must be (batch, length, width); got 1×4"),
        (lambda: Rotary(length=4).out((1, 2, 4, 5)), "Rotary: the features that are turned must be even; got 5"),
        (lambda: Rotary(length=4, features=6).out((1, 2, 4, 4)), "Rotary: features must be at most the width; got features=6, width=4"),
        (lambda: Rotary(length=4).out((4, 6)), "Rotary: the input must be (batch, …, length, width); got 4×6"),
    ],
)  # fmt: skip
def test_mistakes(make, text):
    with pytest.raises(LayerError) as caught:
        make()
    assert str(caught.value) == text


def test_a_mistake_in_a_spec_has_its_place():
    with pytest.raises(ArchcalcError) as caught:
        spec("- lstm: {units: 4, projection: 9}\n")
    assert "Lstm: projection must be less than the units; got 9 and 4\n  at layers[0] in " in str(caught.value)
