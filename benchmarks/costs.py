"""Memory and time: how fast they are told, against PyTorch's own tracker; and both beside what was measured."""

import argparse
import csv
import os
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from speed import Figure, in_turn, machine, per_call, same
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

import archcalc

MEASURED = Path(__file__).parents[1] / "tests/measured"
BATCH, DEVICE = 32, "nvidia-a100-pcie-40gb"
SPECS = {"gpt2-large": "gpt2", "gpt3-xl": "gpt2", "gpt3-2.7b": "gpt2", "opt-1.3b": "opt", "bert-large": "bert"}
SETTINGS = {
    "sequence": "sequence",
    "blocks": "layers",
    "hidden": "hidden",
    "heads": "heads",
    "ffn": "ffn",
    "vocab": "vocab",
}


def tracked(name: str) -> int:
    """The training peak by PyTorch's tracker, on fake tensors: two steps of SGD with momentum."""
    model = archcalc.load(f"zoo:{name}")
    with FakeTensorMode():
        network = archcalc.torch.build(model)
        x = torch.rand(BATCH, *next(iter(model.inputs.values())).shape)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
        tracker = MemTracker()
        tracker.track_external(network, optimizer, x)
        with tracker:
            for step in range(2):
                y = network(x)
                y.backward(torch.ones_like(y))
                del y
                optimizer.step()
                optimizer.zero_grad()
                if step == 0:
                    tracker.reset_mod_stats()
    return next(iter(tracker.get_tracker_snapshot("peak").values()))["Total"]


def told(rounds: int) -> list[Figure]:
    """Warm calls for ResNet-50 at batch 32."""
    model = archcalc.load("zoo:resnet50")

    def training() -> Any:
        return model.memory(batch=BATCH, training=True, optimizer="momentum", allocator="exact")

    theirs, ours = tracked("resnet50"), training().training.bytes
    same("peaks, to half a percent", round(ours / theirs * 200), 200)
    mine, other = in_turn(rounds, per_call(training, 5), per_call(lambda: tracked("resnet50"), 1))
    both = per_call(lambda: (model.memory(batch=BATCH), model.time(DEVICE, batch=BATCH)), 5)
    printed = per_call(lambda: (str(model.memory(batch=BATCH)), str(model.time(DEVICE, batch=BATCH))), 5)
    step = per_call(lambda: (str(training()), str(model.time(DEVICE, batch=BATCH, training=True))), 5)
    counted = per_call(lambda: model.report(batch=BATCH), 5)
    reports, pages, trained, report = in_turn(rounds, both, printed, step, counted)
    return [
        Figure(
            "h. peak of a training step of ResNet-50, warm", mine, other, "ms", "MemTracker, fake tensors", limit=10
        ),
        Figure("i. memory and time at inference", reports, report, "ms", "a report", limit=10),
        Figure("i. the same, printed", pages, report, "ms", "a report"),
        Figure("i. the same of a training step, printed", trained, report, "ms", "a report"),
    ]


def networks() -> Iterator[tuple[dict[str, str], float, float, float]]:
    """Each measured network with its time, and bound, bound kernel by kernel and estimate as shares of it."""
    folder = Path(os.environ.get("ARCHCALC_MEASURED", MEASURED))
    with open(folder / "networks.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["model"] in SPECS:
                settings = {name: int(row[column]) for name, column in SETTINGS.items()}
                model = archcalc.load(str(MEASURED / f"{SPECS[row['model']]}.yaml"), settings)
                task = {"batch": int(row["batch"]), "math_mode": "ieee", "training": row["mode"] == "training"}
                totals = model.time(row["gpu"], **task).totals
                shares = (
                    totals[name] / float(row["time_ms"]) * 1e3 for name in ("bound_s", "bound_eager_s", "estimate_s")
                )
                yield (row, *shares)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=7, help="pairs")
    given = options.parse_args()
    torch.set_num_threads(1)
    figures = told(given.rounds)
    print("\n".join(f"- {key}: {value}" for key, value in machine().items()))
    print("\n| figure | ours | against | ratio | target | met? |\n|---|---|---|---|---|---|")
    print("\n".join(figure.line() for figure in figures))
    print("\n| device | network | mode | batch | measured | bound | kernel by kernel | estimate |\n|" + "---|" * 8)
    misses: dict[str, list[float]] = {}
    for row, bound, eager, estimate in networks():
        misses.setdefault(row["mode"], []).append(abs(estimate - 1))
        print(f"| {row['gpu']} | {row['model']} | {row['mode']} | {row['batch']} | {float(row['time_ms']):,.0f} ms"
              f" | {bound:.2f} | {eager:.2f} | {estimate:.2f} |")  # fmt: skip
    for mode, errors in misses.items():
        found = f"{100 * mean(errors):.1f} % over {len(errors)}, worst {100 * max(errors):.1f} %"
        print(f"\n{mode}: mean error of the estimate {found}")


if __name__ == "__main__":
    main()
