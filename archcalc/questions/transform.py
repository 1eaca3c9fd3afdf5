"""Transforms that change layers one by one: batch norms folded into what they read, convolutions made separable."""

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from archcalc.layers.conv import Conv, ConvTranspose, DepthwiseConv, SeparableConv
from archcalc.layers.dense import Dense
from archcalc.layers.layer import Layer
from archcalc.layers.norm import BatchNorm
from archcalc.layers.windowed import per_axis
from archcalc.model.graph import Node
from archcalc.model.network import Network
from archcalc.questions.wiring import Carry, Tensors, Transform, Wiring, refusal, rewired

FOLDED, SEPARABLE = "folded", "separable"
LINEAR = (Conv, ConvTranspose, DepthwiseConv, SeparableConv, Dense)
EVERYWHERE = "at every input size, at inference"


def fold_batch_norm(model: Network) -> Transform:
    """See Model.folded."""
    wiring = Wiring(model)
    norms = [node for node in model.nodes if isinstance(node.layer, BatchNorm)]
    if not norms:
        raise refusal(FOLDED, "needs a batch norm", "none")
    reasons = {node.name: by_batch(node.layer) or not_foldable(wiring, node) for node in norms}
    folded = {node.name: node.inputs[0] for node in norms if not reasons[node.name]}
    if not folded:
        raise refusal(FOLDED, "a batch norm must follow a convolution or dense layer", reasons[norms[0].name], norms[0])
    layers = {name: with_bias(wiring.nodes[name].layer) for name in folded.values()}
    notes = [f"{name} stays: {reason}" for name, reason in reasons.items() if reason]
    after = rewired(model, layers, folded)
    return Transform(FOLDED, model, after, EVERYWHERE, tuple(notes), folding(wiring, folded))


def by_batch(layer: Layer) -> str:
    """Why a norm is no affine map at inference; empty if it is one."""
    running = isinstance(layer, BatchNorm) and layer.running
    return "" if running else "it normalises by the batch itself, not by running statistics"


def not_foldable(wiring: Wiring, norm: Node) -> str:
    """Why a batch norm cannot be folded into what it reads; empty if it can."""
    source = wiring.before(norm)
    if source is None or not isinstance(source.layer, LINEAR):
        return f"it reads {norm.inputs[0]}, which is no convolution or dense layer"
    if isinstance(source.layer, Dense) and len(wiring.shapes[source.name]) != 2:
        return f"its channels are not the units of {source.name}"
    if source.name in wiring.tied or norm.name in wiring.tied:
        return "its tensors, or those of what it reads, are shared"
    if source.trainable != norm.trainable:
        return f"only one of it and {source.name} is trainable"
    return "" if wiring.alone(source) else f"{source.name} is read by other layers too"


def with_bias(layer: Layer) -> Layer:
    """The layer with a bias of its own, into which a shift goes."""
    made: Layer = replace(layer, bias=True)
    return made


def folding(wiring: Wiring, folded: dict[str, str]) -> Carry:
    """Scale the filters and move the bias; the batch norms' tensors go."""
    places = {norm: wiring.parts(wiring.nodes[name])[-1] for norm, name in folded.items()}

    def carry(tensors: Tensors) -> Tensors:
        from archcalc.questions.weights import folded_weights

        made = {use: dict(own) for use, own in tensors.items() if use not in folded}
        for norm, use in places.items():
            layer = wiring.nodes[norm].layer
            outputs = 1 if isinstance(use.layer, ConvTranspose) else 0  # which axis of the weight they are
            groups = getattr(use.layer, "groups", 1) if outputs else 1
            made[use.name] = folded_weights(tensors[use.name], tensors[norm], layer.epsilon, outputs, groups)  # type: ignore[attr-defined]
        return made

    return carry


def separable(model: Network) -> Transform:
    """See Model.separable."""
    wiring = Wiring(model)
    convs = [node for node in model.nodes if isinstance(node.layer, Conv)]
    reasons = {node.name: not_separable(wiring, node) for node in convs}
    layers = {node.name: made_separable(node.layer) for node in convs if not reasons[node.name]}
    if not layers:
        rule, first = "needs a convolution with a kernel above 1 and one group", convs[0] if convs else None
        raise refusal(SEPARABLE, rule, reasons[first.name] if first else "no convolution", first)
    after = rewired(model, layers, {})
    notes = [*saved(wiring, after, layers), *(f"{name} stays: {reason}" for name, reason in reasons.items() if reason)]
    return Transform(SEPARABLE, model, after, "", tuple(notes), None)


def not_separable(wiring: Wiring, node: Node) -> str:
    """Why a convolution is left as it is; empty if it is replaced."""
    layer, (x,) = node.layer, wiring.xs(node)
    if not isinstance(layer, Conv):
        return "it is no convolution"
    taps, channels = layer.taps(x), x[1]
    if all(k == 1 for k in per_axis(layer, "kernel", len(x) - 2)):
        return "its kernel is 1 already"
    if layer.groups > 1:
        return f"it has {layer.groups} groups already"
    if node.name in wiring.tied:
        return "its tensors are shared"
    if taps + layer.filters * channels >= layer.filters * taps:
        return f"it would take {taps + layer.filters * channels:,} weights instead of {layer.filters * taps:,}"
    return ""


def made_separable(layer: Layer) -> SeparableConv:
    """The separable convolution with the same fields."""
    names = ("filters", "kernel", "stride", "padding", "dilation", "bias")
    return SeparableConv(**{name: getattr(layer, name) for name in names})


def saved(wiring: Wiring, after: Network, layers: Mapping[str, Layer]) -> Iterator[str]:
    """What the replacements save, layer by layer."""
    uses = Wiring(after).uses
    for name in layers:
        old = [use for use in wiring.uses if use.node.name == name]
        new = [use for use in uses if use.node.name == name]
        params = [sum(use.answers.params for use in found) for found in (old, new)]
        macs = [sum(use.answers.macs for use in found) for found in (old, new)]
        yield f"{name}: parameters {params[0]:,} → {params[1]:,}, MACs {macs[0]:,} → {macs[1]:,}"
