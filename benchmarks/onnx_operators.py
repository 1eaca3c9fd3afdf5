"""Every operator case of the package onnx: which are read whole, and whether their output shapes are as expected.

Each case is read twice: with its first input alone as an input and the others as initialisers, and with all as inputs.
"""

import collections
import os
import tempfile
import warnings

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

import archcalc


def variants(case):
    """The model with some of its inputs turned into initialisers."""
    given = case.data_sets[0][0]
    for count in sorted({1, len(given)}):
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        for item, value in list(zip(model.graph.input, given, strict=False))[count:]:
            if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
                model.graph.initializer.append(numpy_helper.from_array(value, item.name))
        yield model, count


def verdict(model, count, expected, path):
    """How a model is read."""
    onnx.save(model, path)
    try:
        read = archcalc.from_onnx(path)
        sizes = [[dim.dim_value for dim in item.type.tensor_type.shape.dim] for item in model.graph.input[:count]]
        report = read.report(batch=next((size[0] for size in sizes if len(size) > 1), 1))
    except archcalc.ArchcalcError:
        return "refused"
    if report.status == "partial":
        return "named, not counted"
    shapes = [report.outputs[name] for name in read.outputs]
    return "shapes as expected" if all(shape in expected for shape in shapes) else "other shapes"


def main():
    warnings.simplefilter("ignore")
    table = collections.defaultdict(collections.Counter)
    with tempfile.TemporaryDirectory() as folder:
        for case in collect_testcases(None):
            expected = [tuple(np.shape(output)) for output in case.data_sets[0][1] if not isinstance(output, list)]
            kind = case.model.graph.node[0].op_type if len(case.model.graph.node) == 1 else "(several)"
            for model, count in variants(case):
                table[kind][verdict(model, count, expected, os.path.join(folder, "case.onnx"))] += 1
    for kind, counts in sorted(table.items()):
        print(f"{kind:28} {', '.join(f'{count} {what}' for what, count in sorted(counts.items()))}")
    print(sum(table.values(), collections.Counter()))


if __name__ == "__main__":
    main()
