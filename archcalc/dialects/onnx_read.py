"""ONNX files as models: what may stand in a file, its inputs and outputs; nothing is run, and no weight is loaded."""

import mmap
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from typing import Any

from archcalc.dialects.onnx_extent import Extent
from archcalc.dialects.onnx_graph import NotUnderstood, Op, Weave
from archcalc.dialects.onnx_inputs import Inputs
from archcalc.dialects.onnx_names import Names, path_of
from archcalc.dialects.onnx_run import DEFAULT, Run, made_by
from archcalc.dialects.onnx_values import Value, tensor_value
from archcalc.errors import CannotRun, ModelError, nearest
from archcalc.model.graph import Node
from archcalc.questions.model import Model

BYTES = 2**31 - 1  # of one message, which is what a file is
OLDEST, NEWEST = 7, 28  # operator sets of the default domain
WAY_OUT = "pip install 'archcalc[onnx]'"


def from_onnx(path: str | os.PathLike[str]) -> Model:
    """The network in an ONNX file, with any batch, and any size of the axes that the file leaves open.

    Operators that are not understood become lines that are named and not counted. Weights are counted by their shapes;
    files of external data are not opened. Raises ModelError for what is wrong with the file, CannotRun without the
    package onnx.
    """
    return read_file(os.fspath(path))


def read_file(path: str) -> Model:
    """The network in an ONNX file."""
    messages = _messages()
    return _model(_parsed(messages, path), path)


def _messages() -> Any:
    """The package's classes for what a file holds, without the package around them, which takes a second to load."""
    if "onnx" in sys.modules:
        return sys.modules["onnx"]
    if "onnx_ml_pb2" in sys.modules:
        return sys.modules["onnx_ml_pb2"]
    spec = find_spec("onnx")
    folder = (spec.submodule_search_locations or [""])[0] if spec else ""
    file = os.path.join(folder, "onnx_ml_pb2.py")
    inner = spec_from_file_location("onnx_ml_pb2", file) if os.path.exists(file) else None
    if inner is None or inner.loader is None:
        raise CannotRun("ONNX", "needs the package onnx", "No module named 'onnx'", way_out=WAY_OUT)
    module = module_from_spec(inner)
    inner.loader.exec_module(module)
    sys.modules["onnx_ml_pb2"] = module
    return module


def _parsed(messages: Any, path: str) -> Any:
    """The file's message, if it is one."""
    model = messages.ModelProto()
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > BYTES:
                rule = "a file must have less than 2 GiB"
                raise ModelError(
                    "ONNX", rule, f"{size:,} bytes", where=path, way_out="save the weights as external data"
                )
            if size:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data, memoryview(data) as view:
                    model.ParseFromString(view)
    except FileNotFoundError:
        folder = os.path.dirname(path) or "."
        near = nearest(os.path.basename(path), os.listdir(folder), listed=False) if os.path.isdir(folder) else ""
        raise ModelError("model", "no such file", path, way_out=near) from None
    except IsADirectoryError:
        raise ModelError("model", "must be a file", f"the directory {path}") from None
    except ModelError:
        raise
    except (OSError, ValueError) as error:
        raise ModelError("model", "must be readable", f"{path}: {getattr(error, 'strerror', None) or error}") from None
    except Exception as error:  # a DecodeError: its class is the parser's own
        if type(error).__name__ != "DecodeError":
            raise
        raise ModelError("ONNX", "must be a whole ONNX file", "other data, or a part of one", where=path) from None
    if not model.HasField("graph") or not model.opset_import:
        raise ModelError("ONNX", "must be a whole ONNX file", "no graph, or no operator set", where=path)
    return model


