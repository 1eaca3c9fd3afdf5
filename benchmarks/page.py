"""How long a page takes to make, how large it is, and how long a step of a slider takes in Chromium.

    python benchmarks/page.py [--pages 7] [--steps 200] > results/page.md

A page is made by the command, each time in a process of its own; a step is a new height, with everything that follows
from it and the layout of the page, up to the moment at which the browser could paint. Needs playwright and Chromium.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

MODELS = ("digits", "resnet50", "densenet121", "vit_b_16", "gpt2", "unet", "inception_v3")
STEP = """steps => {
  const slider = document.getElementById("slide-H") ?? document.getElementById("slide-L"), times = [];
  const first = Number(slider.value);
  for (let at = 1; at <= steps; at += 1) {
    const start = performance.now();
    slider.value = String(first + 32 * (at % 25));
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    document.body.offsetHeight;
    times.push(performance.now() - start);
  }
  return times;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pages", type=int, default=7)
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    print(f"Load of the machine at the start: {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores.")
    print("Seconds: the least and the median; of a step, milliseconds.\n")
    print("| model | page, s wall | page, s of processor time | size, KB | a step, ms: median | 95 of 100 below |")
    print("|---|---|---|---|---|---|")
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for name in MODELS:
            path = Path(folder) / f"{name}.html"
            made = [made_in(name, path) for _ in range(options.pages)]
            shown = browser.new_page(viewport={"width": 1280, "height": 900})
            shown.goto(f"file://{path}")
            steps = sorted(shown.evaluate(STEP, options.steps))
            wall, busy = zip(*made, strict=True)
            cells = [f"{min(of):.2f}, {median(of):.2f}" for of in (wall, busy)]
            late = steps[int(0.95 * len(steps))]
            size = path.stat().st_size / 1000
            print(f"| {name} | {' | '.join(cells)} | {size:.0f} | {median(steps):.1f} | {late:.1f} |", flush=True)


def made_in(name: str, path: Path) -> tuple[float, float]:
    """Wall and processor seconds of the command."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "archcalc", "page", f"zoo:{name}", "-o", str(path)], check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
