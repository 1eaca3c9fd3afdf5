"""One long chain of small layers, built in Python or from a spec, timed in a process of its own for speed.py."""

import json
import sys
import time
from typing import Any

import archcalc
from archcalc.layers import Activation, Conv

CHANNELS, SIDE, KERNEL = 4, 8, 3
SPEC = f"""
archcalc: 1
inputs: {{image: [{CHANNELS}, {SIDE}, {SIDE}]}}
layers:
  - repeat:
      times: TIMES
      layers:
        - conv: {{filters: {CHANNELS}, kernel: {KERNEL}, padding: 1}}
        - relu
"""


def in_python(layers: int) -> archcalc.Model:
    row = [
        Activation("relu") if number % 2 else Conv(filters=CHANNELS, kernel=KERNEL, padding=1)
        for number in range(layers)
    ]
    return archcalc.Model.chain("chain", {"image": (CHANNELS, SIDE, SIDE)}, row)


def from_spec(layers: int) -> archcalc.Model:
    return archcalc.loads(SPEC.replace("TIMES", str(layers // 2)))


def by_hand(layers: int) -> dict[str, int]:
    """What the chain must count, by hand: every second layer is a convolution with as many filters as channels."""
    taps, convs = CHANNELS * KERNEL**2, layers // 2
    return {"layers": layers, "params": convs * CHANNELS * (taps + 1), "macs": convs * CHANNELS * SIDE**2 * taps}


def timed(how: str, layers: int) -> dict[str, Any]:
    """Seconds of computing to build and to report, and what was counted."""
    start = time.process_time()
    model = {"python": in_python, "spec": from_spec}[how](layers)
    built = time.process_time()
    report = model.report()
    done = time.process_time()
    counts = {"layers": len(report.rows), "params": report.totals.params, "macs": report.totals.macs}
    return {"build": built - start, "report": done - built, "counted": counts, "by hand": by_hand(layers)}


if __name__ == "__main__":
    print(json.dumps(timed(sys.argv[1], int(sys.argv[2]))))