def _model(proto: Any, path: str) -> Model:
    if any(isinstance(text, bytes) for text in _texts(proto)):  # as the parser hands out what is no text
        raise ModelError("ONNX", "names must be UTF-8 text", "other bytes", where=path)
    versions = _versions(proto, path)
    graph = proto.graph
    nodes = list(graph.node)
    weave = Weave(path, Names(path_of(node) for node in nodes))
    scope = _initialisers(graph, path)
    inputs = Inputs(weave, graph, scope)
    scope |= inputs.values
    Run(weave, proto, versions, inputs.dims).graph(nodes, scope, made_by(nodes))
    outputs = tuple(dict.fromkeys(_output(weave, scope, output.name, path) for output in graph.output))
    if any(map(_by_batch, inputs.values.values())):
        for output in graph.output:
            if not _by_batch(scope[output.name]) and scope[output.name].shape is not None:
                weave.remark(
                    f"output {output.name[:100]} does not follow the batch: other batches than the file's are not told"
                )
    if weave.repeated:
        some = ", ".join([*list(weave.repeated)[:3], *(["…"] if len(weave.repeated) > 3 else [])])
        weave.remark(f"counted in each use, since these differ: {some} ({len(weave.repeated)} of the file's tensors)")
    kept = _reached(weave.nodes, outputs)
    if not kept or not outputs:
        raise ModelError(
            "ONNX", "a graph must have operators and outputs", f"{len(kept)} and {len(outputs)}", where=path
        )
    name = os.path.splitext(os.path.basename(path))[0]
    return Model(name, weave.inputs, tuple(kept), outputs, source=path, remarks=tuple(weave.remarks))


def _texts(proto: Any) -> Iterator[Any]:
    """Everything that is read as text."""
    graph = proto.graph
    yield from (entry.domain for entry in proto.opset_import)
    for body in (graph, *proto.functions):
        yield body.name
        for node in body.node:
            yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
            yield from (text for entry in node.metadata_props for text in (entry.key, entry.value))
            for entry in node.attribute:
                yield from (entry.name, entry.ref_attr_name, entry.t.name)
    for function in proto.functions:
        yield from (function.domain, *function.input, *function.output)
        yield from (text for entry in function.opset_import for text in (entry.domain,))
        yield from (entry.name for entry in function.attribute_proto)
    yield from (tensor.name for tensor in graph.initializer)
    yield from (sparse.values.name for sparse in graph.sparse_initializer)
    for item in (*graph.input, *graph.output, *graph.value_info):
        yield item.name
        yield from (dim.dim_param for dim in item.type.tensor_type.shape.dim)


def _versions(proto: Any, path: str) -> Mapping[str, int]:
    """Operator sets by domain."""
    versions = {"" if entry.domain in DEFAULT else entry.domain: entry.version for entry in proto.opset_import}
    known = versions.get("", OLDEST)
    if not OLDEST <= known <= NEWEST:
        way_out = "onnx.version_converter.convert_version brings older files up to date" if known < OLDEST else ""
        rule = f"the operator set must be {OLDEST} to {NEWEST}"
        raise ModelError("ONNX", rule, f"{known}", where=path, way_out=way_out)
    return versions


def _initialisers(graph: Any, path: str) -> dict[str, Value]:
    scope = {tensor.name: tensor_value(tensor, tensor.name, path) for tensor in graph.initializer}
    for sparse in graph.sparse_initializer:
        if all(0 <= n <= 10**18 for n in sparse.dims) and len(sparse.dims) < 16:
            scope[sparse.values.name] = Value(tuple(sparse.dims), tensor=sparse.values.name)
    return scope


def _by_batch(value: Value) -> bool:
    """Does an axis follow the batch?"""
    return any(isinstance(n, Extent) and ".batch" in n.text for n in value.sizes)


def _output(weave: Weave, scope: Mapping[str, Value], name: str, path: str) -> str:
    """The node that makes an output; a constant becomes one."""
    if name not in scope:
        near = nearest(name, scope, listed=False)
        raise ModelError("ONNX", "an output must be made by the graph", repr(name), where=path, way_out=near)
    value = scope[name]
    if value.node is not None:
        return value.node
    try:
        return Op(weave, _Nameless, [value], NEWEST, ()).made(value).node or ""
    except NotUnderstood as reason:
        raise ModelError("ONNX", f"an output must have values, but {reason}", repr(name), where=path) from None


class _Nameless:
    """An operator that is none: what makes an output's constant."""

    op_type, name, output, attribute = "Constant", "", (), ()


def _reached(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """The nodes that an output follows from; exporters leave others behind."""
    wanted = set(outputs)
    kept = []
    for node in reversed(nodes):
        if node.name in wanted:
            wanted |= {*node.inputs, *([node.shared_with] if node.shared_with else [])}
            kept.append(node)
    return kept[::-1]
