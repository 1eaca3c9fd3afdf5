"""What counting tools print, predicted and measured: a Markdown table, and exit code 1 where a figure differs."""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import archcalc
from archcalc.dialects.reconciling import reconcile
from tests.reconciling import RUNNERS, Worker, absent

NETWORKS = dict.fromkeys(("resnet50", "mobilenet_v2", "densenet121", "googlenet", "unet", "vgg16", "xception"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=NETWORKS, metavar="MODEL", help="names of the zoo")
    tools = [tool for tool in RUNNERS if not absent(tool)]
    for tool in set(RUNNERS).difference(tools):
        print(f"not compared: {absent(tool)}", file=sys.stderr)
    worker, wrong = Worker(), 0
    print("| network | tool | figure | predicted | measured | |\n|---|---|---|---:|---:|---|")
    for name in parser.parse_args().models:
        size = NETWORKS.get(name)
        start = time.process_time()
        figures = reconcile(archcalc.load(f"zoo:{name}"), tools, size).figures
        took = time.process_time() - start
        measured = worker.ask(tools, f"zoo:{name}", size)
        for figure in figures:
            found = measured[figure.tool].get(figure.quantity)
            same = figure.printed == found
            wrong += not same
            shown = [f"{n:,}" if n is not None else "raises" for n in (figure.printed, found)]
            print(f"| {name} | {figure.tool} | {figure.says} | {' | '.join(shown)} | {'' if same else 'differs'} |")
        print(f"{name}: all predictions in {took:.2f} s", file=sys.stderr, flush=True)
    worker.close()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
