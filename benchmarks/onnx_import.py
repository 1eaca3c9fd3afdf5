"""How long a fresh process takes to read ONNX files: `python benchmarks/onnx_import.py model.onnx …`, eleven runs.

    python benchmarks/onnx_import.py --resnet50 resnet50.onnx    # makes the file first: torchvision's, random weights

Processor time and the wall clock's, each as its median with the smallest and the largest; the load beside them.
Bytecode lies in a folder of its own, filled by a run that is not counted, as if archcalc had been installed by pip.
"""

import os
import resource
import subprocess
import sys
import time
import types
import warnings
from importlib import metadata
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

CODE = "import sys, archcalc; archcalc.from_onnx(sys.argv[1]); assert 'torch' not in sys.modules"
RUNS = 11


def make(path):
    """ResNet-50 as PyTorch writes it."""
    sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")
    import torch
    from torchvision import models

    warnings.filterwarnings("ignore")  # the exporter that needs no further package is to go
    torch.manual_seed(0)
    network, example = models.resnet50(weights=None).eval(), torch.zeros(1, 3, 224, 224)
    torch.onnx.export(network, (example,), path, dynamo=False, dynamic_axes={"x": {0: "batch"}}, input_names=["x"])


def seconds(path, surroundings):
    """Processor and wall-clock time of a whole process that reads one file."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", CODE, path], check=True, env=surroundings)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall


def spread(samples):
    return f"{median(samples):.2f} s ({min(samples):.2f}–{max(samples):.2f})"


def main(names):
    if names[:1] == ["--resnet50"]:
        names = names[1:]
        make(names[0])
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("archcalc", "onnx", "protobuf"))
    print(f"- versions: Python {sys.version.split()[0]}, {versions}")
    print("- load: " + ", ".join(f"{load:.2f}" for load in os.getloadavg()) + " (1, 5 and 15 minutes)\n")
    print("| file | bytes | processor time | wall clock |\n|---|---|---|---|")
    with TemporaryDirectory(prefix="archcalc-benchmarks-") as folder:
        surroundings = {**os.environ, "PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
        for name in names:
            seconds(name, surroundings)
            taken, wall = zip(*(seconds(name, surroundings) for _ in range(RUNS)), strict=True)
            cells = (Path(name).name, f"{Path(name).stat().st_size:,}", spread(taken), spread(wall))
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
