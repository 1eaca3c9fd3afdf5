"""Affine layers in a row as one: convolutions as one convolution, a whole chain as one dense layer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from archcalc.algebra.num import prod
from archcalc.algebra.window import Window
from archcalc.errors import ModelError
from archcalc.layers.conv import Conv, DepthwiseConv, SeparableConv
from archcalc.layers.dense import Dense
from archcalc.layers.facts import facts
from archcalc.layers.layer import Layer, Shape
from archcalc.layers.norm import BatchNorm
from archcalc.layers.pool import AvgPool, GlobalAvgPool
from archcalc.layers.reshape import Dropout, Flatten, Identity
from archcalc.model.graph import Node
from archcalc.model.network import Network, one_of
from archcalc.model.sizes import Sizes
from archcalc.model.walk import Use
from archcalc.questions.transform import fold_batch_norm
from archcalc.questions.wiring import Tensors, Transform, Wiring, refusal, rewired, simple

if TYPE_CHECKING:
    from archcalc.questions.weights import Map

NAME, TO_DENSE = "collapsed", "dense"
NOTHING = (Identity, Dropout)
CONVOLVES = (Conv, DepthwiseConv, SeparableConv)
MAPS = (*CONVOLVES, AvgPool, BatchNorm, *NOTHING)  # what one convolution can be, with others
ROWS = (*MAPS, GlobalAvgPool, Flatten, Dense)  # what one dense layer can be, with others


class Run(Struct, frozen=True):
    """Nodes in a row, each read by the next one alone."""

    nodes: tuple[Node, ...]

    @property
    def works(self) -> list[Node]:
        """Those that do something."""
        return [node for node in self.nodes if not isinstance(node.layer, NOTHING)]


def collapsed(model: Network, to: str = "conv", input: Sizes | Mapping[str, Sizes] | None = None) -> Transform:
    """See Model.collapsed."""
    one_of("to", to, ("conv", "dense"))
    wiring = Wiring(model, input)
    if to == "dense":
        return to_dense(wiring)
    folded = _folded(wiring.model)
    if folded is None:
        return to_convolutions(wiring)
    try:
        made = to_convolutions(Wiring(folded.after))
    except ModelError:  # folding is all that can be done
        return replace(folded, name=NAME)
    return one_after_another(folded, made)


def _folded(model: Network) -> Transform | None:
    try:
        return fold_batch_norm(model)
    except ModelError:  # there is none to fold
        return None


def one_after_another(first: Transform, second: Transform) -> Transform:
    """Batch norms folded, and then convolutions collapsed."""
    names = [node.name for node in first.before.nodes if isinstance(node.layer, BatchNorm)]
    left = {node.name for node in first.after.nodes}
    note = f"{sum(name not in left for name in names)} batch norms are folded into what they followed"
    notes = (note, *first.notes, *second.notes)
    return replace(second, before=first.before, notes=notes, carry=lambda t: second.weights(first.weights(t)))


def to_convolutions(wiring: Wiring) -> Transform:
    """Every run of convolutions, average pools and batch norms as one convolution."""
    runs, breaks = _runs(wiring)
    runs = [run for run in runs if len(run.works) > 1 and any(isinstance(node.layer, CONVOLVES) for node in run.works)]
    if not runs:
        node, why = next(iter(breaks), (None, "no convolution"))
        raise refusal(NAME, "needs two affine layers in a row, one of them a convolution", why, node)
    layers: dict[str, Layer] = {}
    gone: dict[str, str] = {}
    notes = []
    for run in runs:
        head = run.works[0]
        layers[head.name] = one_convolution(wiring, run)
        gone |= _left_out(run, head)
        notes.append(_said(wiring, run, head.name, layers[head.name]))
    notes += [f"{node.name} stays apart: {why}" for node, why in breaks if "pads" in why or "padding" in why]
    after = rewired(wiring.model, layers, gone)

    def carry(tensors: Tensors) -> Tensors:
        left = {use: own for use, own in tensors.items() if _node(use, wiring) not in gone}
        return left | {run.works[0].name: _convolved(wiring, run, tensors) for run in runs}

    kept = dict(layers)
    equal = "at every input size, at inference"
    return Transform(NAME, wiring.model, after, equal, tuple(notes), lambda t: _without_parts(carry(t), kept))


def _node(use: str, wiring: Wiring) -> str:
    return next((node for node in (use, use.rpartition("/")[0]) if node in wiring.nodes), use)


def _without_parts(tensors: Tensors, layers: Mapping[str, Layer]) -> Tensors:
    """Composites that became one convolution have no parts any more."""
    return {use: own for use, own in tensors.items() if use.rpartition("/")[0] not in layers}


def _left_out(run: Run, head: Node) -> dict[str, str]:
    """Every node of a run but one, whose place in the graph that one takes: what read the last reads it."""
    first = run.nodes[0].inputs[0]
    at = run.nodes.index(head)
    return {node.name: first if n < at else head.name for n, node in enumerate(run.nodes) if n != at}


def _said(wiring: Wiring, run: Run, name: str, layer: Layer) -> str:
    joined = " and ".join((", ".join(node.name for node in run.works[:-1]), run.works[-1].name))
    old = sum(use.answers.params for node in run.works for use in wiring.parts(node))
    new = sum(prod(w.shape) for w in layer.weights(wiring.shapes[run.nodes[0].inputs[0]]).values())
    return f"{joined} are {name}: parameters {old:,} → {new:,}"


def _runs(wiring: Wiring) -> tuple[list[Run], list[tuple[Node, str]]]:
    """Runs as long as they can be, and what ends them."""
    runs: list[list[Node]] = []
    breaks: list[tuple[Node, str]] = []
    ends: dict[str, list[Node]] = {}  # run by its last node
    for node in wiring.model.nodes:
        why = _alien(wiring, node)
        if why:
            breaks.append((node, why))
            continue
        source = wiring.before(node)
        run = ends.get(source.name) if source is not None else None
        why = "" if run is None else _joint(wiring, run, node)
        if why:
            breaks.append((node, why))
        if run is None or why:
            runs.append([])
        else:
            runs.remove(run)
            runs.append(run)
        runs[-1].append(node)
        ends[node.name] = runs[-1]
    return [Run(tuple(run)) for run in runs], breaks


def _alien(wiring: Wiring, node: Node) -> str:
    """Why a node cannot be part of any run."""
    if not isinstance(node.layer, MAPS):
        return f"{node.name} {_breaks(wiring, node)}"
    (x,) = wiring.xs(node)
    if node.name in wiring.tied:
        return f"{node.name} shares its tensors"
    if len(x) < 3:
        return f"{node.name} reads a vector"
    if isinstance(node.layer, BatchNorm) and not node.layer.running:
        return f"{node.name} divides by the deviation over the batch"
    if isinstance(node.layer, AvgPool) and (node.layer.ceil_mode or _pads(wiring, node)):
        return f"{node.name} pads its windows"
    return ""


def _breaks(wiring: Wiring, node: Node) -> str:
    known = facts(node.layer, wiring.xs(node), wiring.shapes[node.name])
    return known.why if known is not None and known.form not in ("linear", "affine") else f"is a {node.layer.kind}"


def _joint(wiring: Wiring, run: list[Node], node: Node) -> str:
    """Why a node cannot go on a run."""
    works = [earlier for earlier in run if not isinstance(earlier.layer, NOTHING)]
    if not wiring.alone(run[-1]):
        return f"{run[-1].name} is read by other layers too"
    if any(earlier.trainable != node.trainable for earlier in works) and not isinstance(node.layer, NOTHING):
        return f"only one of {works[0].name} and {node.name} is trainable"
    if works and _pads(wiring, node):
        return f"{node.name} pads its input with zeros, where one convolution would see what lies beyond"
    first = _first_padded(wiring, works)
    if first is not None and not isinstance(node.layer, NOTHING):
        return f"the padding of {first} depends on the input's size"
    return ""


def _pads(wiring: Wiring, node: Node) -> bool:
    """Does a layer pad its input, here or at some other size?"""
    windows = _windows(wiring, node)
    by_size = getattr(node.layer, "padding", 0) == "same" and any(w.stride > 1 for w in windows)
    return by_size or any(w.before > 0 or w.after > 0 for w in windows)


def _first_padded(wiring: Wiring, works: list[Node]) -> str | None:
    """The layer of a run whose padding is a rule that looks at the size."""
    for node in works:
        strided = any(w.stride > 1 for w in _windows(wiring, node))
        if getattr(node.layer, "padding", 0) == "same" and strided:
            return node.name
    return None


def _windows(wiring: Wiring, node: Node) -> tuple[Window, ...]:
    """What a node moves over its input, all its parts together."""
    found: tuple[Window, ...] = ()
    for use in wiring.parts(node):
        windows = use.layer.windows(use.xs[0])
        found = tuple(a.then(b) for a, b in zip(found, windows, strict=True)) if found and windows else windows or found
    return found


def one_convolution(wiring: Wiring, run: Run) -> Conv:
    """The convolution that a run is: its windows composed, with the padding of the first."""
    total: tuple[Window, ...] = ()
    bias = False
    for node in run.works:
        windows = _windows(wiring, node)
        total = tuple(a.then(b) for a, b in zip(total, windows, strict=True)) if total and windows else windows or total
        bias = bias or isinstance(node.layer, BatchNorm) or getattr(node.layer, "bias", False)
    around = tuple((w.before, w.after) for w in total)
    padding: Any = simple(before for before, _ in around) if all(a == b for a, b in around) else around
    filters = wiring.shapes[run.nodes[-1].name][1]
    return Conv(filters, simple(w.span for w in total), simple(w.stride for w in total), padding, bias=bias)


def _convolved(wiring: Wiring, run: Run, tensors: Tensors) -> dict[str, Any]:
    """The weights of the one convolution."""
    total: Map | None = None
    for node in run.works:
        for use in wiring.parts(node):
            made = _as_map(use, tensors.get(use.name, {}))
            total = made if total is None else total.then(made)
    if total is None:
        return {}
    bias = {"bias": total.bias} if one_convolution(wiring, run).bias else {}
    return {"weight": total.kernel, **bias}


def _as_map(use: Use, own: Mapping[str, Any]) -> "Map":
    from archcalc.questions import weights

    layer, (x,) = use.layer, use.xs
    if isinstance(layer, Conv):
        return weights.of_conv(layer, own, x)
    if isinstance(layer, BatchNorm):
        return weights.identity(x[1], len(x) - 2, *weights.scale_and_shift(own, layer.epsilon))
    return weights.of_avg_pool(layer.windows(x), x[1])


# One dense layer


def to_dense(wiring: Wiring) -> Transform:
    """The chain that ends in the last dense layer, as far back as it is affine, as one dense layer."""
    last = next((node for node in reversed(wiring.model.nodes) if isinstance(node.layer, Dense)), None)
    if last is None:
        raise refusal(TO_DENSE, "needs a dense layer at the end of the chain", "none")
    chain, why, at = _chain(wiring, last)
    works = [node for node in chain if not isinstance(node.layer, (*NOTHING, Flatten))]
    if len(works) < 2:
        raise refusal(TO_DENSE, "needs an affine layer before the dense one", why or "none", at)
    x = wiring.shapes[chain[0].inputs[0]]
    flatten = next((node for node in chain if isinstance(node.layer, Flatten)), None)
    keep = last if len(x) == 2 or flatten is None else flatten
    layers: dict[str, Layer] = {last.name: Dense(wiring.shapes[last.name][1])}
    gone = {node.name: chain[0].inputs[0] for node in chain if node is not last and (node is not keep)}
    if len(x) > 2 and flatten is None:
        raise refusal(TO_DENSE, "needs a flatten between image and dense layer", "none", last)
    after = rewired(wiring.model, layers, gone)
    if keep is flatten and flatten is not None:
        after = _reading(after, last.name, flatten.name)
    old = sum(use.answers.params for node in works for use in wiring.parts(node))
    new = prod(wiring.shapes[last.name][1:]) * (prod(x[1:]) + 1)
    before = ", ".join(node.name for node in works[:-1])
    note = f"{before} and {last.name} are {last.name}: parameters {old:,} → {new:,}"
    stop = () if not why else (f"what stands before stays: {why}",)

    def carry(tensors: Tensors) -> Tensors:
        inside = {use.name for node in chain for use in wiring.parts(node)}
        left = {use: own for use, own in tensors.items() if use not in inside}
        return left | {last.name: _matrix(wiring, chain, tensors)}

    equal = "at this input size, at inference"
    return Transform(TO_DENSE, wiring.model, after, equal, (note, *stop), carry)


def _reading(model: Network, reader: str, source: str) -> Network:
    """The model in which a node reads another."""
    nodes = tuple(replace(n, inputs=(source,)) if n.name == reader else n for n in model.nodes)
    made: Network = replace(model, nodes=nodes)
    return made


def _chain(wiring: Wiring, last: Node) -> tuple[list[Node], str, Node | None]:
    """Nodes back from a dense layer as long as they are affine and nothing else reads them; and why there it ends."""
    chain = [last]
    while (node := wiring.before(chain[0])) is not None:
        if not wiring.alone(node):
            return chain, f"{node.name} is read by other layers too", node
        if not isinstance(node.layer, ROWS):
            return chain, f"{node.name} {_breaks(wiring, node)}", node
        if node.name in wiring.tied or (isinstance(node.layer, BatchNorm) and not node.layer.running):
            return chain, f"{node.name} shares its tensors, or normalises by the batch", node
        if isinstance(node.layer, Dense | Flatten) and len(wiring.shapes[node.name]) != 2:
            return chain, f"{node.name} gives several rows", node
        chain.insert(0, node)
    return chain, "", None


def _matrix(wiring: Wiring, chain: list[Node], tensors: Tensors) -> dict[str, Any]:
    """The chain's matrix and bias, from the last layer to the first."""
    import numpy as np

    last = wiring.parts(chain[-1])[-1]
    matrix = tensors[last.name]["weight"]
    bias = tensors[last.name].get("bias", np.zeros(len(matrix), matrix.dtype))
    uses = [use for node in chain[:-1] for use in wiring.parts(node)]
    for use in reversed(uses):
        matrix, shift = _before(use, matrix, tensors.get(use.name, {}))
        bias = bias + shift
    return {"weight": matrix.reshape(len(matrix), -1), "bias": bias}


