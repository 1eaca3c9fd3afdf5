"""Networks of torchvision and timm, imported and compared with the real ones: parameters and MACs at two sizes.

    python benchmarks/torch_reach.py OUT.csv [--families torchvision,timm] [--jobs 2] [--limit 60] [--only NAME,…]

Each network is imported by `archcalc.from_torch` in a process of its own with as many sizes left open as it allows,
within --limit seconds of processor time; else with only the batch open, at both sizes. Parameters are compared with the
module's, MACs with torch's FlopCounterMode on the meta device. A run that was interrupted goes on where it stopped:
networks that have a row in OUT.csv are left out. torchvision has no build for the CPU build of torch: its models are
imported with a stub in the place of its operators. Needs torch, torchvision and timm (pip install --no-deps).
"""

import argparse
import ast
import csv
import os
import resource
import signal
import sys
import time
import types
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FIELDS = ("family", "network", "size", "other", "open", "status", "params", "params_equal", "macs", "macs_equal",
          "other_macs", "other_equal", "layers", "export_s", "import_s", "reason")  # fmt: skip
BIGGER = (32, 64)  # added to height and width for the other size, in the network's own steps where it has some


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--families", default="torchvision,timm")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--only")
    parser.add_argument("--most", type=int, help="of timm's networks, so many, evenly over their names")
    options = parser.parse_args()
    prepare()
    done = {(row["family"], row["network"]) for row in rows_of(options.out)}
    wanted = [pair for family in options.families.split(",") for pair in names_of(family, options.most)]
    wanted = [pair for pair in wanted if pair not in done and (not options.only or pair[1] in options.only.split(","))]
    with ThreadPoolExecutor(options.jobs) as pool:
        for number, row in enumerate(pool.map(lambda pair: in_a_process(pair, options.limit), wanted), start=1):
            append(options.out, row)
            print(number, len(wanted), row["network"], row["status"], row["reason"], flush=True)


def prepare():
    """Imports that every process shares."""
    warnings.filterwarnings("ignore")
    sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")
    import timm  # noqa: F401
    import torch
    import torchvision.models  # noqa: F401

    import archcalc.dialects.torch_import  # noqa: F401

    torch.set_num_threads(1)


def names_of(family, most):
    """Every image classifier of a family that can be made without a file."""
    if family == "torchvision":
        from torchvision import models

        return [(family, name) for name in models.list_models(module=models)]
    import timm

    names = timm.list_models()
    step = max(1, len(names) / most) if most else 1
    return [(family, names[int(number * step)]) for number in range(int(len(names) / step))]


def rows_of(path):
    return list(csv.DictReader(path.open(newline=""))) if path.exists() else []


def append(path, row):
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if new:
            writer.writeheader()
        writer.writerow(row)


def in_a_process(pair, limit):
    """One network in a child of this process; what it says comes back through a pipe."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_AS, (24 << 30, 24 << 30))
        try:
            text = repr(compared(*pair, limit))
        except BaseException as error:
            text = repr(failed(*pair, f"{type(error).__name__}: {first_line(error)}"))
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return ast.literal_eval(text) if text else failed(*pair, "died")


def failed(family, name, reason):
    return dict.fromkeys(FIELDS, "") | {"family": family, "network": name, "status": "failed", "reason": reason}


class TooLong(BaseException):
    """The processor time is over; no error of the network's, and not to be taken for one."""


def within(seconds, function):
    """What a function returns, or TooLong."""

    def over(*_):
        raise TooLong

    before = signal.signal(signal.SIGPROF, over)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        return function()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def compared(family, name, limit, again="batch"):
    """One row: the network imported and counted, beside PyTorch's own figures; at the other size, `again` is open."""
    module, size = made(family, name)
    other = (size[0], size[1] + BIGGER[0], size[2] + BIGGER[1])
    row = dict.fromkeys(FIELDS, "") | {"family": family, "network": name, "size": shown(size), "other": shown(other)}
    truth = [flops(module, size), flops(module, other)]
    params = sum(parameter.numel() for parameter in module.parameters())
    row |= {"params": params, "macs": truth[0], "other_macs": truth[1]}
    model, ways = imported(module, size, limit, row)
    report = model.report(input=size)
    row |= {"open": ways, "status": report.status, "layers": len(report.rows)}
    row |= {"params_equal": report.totals.params == params, "macs_equal": report.totals.macs == truth[0]}
    if not isinstance(truth[1], int):
        return row | {"other_equal": "refused", "reason": truth[1]}
    if ways != "all":  # imported again at the other size
        model, _ = imported(module, other, 0, dict(row), again)
    return row | {"other_equal": model.report(input=other).totals.macs == truth[1]}


def imported(module, size, limit, row, few="batch"):
    """The model, and which sizes stayed open; the time that torch.export takes of it is noted."""
    import torch

    from archcalc.dialects import torch_import

    real = torch_import._export
    spent = [0.0]

    def timed(*given):
        start = time.process_time()
        try:
            return real(*given)
        finally:
            spent[0] += time.process_time() - start

    torch_import._export = timed
    example = torch.empty(1, *size, device="meta")
    for dynamic, ways in ((True, "all"), (few, "batch")):
        if dynamic is True and not limit:
            continue
        start, spent[0] = time.process_time(), 0.0
        try:
            make = lambda how=dynamic: torch_import.from_torch(module, example, dynamic=how)  # noqa: E731
            model = within(limit, make) if dynamic is True else make()
        except TooLong:
            row["reason"] = f"open sizes take torch.export more than {limit} s"
            continue
        row |= {"export_s": round(spent[0], 2), "import_s": round(time.process_time() - start, 2)}
        closed = [size for item in model.inputs.values() for size in item.only[1:] if size is not None]
        return model, "batch" if closed else ways
    raise AssertionError


def made(family, name):
    """The real module on the meta device, and its own input size."""
    import timm
    import torch
    from torchvision import models

    for device in ("meta", "cpu"):
        try:
            with torch.device(device):
                module = timm.create_model(name) if family == "timm" else models.get_model(name, weights=None)
            break
        except (NotImplementedError, RuntimeError):
            if device == "cpu":
                raise
    module = module.eval().requires_grad_(False).to("meta")
    if family == "timm":
        return module, tuple(module.pretrained_cfg.get("input_size", (3, 224, 224)))
    crop = {"inception_v3": 299, "efficientnet_b1": 240, "efficientnet_b2": 288, "efficientnet_b3": 300,
            "efficientnet_b4": 380, "efficientnet_b5": 456, "efficientnet_b6": 528, "efficientnet_b7": 600,
            "efficientnet_v2_s": 384, "efficientnet_v2_m": 480, "efficientnet_v2_l": 480}  # fmt: skip
    return module, (3, crop.get(name, 224), crop.get(name, 224))


def flops(module, size):
    """MACs by torch's counter on the meta device; the reason where the network refuses the size."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module(torch.empty(1, *size, device="meta"))
    except Exception as error:
        return f"refuses {shown(size)}: {type(error).__name__}: {first_line(error)}"
    return counter.get_total_flops() // 2


def shown(size):
    return "x".join(map(str, size))


def first_line(error):
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:160] if lines else ""


if __name__ == "__main__":
    main()
