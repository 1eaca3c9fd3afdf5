"""Attention beside naive counting and PyTorch: pairs that are seen, blocks as sums of their parts, decoding, experts."""

import json

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from archcalc import loads
from archcalc.algebra.ops import Ops
from archcalc.cli.main import main
from archcalc.errors import ArchcalcError, LayerError, ModelError, UsageError
from archcalc.layers import Attention, Experts, GatedMLP, MixtureOfExperts, MultiHeadAttention
from archcalc.model.walk import answer

SIZES = st.integers(1, 9)
GPT = """
archcalc: 1
name: gpt
inputs: {{tokens: {{shape: [{length}], dtype: int64}}}}
layers:
  - embedding: {{name: table, vocabulary: {vocabulary}, width: {width}}}
  - learned_position: {{name: positions, length: {length}}}
  - repeat:
      times: {depth}
      layers:
        - residual:
            - layer_norm
            - multi_head_attention: {{heads: {heads}, causal: true{more}}}
        - residual:
            - layer_norm
            - dense: {inner}
            - gelu_tanh
            - dense: {width}
  - layer_norm
  - dense: {{units: {vocabulary}, bias: false, shared_with: table}}
"""
MIXTRAL = """
archcalc: 1
name: mixtral
inputs: {tokens: {shape: [16], dtype: int64}}
layers:
  - embedding: {vocabulary: 32000, width: 4096}
  - repeat:
      times: 32
      layers:
        - residual:
            - rms_norm
            - multi_head_attention: {heads: 32, kv_heads: 8, bias: false, causal: true, rotary: 32768}
        - residual:
            - rms_norm
            - mixture_of_experts: {experts: 8, top_k: 2, hidden: 14336}
  - rms_norm
  - dense: {units: 32000, bias: false}
"""


def gpt(length=1024, vocabulary=50257, width=768, heads=12, depth=12, more=""):
    return loads(
        GPT.format(
            length=length, vocabulary=vocabulary, width=width, heads=heads, depth=depth, inner=4 * width, more=more
        )
    )


def small(more="", length=12):
    return gpt(length, vocabulary=11, width=8, heads=2, depth=2, more=more)