def _before(use: Use, matrix: Any, own: Mapping[str, Any]) -> tuple[Any, Any]:
    """A matrix on a layer's output as one on its input, and what the layer's own shift adds."""
    from archcalc.questions import weights

    layer, (x,), y = use.layer, use.xs, use.answers.y
    if isinstance(layer, NOTHING):
        return matrix, 0
    matrix = matrix.reshape(len(matrix), *y[1:])
    if isinstance(layer, Dense):
        return matrix @ own["weight"], matrix @ own["bias"] if "bias" in own else 0
    each_channel = matrix.reshape(*matrix.shape[:2], -1).sum(2)
    if isinstance(layer, BatchNorm):
        scale, shift = weights.scale_and_shift(own, layer.epsilon)
        return matrix * scale.reshape(-1, *[1] * (len(y) - 2)), each_channel @ shift
    if isinstance(layer, Conv):
        made = weights.of_conv(layer, own, x)
        return weights.spread(matrix, made, layer.windows(x), x), each_channel @ made.bias
    if isinstance(layer, AvgPool):
        ones = weights.of_avg_pool(layer.windows(x), x[1], share=1)
        return weights.spread(weights.averaged(matrix, layer, x), ones, layer.windows(x), x), 0
    return (matrix.reshape(len(matrix), *x[1:]) if isinstance(layer, Flatten) else _evenly(matrix, x)), 0


def _evenly(matrix: Any, x: Shape) -> Any:
    """A matrix on means of whole channels, on their cells."""
    import numpy as np

    cells = prod(x[2:])
    values = matrix.reshape(*matrix.shape[:2], *[1] * (len(x) - 2)) / cells
    return np.broadcast_to(values, (len(matrix), *x[1:])).copy()
