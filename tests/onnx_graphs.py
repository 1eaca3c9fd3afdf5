"""Small ONNX files for tests: a line for each operator, written without the package's slow checks."""

import onnx
from onnx import TensorProto, helper


def weight(name, *shape, fill=None):
    """An initialiser of floats."""
    count = 1
    for n in shape:
        count *= n
    return helper.make_tensor(name, TensorProto.FLOAT, shape, [0.5 if fill is None else fill] * count)


def ints(name, *values, shape=None):
    """An initialiser of whole numbers."""
    return helper.make_tensor(name, TensorProto.INT64, (len(values),) if shape is None else shape, values)


def floats(name, *values):
    """An initialiser of a few floats."""
    return helper.make_tensor(name, TensorProto.FLOAT, (len(values),), values)


def node(kind, inputs, outputs="y", name="", **attributes):
    """An operator; inputs and outputs as words."""
    return helper.make_node(kind, inputs.split(), outputs.split(), name=name, **attributes)


def model_of(nodes, inputs, initialisers=(), outputs=("y",), opset=20, functions=(), domains=(), infos=(), **elements):
    """A model; `inputs` are shapes by name, names standing for open sizes."""
    kinds = {name: elements.get(name, TensorProto.FLOAT) for name in inputs}
    given = [helper.make_tensor_value_info(name, kinds[name], shape) for name, shape in inputs.items()]
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(list(nodes), "graph", given, made, list(initialisers), value_info=list(infos))
    sets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=sets, functions=list(functions))


def saved(folder, model, name="model.onnx"):
    """The model in a file."""
    path = folder / name
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return str(path)


__all__ = ["floats", "helper", "ints", "model_of", "node", "onnx", "saved", "weight"]