def seen(queries, keys, causal, window):
    """Pairs counted one by one: the last query stands at the last key."""
    count = 0
    for i in range(queries):
        here = i + keys - queries
        for there in range(keys):
            first = 0 if window is None else here - (window - 1 if causal else window // 2)
            within = window is None or first <= there < first + window
            count += within and not (causal and there > here)
    return count


@given(SIZES, SIZES, st.booleans(), st.none() | st.integers(1, 12))
def test_pairs_are_those_that_are_counted(queries, more, causal, window):
    keys = queries + more - 1
    layer = Attention(causal=causal, window=window)
    assert layer.pairs(queries, keys) == seen(queries, keys, causal, window)


@given(st.integers(1, 200))
def test_causal_pairs_of_equal_lengths_are_a_triangle(n):
    assert Attention(causal=True).pairs(n, n) == n * (n + 1) // 2


@given(SIZES, SIZES, st.booleans(), st.none() | st.integers(1, 12))
def test_pairs_read_on_symbols(queries, more, causal, window):
    keys, layer = queries + more - 1, Attention(causal=causal, window=window)
    n, d = sympy.symbols("n d", integer=True, positive=True)
    form = sympy.sympify(layer.pairs(n, n + d - 1))
    assert form.subs({n: queries, d: keys - queries + 1}) == layer.pairs(queries, keys)


@given(st.integers(1, 3), SIZES, SIZES, st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_groups_of_one_head_are_heads(batch, queries, more, heads, width, causal):
    keys = queries + more - 1
    xs = ((batch, queries, heads * width), *[(batch, keys, heads * width)] * 2)
    plain = answer(Attention(heads=heads, causal=causal), xs)
    assert answer(Attention(heads=heads, kv_heads=heads, causal=causal), xs) == plain
    apart = tuple((batch, heads, length, width) for length in (queries, keys, keys))
    by_axis = answer(Attention(causal=causal), apart)
    assert (by_axis.macs, by_axis.macs_exact, by_axis.ops) == (plain.macs, plain.macs_exact, plain.ops)
    fewer = ((batch, queries, heads * width), *[(batch, keys, width)] * 2)
    one = answer(Attention(heads=heads, kv_heads=1, causal=causal), fewer)
    assert (one.macs, one.ops) == (plain.macs, plain.ops)  # fewer keys to keep, as many products


def sum_of_parts(layer, x):
    """Parameters, MACs and operations of a composite, its own parts among them."""
    shapes, total = {0: x}, [0, 0, 0, Ops()]
    for part in layer.parts(x):
        found = answer(part.layer, tuple(shapes[source] for source in part.sources))
        shapes[part.name] = found.y
        for place, n in enumerate((found.params, found.macs, found.macs_exact, found.ops)):
            total[place] = total[place] + n
    return total


@given(st.integers(1, 2), SIZES, st.integers(1, 3), st.integers(1, 2), st.integers(1, 3), st.booleans())
def test_a_block_of_heads_is_the_sum_of_its_parts(batch, length, groups, each, half, bias):
    heads, width = groups * each, groups * each * 2 * half
    layer = MultiHeadAttention(heads=heads, kv_heads=groups, bias=bias, causal=True, rotary=16)
    params, macs, exact, ops = sum_of_parts(layer, (batch, length, width))
    narrow = groups * 2 * half
    rows, core = batch * length, batch * heads * 2 * 2 * half
    assert params == 2 * width * width + 2 * width * narrow + (2 * width + 2 * narrow if bias else 0)
    assert macs == rows * (2 * width * width + 2 * width * narrow) + core * length * length
    assert macs - exact == core * (length * length - length * (length + 1) // 2)
    report = loads(
        f"archcalc: 1\nname: m\ninputs: {{x: [{length}, {width}]}}\nlayers:\n  - multi_head_attention: {{heads: {heads},"
        f" kv_heads: {groups}, bias: {str(bias).lower()}, causal: true, rotary: 16}}\n"
    ).report(batch=batch)
    totals = report.totals
    assert (totals.params, totals.macs, totals.macs_exact, totals.ops) == (params, macs, exact, ops)


@given(st.integers(1, 3), SIZES, SIZES, SIZES)
def test_a_gated_perceptron_is_three_dense_layers(batch, length, features, hidden):
    params, macs, _, ops = sum_of_parts(GatedMLP(hidden=hidden), (batch, length, features))
    assert (params, macs) == (3 * hidden * features, 3 * batch * length * hidden * features)
    assert ops.exp == batch * length * hidden


@given(st.integers(1, 4), st.integers(1, 4), SIZES, SIZES, SIZES)
def test_one_expert_of_one_is_a_gated_perceptron(top_k, more, length, features, hidden):
    alone = answer(Experts(top_k=1, hidden=hidden), ((1, length, features), (1, length, 1)))
    gated = sum_of_parts(GatedMLP(hidden=hidden), (1, length, features))
    assert [alone.params, alone.macs] == gated[:2]
    experts = top_k + more - 1
    several = answer(Experts(top_k=top_k, hidden=hidden), ((1, length, features), (1, length, experts)))
    assert (several.params, several.macs) == (experts * alone.params, top_k * alone.macs)


# Published numbers


def test_gpt2_small():
    totals = gpt().report().totals
    assert (totals.params, totals.macs, totals.macs_exact) == (124_439_808, 145_824_153_600, 136_169_914_368)
    assert totals.active_params is None
    assert "active_params" not in gpt().report().to_dict()["totals"]


def test_mixtral_8x7b_holds_all_experts_and_uses_two():
    totals = loads(MIXTRAL).report().totals
    expert = 3 * 14336 * 4096
    rest = 2 * 32000 * 4096 + 65 * 4096 + 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 4096 * 8)
    assert rest + 32 * 8 * expert == totals.params == 46_702_792_704
    assert rest + 32 * 2 * expert == totals.active_params == 12_879_925_248
    assert loads(MIXTRAL).report().to_dict()["totals"]["active_params"] == 12_879_925_248
    page = str(loads(MIXTRAL).report(depth=1))
    assert "params   46,702,792,704 (12,879,925,248 of them active for each token," in page


# Decoding


@pytest.mark.parametrize("more", ["", ", window: 4", ", kv_heads: 1"])
def test_decoding_every_position_is_the_prefill(more):
    model, length = small(more), 9
    macs = [model.decode(position).totals.macs for position in range(length)]
    whole = model.report(length).totals.macs_exact
    assert sum(macs) == whole
    assert model.decode(length).totals.prefill_macs == whole
    assert [model.decode(p).totals.prefill_macs for p in (0, 1)] == [0, macs[0]]


@given(st.integers(0, 11), st.integers(1, 3), st.none() | st.integers(1, 14), st.sampled_from([1, 2]))
def test_the_cache_holds_keys_and_values_that_are_seen(position, batch, window, groups):
    model = small(f", kv_heads: {groups}" + (f", window: {window}" if window else ""))
    totals = model.decode(position, batch=batch, dtype="bfloat16").totals
    kept = min(position + 1, window or position + 1)
    assert totals.kv_cache_bytes == 2 * batch * 2 * groups * 4 * kept * 2  # layers, keys and values, bytes
    assert totals.kv_cache_bytes_per_token == 2 * batch * 2 * groups * 4 * 2
    assert model.decode(position, batch=batch, cache_dtype="int8").totals.kv_cache_bytes * 2 == totals.kv_cache_bytes
    assert totals.read_bytes == totals.kv_cache_bytes + totals.weight_bytes
    assert totals.attention_macs == batch * 2 * 2 * 8 * kept


def test_the_cache_as_a_closed_form():
    position = sympy.Symbol("P", integer=True, nonnegative=True)
    totals = gpt(length=10**6).decode(position).totals
    assert sympy.expand(totals.kv_cache_bytes - 12 * 2 * 12 * 64 * (position + 1) * 4) == 0
    assert sympy.expand(totals.macs - 123_532_032 - 12 * 12 * 128 * (position + 1)) == 0


def test_gpt2_decodes_its_last_token():
    found = gpt().decode(1023)
    assert found.totals.kv_cache_bytes == 2 * 12 * 12 * 64 * 1024 * 4
    assert found.totals.macs == 123_532_032 + 12 * 12 * 1024 * 128
    assert repr(found) == "<Decode of gpt at 1023: 142,406,400 MACs, cache 75,497,472 B>"
    assert found.to_dict()["totals"]["kv_cache_bytes"] == 75_497_472


REFUSED = {
    "- dense: 4": "decode: needs an attention whose keys and values are kept; got none in m",
    "- multi_head_attention: 2": "decode: every attention must be causal: later tokens are not there yet; "
    "got multi_head_attention1/attention",
    "- multi_head_attention: {heads: 2, causal: true}\n- reduce_mean: 1": "decode: a layer other than attention must "
    "treat every position by itself; got reduce_mean1 (reduce_mean)",
    "- multi_head_attention: {heads: 2, causal: true}\n- flatten\n- dense: 3": "decode: a layer other than attention must "
    "treat every position by itself; got dense1 (dense)",
}


@pytest.mark.parametrize("lines", REFUSED)
def test_models_that_cannot_decode(lines):
    model = loads(f"archcalc: 1\nname: m\ninputs: {{x: [6, 4]}}\nlayers:\n{lines}\n")
    with pytest.raises(ModelError) as caught:
        model.decode(5)
    assert str(caught.value) == REFUSED[lines]


def test_decoding_needs_one_sequence():
    image = loads("archcalc: 1\nname: m\ninputs: {x: [3, 8, 8]}\nlayers:\n- relu\n")
    with pytest.raises(ModelError) as caught:
        image.decode(5)
    assert (
        str(caught.value)
        == "decode: the input must be a sequence, of tokens or of (length, features); got x: [3, 8, 8]"
    )
    two = loads("archcalc: 1\nname: m\ninputs: {x: [3, 8], y: [3, 8]}\nlayers:\n- add: {from: [x, y]}\n")
    with pytest.raises(ModelError) as caught:
        two.decode(5)
    assert str(caught.value) == "decode: the model must have one input, a sequence; got x, y"
    with pytest.raises(UsageError) as caught:
        small().decode(-1)
    assert str(caught.value) == "--position: must be at least 0, the first token; got -1"
    with pytest.raises(ModelError) as caught:
        small().decode(12)
    assert "the sequence must not be longer than the table; got 13 positions, length=12" in str(caught.value)


def test_a_mask_of_one_length_cannot_decode():
    lines = "- attention: {causal: true, heads: 2, from: [x, x, x, mask]}"
    spec = f"archcalc: 1\nname: m\ninputs: {{x: [1, 4], mask: [1, 1, 1]}}\nlayers:\n{lines}\n"
    with pytest.raises(ModelError, match="one input"):
        loads(spec).decode(0)


def test_the_command(tmp_path, capsys):
    path = tmp_path / "gpt.yaml"
    path.write_text(GPT.format(length=12, vocabulary=11, width=8, heads=2, depth=2, inner=32, more=""))
    assert main(["decode", str(path), "--position", "3", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["schema_version"], data["position"], data["totals"]["kv_cache_bytes"]) == (1, 3, 2 * 2 * 8 * 4 * 4)
    assert sum(row["macs"] for row in data["rows"]) == data["totals"]["macs"]
    assert main(["decode", str(path), "--position", "-3"]) == 2
    assert main(["decode", "zoo:digits", "--position", "3"]) == 3
    assert main(["decode", str(path), "--position", "3", "-o", str(path)]) == 2
    assert "must not be the model itself" in capsys.readouterr().err
    out = tmp_path / "page.csv"
    assert main(["decode", str(path), "--position", "3", "-o", str(out)]) == 2
    assert "--format: must be text or json; got csv" in capsys.readouterr().err


# Mistakes


X = (1, 3, 4)
MISTAKES = [
    (lambda: Attention(heads=2, kv_heads=3), "Attention: kv_heads must divide the heads; got kv_heads=3, heads=2"),
    (lambda: Attention(kv_heads=3), "Attention: kv_heads must divide the heads; got kv_heads=3, heads=None"),
    (lambda: Attention().out(X, X, X), "Attention: inputs must be (batch, heads, length, width), or with heads (batch, length, features); got 1×3×4"),
    (lambda: Attention(heads=3).out(X, X, X), "Attention: heads must divide the features; got 3 heads, 4 features"),
    (lambda: Attention(heads=2).out((1, 3, 3, 2), X, X), "Attention: an axis of heads must have as many as there are; got 2 heads, 1×3×3×2"),
    (lambda: Attention(heads=2).out(X, X, (1, 5, 4)), "Attention: key and value must agree in all but width; got 1×2×3×2 and 1×2×5×2"),
    (lambda: Attention(heads=2).out(X, (1, 3, 8), X), "Attention: query and key must agree in batch and width; got 1×2×3×2 and 1×2×3×4"),
    (lambda: Attention().out((1, 3, 2, 2), (1, 2, 2, 2), (1, 2, 2, 2)), "Attention: key heads must divide the heads; got 2 key heads, 3 heads"),
    (lambda: Attention(heads=2, causal=True).out(X, (1, 2, 4), (1, 2, 4)), "Attention: a causal attention or a window needs at least as many keys as queries; got 3 queries, 2 keys"),
    (lambda: Attention(heads=2).out(X, X, X, (1, 2, 3, 4)), "Attention: the mask must be 1×2×3×3, or have size 1 in an axis; got 1×2×3×4"),
    (lambda: Attention(window=0), "Attention: window must be at least 1; got 0"),
    (lambda: MultiHeadAttention(heads=3).parts(X), "MultiHeadAttention: heads must divide the width; got heads=3, width=4"),
    (lambda: MultiHeadAttention(heads=2, kv_heads=4), "MultiHeadAttention: kv_heads must divide the heads; got kv_heads=4, heads=2"),
    (lambda: MultiHeadAttention(heads=2).parts((1, 4)), "MultiHeadAttention: inputs must be (batch, length, features); got 1×4"),
    (lambda: GatedMLP(hidden=2).parts((4,)), "GatedMlp: the input must be (batch, …, features); got 4"),
    (lambda: Experts(top_k=2, hidden=3).out(X, (1, 3, 1)), "Experts: top_k must be at most the experts; got top_k=2, experts=1"),
    (lambda: Experts(top_k=2, hidden=3).out(X, (1, 2, 4)), "Experts: needs tokens and their scores, (batch, …) alike; got 1×3×4 and 1×2×4"),
    (lambda: MixtureOfExperts(experts=2, top_k=3, hidden=1), "MixtureOfExperts: top_k must be at most the experts; got top_k=3, experts=2"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "text"), MISTAKES, ids=[text[:60] for _, text in MISTAKES])
def test_mistakes_are_told(wrong, text):
    with pytest.raises(ArchcalcError) as caught:
        wrong()
    assert isinstance(caught.value, LayerError)
    assert str(caught.value) == text


# Memory and time


def kernels(backend, training):
    model = loads(
        "archcalc: 1\nname: m\ninputs: {x: [64, 32]}\nlayers:\n"
        f"- multi_head_attention: {{heads: 4, causal: true, backend: {backend}}}\n"
    )
    return model.time("1TFLOPS", batch=2, training=training), model


@pytest.mark.parametrize("backend", ["flash", "math"])
@pytest.mark.parametrize(("training", "times"), [(False, 1), (True, 3)])
def test_products_of_both_backends_are_bound_alike(backend, training, times):
    timing, model = kernels(backend, training)
    dense = 2 * 64 * 32 * 32
    inputs = 3 if training else 0  # the model's input needs no gradient
    assert timing.totals["bound_direct_s"] == pytest.approx(
        2 * ((4 * times - inputs) * dense + times * 2 * 4 * 64 * 64 * 16) / 1e12
    )
    (row,) = [row for row in timing.rows if row.kind == "attention"]
    assert row.macs_exact == times * model.report(batch=2).rows[3].macs_exact


def test_math_keeps_scores_and_flash_does_not():
    kept = {}
    for backend in ("flash", "math"):
        _, model = kernels(backend, training=False)
        rows = model.memory(batch=2, training=True).rows
        kept[backend] = next(row.saved_bytes for row in rows if row.kind == "attention")
    row, length, heads, batch = 32 * 4, 64, 4, 2
    assert kept["flash"] == batch * (4 * length * row + heads * length * 4)  # q, k, v, output; log-sum-exps
    assert kept["math"] == batch * (3 * length * row + heads * length * length * 4)  # q, k, v; weights of all pairs
