"""How long a cold process takes to read ONNX files: `python benchmarks/onnx_import.py model.onnx …`, best of five."""

import subprocess
import sys
import time

CODE = "import sys, archcalc; archcalc.from_onnx(sys.argv[1]); assert 'torch' not in sys.modules"


def seconds(path):
    """A whole process that reads one file."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", CODE, path], check=True)
    return time.perf_counter() - start


for name in sys.argv[1:]:
    print(f"{min(seconds(name) for _ in range(5)):.2f} s  {name}")
