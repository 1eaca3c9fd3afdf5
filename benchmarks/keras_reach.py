"""Compare every network of keras.applications, as archcalc reads its config, with Keras: parameters, all shapes.

    KERAS_BACKEND=torch python benchmarks/keras_reach.py                   # a Markdown table; some minutes
    KERAS_BACKEND=torch python benchmarks/keras_reach.py ResNet50 Xception # these only

Exit code 1 where a count or a shape differs. Weights are random: no file is fetched.
"""

import math
import sys
import time
from typing import Any
from unittest.mock import patch

import keras
from keras.src import backend

from archcalc import Model, from_keras


class Tolerant:
    """The backend as NASNet sees it: Keras does not run that network on PyTorch, and here nothing is run."""

    def backend(self) -> str:
        return "any"

    def __getattr__(self, name: str) -> Any:
        return getattr(backend, name)


def networks() -> list[str]:
    """Names of all that Keras has."""
    made = vars(keras.applications).items()
    return sorted(name for name, value in made if callable(value) and name[:1].isupper())


def counted(model: Any) -> int:
    """Keras' parameters without the number of batches that a Normalization has seen, which is in no total of ours."""
    seen = sum(hasattr(layer, "count") for layer in model._flatten_layers())
    return int(model.count_params()) - seen


def differences(model: Any, ours: Model) -> list[str]:
    """What differs; shapes of all layers are compared while the config is read, and differences are remarks."""
    report = ours.report()
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    found = [remark for remark in ours.remarks if "the file says that its output" in remark]
    found += [note for note in report.notes if "not counted" in note]
    if report.totals.params + report.totals.buffers != counted(model):
        found.append(f"parameters {report.totals.params + report.totals.buffers:,}, Keras {counted(model):,}")
    if report.totals.trainable_params != trainable:
        found.append(f"trainable {report.totals.trainable_params:,}, Keras {trainable:,}")
    if tuple(model.output_shape)[1:] != report.output[1:]:
        found.append(f"output {report.output}, Keras {model.output_shape}")
    return found


def main(names: list[str]) -> int:
    """One row a network."""
    print("| network | layers | parameters with buffers | MACs | read in | |\n|---|---|---|---|---|---|")
    failed = 0
    for name in names or networks():
        keras.backend.clear_session()
        with patch("keras.src.applications.nasnet.backend", Tolerant()):
            model = getattr(keras.applications, name)(weights=None)
        text = model.to_json()
        start = time.perf_counter()
        ours = from_keras(text)
        taken = time.perf_counter() - start
        totals, found = ours.report().totals, differences(model, ours)
        failed += bool(found)
        cells = (name, len(model.layers), f"{totals.params + totals.buffers:,}", f"{totals.macs:,}", f"{taken:.2f} s")
        print("|", " | ".join(map(str, cells)), "|", "; ".join(found) or "equal", "|", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
