"""Devices: the built-in table and its consistency, names and plain rates, users' own files, the command, energy."""

import json
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from archcalc.algebra.ops import Ops
from archcalc.cli.main import main
from archcalc.dialects.devices import FIELDS, MEMORY, read_devices
from archcalc.errors import ArchcalcError, CannotRun, ModelError, Problems, UsageError
from archcalc.hardware import device as module
from archcalc.hardware import energy
from archcalc.hardware.consistency import check, findings
from archcalc.hardware.device import RATES, Device, Memory, device, devices, local, names, sources

ROWS = list(devices().values())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_every_row_agrees_with_itself(row):
    assert check(row) == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_every_row_names_its_sources_and_known_rates(row):
    assert row.sources
    assert set(row.sources) <= set(sources())
    assert set(row.peak_tflops) <= set(RATES)
    figures = [*row.peak_tflops.values(), *row.peak_at_max_clock_tflops.values(), row.bandwidth_gbps or 1]
    assert all(figure > 0 for figure in figures)


def test_every_source_is_used_and_no_name_is_taken_twice():
    assert {source for row in ROWS for source in row.sources} == set(sources())
    spoken = [name.lower() for row in ROWS for name in (row.id, *row.device_names)]
    assert len(spoken) == len(set(spoken))
    assert len(ROWS) == 74
    assert all(names(devices())[row.id] is row for row in ROWS)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"boost_mhz": 2100}, "fp32 must be lanes × clock; got 66.91 beside 2 × 16,896 lanes × 2,100 MHz = 70.96 TFLOP/s, 5.7% apart"),
        ({"fp32_lanes": 16895, "boost_mhz": None}, "lanes must be shared evenly; got 16,895 lanes in 132 multiprocessors"),
        ({"bus_bits": 5120}, "bandwidth must be bus × data rate; got 4,800 beside 5120 bits × 6.402 GT/s / 8 = 4,097.3 GB/s, 17.2% apart"),
        ({"tensor": frozenset({"fp6"})}, "tensor rates must be among the rates; got without fp6"),
        ({"peak_at_max_clock_tflops": {"fp6": 1}}, "rates at the highest clock must be among the rates; got without fp6"),
        ({"peak_at_max_clock_tflops": {"fp64": 33}}, "fp64 must gain by the highest clock; got 33 and 33.45 TFLOP/s"),
        ({"tensor_clock_mhz": 1700}, "bf16 must gain as the clock does; got 1.082 beside 1,980 / 1,700 MHz, 7.1% apart"),
        ({"sms": 66}, "bf16 must be dense; got 1,070.5 beside 2 × 2,048 products × 66 SMs × 1,980 MHz = 535.3 TFLOP/s"),
    ],
)  # fmt: skip
def test_a_wrong_figure_is_found(change, told):
    assert told in check(replace(device("nvidia-h200"), **change))


@pytest.mark.parametrize(
    ("rate", "told"),
    [
        ({"fp64": 70}, "fp64 must be no faster than fp32; got 70 and 66.91 TFLOP/s"),
        ({"tf32": 50}, "fp32 must be no faster than tf32; got 66.91 and 50 TFLOP/s"),
        ({"tf32": 1000}, "tf32 must be no faster than bf16; got 1,000 and 989.4 TFLOP/s"),
        ({"int8": 3957.8}, "int8 must be dense, at most twice 16 bits; got 3,957.8 beside 989.4 TFLOP/s of 16 bits, 4.00 times"),
        ({"fp16": 1978.9}, "fp16 must be dense; got 1,978.9 beside 2 × 2,048 products × 132 SMs × 1,980 MHz = 1,070.5 TFLOP/s"),
    ],
)  # fmt: skip
def test_a_wrong_rate_is_found(rate, told):
    row = device("nvidia-h200")
    assert told in check(replace(row, peak_tflops=row.peak_tflops | rate))


def test_the_checks_that_a_row_allows_are_made():
    assert sum(len(findings(row)) for row in ROWS) > 600
    assert len(findings(device("nvidia-h200"))) == 23
    assert findings(device("apple-m4-pro-20c")) == findings(replace(device("apple-m4-pro-20c"), tdp_w=5))


@pytest.mark.parametrize(
    ("name", "rates", "bandwidth", "cache", "memory"),
    [
        ("nvidia-h200", {"bf16": 1070.5e12, "fp32": 66.91e12, "fp8": 2141.1e12}, 4_916_736_000_000, 60 * 2**20, 143_771 * 2**20),
        ("nvidia-h100-sxm", {"tf32": 535.3e12, "fp64_tensor": 66.9e12}, 3_361_280_000_000, 50 * 2**20, 80 * 2**30),
        ("nvidia-a100-pcie-40gb", {"fp32": 19.49e12, "tf32": 155.9e12, "bf16": 311.9e12}, 1_555_200_000_000, 40 * 2**20, 40 * 2**30),
        ("nvidia-v100-sxm2", {"fp32": 15.67e12, "fp16": 125e12}, 900e9, 6 * 2**20, 32 * 2**30),
        ("Tesla V100-PCIE-16GB", {"fp32": 14.13e12}, 900e9, 6 * 2**20, 16 * 2**30),
        ("nvidia-rtx4090", {"fp16": 165.2e12, "fp16_fp16acc": 330.3e12}, 1_008_384_000_000, 72 * 2**20, 24 * 2**30),
        ("nvidia-k80-die", {"fp32": 4.368e12}, 240.6e9, 3 * 2**19, 12 * 2**30),
        ("amd-mi300x", {"fp32": 163.4e12}, 5_324_800_000_000, 288 * 2**20, 192 * 2**30),
        ("google-tpu-v4", {"bf16": 275e12}, 1.2e12, None, 32 * 2**30),
        ("apple-m1-8c", {"fp32": 2.617e12}, 68_272_000_000, None, None),
    ],
)  # fmt: skip
def test_figures_of_well_known_devices(name, rates, bandwidth, cache, memory):
    row = device(name)
    assert {rate: row.rate(rate) for rate in rates} == rates
    assert (row.bandwidth, row.cache_bytes, row.memory_bytes) == (bandwidth, cache, memory)


def test_a_rate_is_at_least_the_sheets_and_never_made_up():
    for row in ROWS:
        for name, stated in row.peak_tflops.items():
            assert row.rate(name) >= stated * 1e12 * (1 - 1e-15)
            assert row.has_rate(name)
    assert told(lambda: device("nvidia-t4").rate("bf16")) == (
        "--device: must have a rate for bf16; got nvidia-t4 with fp64, fp32, fp16, int8\n"
        "  no source states one, and none is made up; a file of your own may: --devices FILE"
    )
    assert not device("nvidia-t4").has_rate("bf16")
    assert "apple-m4-pro-20c with no rate at all" in told(lambda: device("apple-m4-pro-20c").rate("fp32"))


def test_tensor_rates_ridge_and_memory_units():
    row = device("nvidia-a100-sxm-80gb")
    assert row.tensor == {"fp64_tensor", "tf32", "fp16", "bf16", "int8"}
    assert row.ridge("bf16") == pytest.approx(311.9e12 / 2.03904e12)
    assert device("1TFLOPS").ridge("fp32") is None
    assert (Memory(24, "GiB").bytes, Memory(512, "MiB").bytes, Memory().bytes) == (24 * 2**30, 2**29, None)


@pytest.mark.parametrize(
    ("name", "rate"),
    [("1TFLOPS", 1e12), ("2.5tflops", 2.5e12), ("500GFLOPS", 5e11), ("1 TFLOP/s", 1e12), ("0.3 pflop/s", 3e14), ("7 MFLOP", 7e6)],
)  # fmt: skip
def test_a_plain_rate_is_a_device(name, rate):
    row = device(name)
    assert all(row.rate(dtype) == rate for dtype in RATES)
    assert (row.bandwidth, row.cache_bytes, row.memory_bytes, row.sms, row.tensor) == (
        None,
        None,
        None,
        None,
        frozenset(),
    )
    assert check(row) == []


@pytest.mark.parametrize("name", ["nvidia-h200", "H200", " h200 ", "NVIDIA H200", "nvidia h200"])
def test_a_device_goes_by_several_names(name):
    assert device(name) is devices()["nvidia-h200"]


def test_drivers_of_old_say_no_vendor():
    assert device("GeForce RTX 3090").id == "nvidia-rtx3090"
    assert device("A100-SXM4-40GB").id == "nvidia-a100-sxm-40gb"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("h2000", "--device: no such device; got h2000\n  did you mean h200?"),
        ("rtx 4090", "--device: no such device; got rtx 4090\n  did you mean nvidia-rtx4090?"),
        ("h100", "--device: no such device; got h100\n  did you mean one of nvidia-h100-nvl, nvidia-h100-pcie, nvidia-h100-sxm?"),
        ("toaster", "--device: no such device; got toaster\n  see: archcalc hardware"),
        ("", "--device: no such device; got ''\n  see: archcalc hardware"),
        ("-1TFLOPS", "--device: no such device; got -1TFLOPS\n  did you mean generic-1tflops?"),
        ("0TFLOPS", "--device: must have a rate above zero; got 0TFLOPS"),
    ],
)  # fmt: skip
def test_an_unknown_name_says_the_way_out(name, text):
    assert told(lambda: device(name), UsageError) == text


def test_the_table_is_read_once_and_fast():
    assert devices() is devices()
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        module._table.__wrapped__()
        taken.append(time.perf_counter() - start)
    assert min(taken) < 0.1


def test_the_room_loads_nothing_heavy():
    code = "import sys; from archcalc.hardware.device import device; device('h200'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "sympy"} & set(done.stdout.split())


# --- the device of this machine


def driven(monkeypatch, name="NVIDIA H200", available=True, **driver):
    given = {"total_memory": 150_000_000_000, "multi_processor_count": 130} | driver
    cuda = SimpleNamespace(
        is_available=lambda: available,
        get_device_name=lambda: name,
        current_device=lambda: 0,
        get_device_properties=lambda _: SimpleNamespace(**given),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))


def test_local_is_a_row_with_what_the_driver_says(monkeypatch):
    driven(monkeypatch, L2_cache_size=62_914_560, clock_rate=1_980_000)
    row, sheet = device("Local"), device("nvidia-h200")
    assert (row.id, row.memory_bytes, row.sms, row.cache_bytes) == ("nvidia-h200", 150_000_000_000, 130, 62_914_560)
    assert row.rate("bf16") == sheet.rate("bf16")
    assert row.notes[-1] == "Read from the driver: memory, multiprocessors, L2, highest clock."
    assert check(replace(row, sms=sheet.sms)) == []


def test_a_card_that_boosts_higher_gains_rates(monkeypatch):
    driven(monkeypatch, name="NVIDIA GeForce RTX 3090", clock_rate=2_034_000, L2_cache_size=1)
    row, sheet = local(), device("nvidia-rtx3090")
    assert row.rate("fp32") == pytest.approx(sheet.rate("fp32") * 1.2)
    assert row.rate("fp16") == pytest.approx(sheet.rate("fp16") * 1.2)
    assert row.cache_bytes == sheet.cache_bytes


def test_local_needs_pytorch_a_device_and_a_row(monkeypatch, capsys):
    way_out = "name a device instead, such as --device nvidia-h200; archcalc hardware lists them"
    monkeypatch.setitem(sys.modules, "torch", None)
    text = told(local, CannotRun)
    assert text.startswith("--device local: needs PyTorch; got ")
    assert text.endswith(f"\n  pip install 'archcalc[torch]', or {way_out}")
    driven(monkeypatch, available=False)
    assert told(local, CannotRun) == (
        f"--device local: needs a CUDA device; got none that PyTorch can use\n  {way_out}"
    )
    driven(monkeypatch, name="NVIDIA Wonder")
    assert main(["hardware", "local"]) == 7
    assert capsys.readouterr().err == (
        "archcalc: --device local: needs a row for the device; got NVIDIA Wonder\n"
        "  state its rates in a file of your own (--devices FILE), with this name under device_names\n"
    )
    own = {"mine": Device(id="mine", name="mine", device_names=("NVIDIA Wonder",), peak_tflops={"fp32": 1.0})}
    assert device("local", own).memory_bytes == 150_000_000_000


# --- a user's own file

OWN = """\
version: 1
sources: {SHEET: 'my data sheet, 2026'}
devices:
  - id: my-card
    vendor: Me
    compute_capability: 8.0
    memory: {size: 12, unit: GiB, type: null}
    bandwidth_gbps: 300
    l2_mb: 4
    tdp_w: null
    peak_tflops: {fp32: 10, fp16: 80, bf16: null}
    tensor: [fp16]
    sources: [SHEET, hearsay]
  - {id: just-a-rate, peak_tflops: {int8: 4.0}}
"""


def own_file(tmp_path, text):
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_of_own_devices(tmp_path):
    found = read_devices(own_file(tmp_path, OWN))
    assert list(found) == ["my-card", "just-a-rate"]
    card = found["my-card"]
    assert (card.name, card.compute_capability, card.memory_bytes) == ("my-card", "8.0", 12 * 2**30)
    assert card.sources == ("my data sheet, 2026", "hearsay")
    assert (card.rate("fp16"), card.bandwidth, card.tensor) == (80e12, 300e9, {"fp16"})
    assert not card.has_rate("bf16")
    assert device("MY-CARD", found) is card
    assert device("nvidia-h200", found) is devices()["nvidia-h200"]


def test_a_file_takes_what_the_table_has():
    assert set(FIELDS) == set(Device.__struct_fields__)
    assert set(MEMORY) == set(Memory.__struct_fields__)


def test_the_built_in_table_can_be_read_as_a_file_but_for_its_names():
    with pytest.raises(Problems) as error:
        read_devices(module.TABLE)
    rules = {problem.rule for problem in error.value.problems}
    assert all(rule.startswith("must not take a name of the built-in ") or "needs" in rule for rule in rules)


WRONG = {
    "devices: [{id: a, peak_tflops: {fp32: -1}}]": "a: peak_tflops: fp32 must be above zero; got -1\n  at own.yaml:1:39",
    "devices: [{id: a, peak_tflops: {fp32: .nan}}]": "a: peak_tflops: fp32 must be a number; got .nan\n  at own.yaml:1:39",
    "devices: [{id: a, peak_tflops: {fp32: 1e999}}]": "a: peak_tflops: fp32 must lie between 1e-06 and 1e+12; got 1e999\n  at own.yaml:1:39",
    "devices: [{id: a, peak_tflops: {fp32: fast}}]": "a: peak_tflops: fp32 must be a number; got fast\n  at own.yaml:1:39",
    "devices: [{id: a, peak_tflops: {fp32: 1}, sms: 1.5}]": "a: sms must be an integer; got 1.5\n  at own.yaml:1:48",
    "devices: [{id: a, peak_tflops: {fp32: 1}, sms: true}]": "a: sms must be an integer; got true\n  at own.yaml:1:48",
    "devices: [{id: a, peak_tflops: {fp32: 1}, sms: [1]}]": "a: sms must be an integer; got [1]\n  at own.yaml:1:48",
    "devices: [{id: a, peak_tflops: {fp32: 1}, name: [1]}]": "a: name must be text; got [1]\n  at own.yaml:1:49",
    "devices: [{id: a, peak_tflops: {fp32: 1}, tensor: fp32}]": "a: tensor must be a list of names; got fp32\n  at own.yaml:1:51",
    "devices: [{id: a, peak_tflops: {fp32: 1}, tflops: 2}]": "a: has no such key; got tflops\n  at own.yaml:1:43: did you mean peak_tflops?",
    "devices: [{id: a, peak_tflops: {float32: 1}}]": (
        "a, peak_tflops: has no such key; got float32\n  at own.yaml:1:33: known: fp64, fp64_tensor, fp64_matrix, fp32, "
        "fp32_matrix, tf32, fp16, fp16_fp16acc, bf16, fp8, int8"
    ),
    "devices: [{id: a, peak_tflops: {fp32: 1}, memory: 24}]": "a: memory must be a mapping such as {size: 24, unit: GB}; got 24\n  at own.yaml:1:51",
    "devices: [{id: a, peak_tflops: {fp32: 1}, memory: {unit: TB}}]": "a: memory: unit must be GB, GiB or MiB; got TB\n  at own.yaml:1:51",
    "devices: [{id: a, peak_tflops: 3}]": "a: peak_tflops must be a mapping such as {fp32: 19.5}; got 3\n  at own.yaml:1:32",
    "devices: [{id: a, peak_tflops: {}}]": (
        "a: needs at least one rate under peak_tflops; got none\n  at own.yaml:1:32: known: fp64, fp64_tensor, fp64_matrix, fp32, "
        "fp32_matrix, tf32, fp16, fp16_fp16acc, bf16, fp8, int8"
    ),
    "devices: [{id: a}]": "a: needs peak_tflops:; got none\n  at own.yaml:1:11: such as peak_tflops: {fp32: 19.5, fp16: 312}",
    "devices: [{peak_tflops: {fp32: 1}}]": "devices[0]: needs id:; got none\n  at own.yaml:1:11: the name that --device takes",
    "devices: [{id: H200, peak_tflops: {fp32: 1}}]": (
        "H200: must not take a name of the built-in nvidia-h200; got H200\n  at own.yaml:1:11: give it an id of its own"
    ),
    "devices: [{id: a, device_names: [NVIDIA L4], peak_tflops: {fp32: 1}}]": (
        "a: must not take a name of the built-in nvidia-l4; got NVIDIA L4\n  at own.yaml:1:11: give it an id of its own"
    ),
    "devices: [{id: a, peak_tflops: {fp32: 1}}, {id: A, peak_tflops: {fp32: 1}}]": (
        "A: must not take a name of a, above; got A\n  at own.yaml:1:44: give it an id of its own"
    ),
    "devices: [{id: 2TFLOPS, peak_tflops: {fp32: 1}}]": "2TFLOPS: id must not be local or a plain rate; got 2TFLOPS\n  at own.yaml:1:11",
    "devices: [{id: a, peak_tflops: {fp32: 5}, fp32_lanes: 1000, boost_mhz: 1000}]": (
        "a: fp32 must be lanes × clock; got 5 beside 2 × 1,000 lanes × 1,000 MHz = 2 TFLOP/s, 150.0% apart\n  at own.yaml:1:11"
    ),
    "devices: [{id: a, peak_tflops: {fp16: 10, int8: 40}}]": (
        "a: int8 must be dense, at most twice 16 bits; got 40 beside 10 TFLOP/s of 16 bits, 4.00 times\n"
        "  at own.yaml:1:11: a rate with sparsity is twice the dense one: state the dense one"
    ),
    "devices: [{id: a, peak_tflops: {fp32: 1}, tensor: [bf16]}]": "a: tensor rates must be among the rates; got without bf16\n  at own.yaml:1:11",
    "devices: [5]": "devices[0]: must be a mapping with id and peak_tflops; got 5\n  at own.yaml:1:11",
    "devices: []": "devices: needs at least one row; got none\n  at own.yaml:1:10",
    "devices: {a: 1}": "devices: devices must be a list of rows; got {a: 1}\n  at own.yaml:1:10",
    "version: 2\ndevices: [{id: a, peak_tflops: {fp32: 1}}]": "devices: version must be 1; got 2\n  at own.yaml:1:10",
    "sources: 1\ndevices: [{id: a, peak_tflops: {fp32: 1}}]": "devices: sources must be a mapping of names to text; got 1\n  at own.yaml:1:10",
    "version: 1": "devices: needs devices:; got none\n  at own.yaml:1:1: a list of rows with id and peak_tflops",
    "7": "devices: must be a mapping with devices; got 7\n  at own.yaml:1:1",
    "devices: !!python/object/apply:os.getcwd []": (
        "YAML: tags are not allowed: a spec is plain data; got 'tag:yaml.org,2002:python/object/apply:os.getcwd'\n  at own.yaml:1:10"
    ),
    "devices: [{id: a, id: b, peak_tflops: {fp32: 1}}]": (
        "YAML: a key must stand once in its mapping; got 'id', here and in line 1\n  at own.yaml:1:19"
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_a_mistake_in_a_file_is_one_clear_message(text, tmp_path, monkeypatch):
    own_file(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    assert told(lambda: read_devices("own.yaml"), ModelError) == WRONG[text]


def test_all_mistakes_of_a_file_are_told_together(tmp_path, monkeypatch, capsys):
    own_file(tmp_path, "devices:\n  - {id: a, peak_tflops: {fp32: 0}, sms: x}\n  - {id: b}\n")
    monkeypatch.chdir(tmp_path)
    assert main(["hardware", "a", "--devices", "own.yaml"]) == 3
    assert capsys.readouterr().err == (
        "archcalc: a: peak_tflops: fp32 must be above zero; got 0\n  at own.yaml:2:33\n"
        "a: sms must be an integer; got x\n  at own.yaml:2:42\n"
        "b: needs peak_tflops:; got none\n  at own.yaml:3:5: such as peak_tflops: {fp32: 19.5, fp16: 312}\n"
        "3 problems\n"
    )


def test_a_file_that_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own_file(tmp_path, OWN)
    assert told(lambda: read_devices("owm.yaml")) == "devices: no such file; got owm.yaml\n  did you mean own.yaml?"
    assert told(lambda: read_devices("no/own.yaml")) == "devices: no such file; got no/own.yaml"
    assert told(lambda: read_devices(".")) == "devices: must be readable; got .: Is a directory"
    (tmp_path / "own.yaml").write_bytes(b"devices:\n  - \xff")
    assert told(lambda: read_devices("own.yaml")) == "devices: must be UTF-8 text; got the byte 0xff\n  at own.yaml:2"
    (tmp_path / "own.yaml").write_bytes(b" " * (10 * 2**20 + 1))
    assert told(lambda: read_devices("own.yaml")) == "devices: a file must have at most 10 MiB; got own.yaml"


# --- the command


def test_the_table_fits_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["hardware"]) == 0
    page = capsys.readouterr().out
    assert max(map(len, page.splitlines())) <= 80
    assert "\nnvidia-h200                    140.4  4,917     60  66.91  535.3   1,071  1,071\n" in page
    assert page.endswith("\n74 devices. One of them: archcalc hardware nvidia-h200\n")


@pytest.mark.parametrize("row", [*ROWS, device("1TFLOPS")], ids=lambda row: row.id)
def test_the_page_of_a_device_says_all(row, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["hardware", row.id]) == 0
    page = capsys.readouterr().out
    assert max(map(len, page.splitlines())) <= 80
    said = " ".join(page.split())
    assert all(" ".join(note.split()) in said for note in row.notes)
    assert all(" ".join(sources()[source].split()) in said for source in row.sources)
    for name, stated in row.peak_tflops.items():
        (line,) = [line for line in page.splitlines() if line.startswith(f"{name} ")]
        assert f" {stated:,g} " in line
        assert line.endswith("tensor" if name in row.tensor else "vector")


def test_own_devices_join_the_table_and_have_pages(tmp_path, capsys):
    path = own_file(tmp_path, OWN)
    assert main(["hardware", "--devices", path]) == 0
    assert "76 devices." in capsys.readouterr().out
    assert main(["hardware", "my-card", "--devices", path]) == 0
    assert capsys.readouterr().out == (
        "my-card: my-card\n\n"
        "made        Me, compute capability 8.0\n"
        "memory      12 GiB: 12.00 GiB\n"
        "bandwidth   300.0 GB/s (300 stated)\n"
        "cache       4.000 MiB\n"
        "processors  unknown\n\n"
        "rate  TFLOP/s  at highest clock  FLOP per byte  cores\n"
        "----  -------  ----------------  -------------  ------\n"
        "fp32       10                             33.3  vector\n"
        "fp16       80                            266.7  tensor\n\n"
        "Checks: 1 of 1 hold\n"
        "  tensor rates must be among the rates: all\n\n"
        "Sources\n"
        "  my data sheet, 2026\n"
        "  hearsay\n"
    )


def test_json_has_exact_figures_checks_and_sources(capsys):
    assert main(["hardware", "h200", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    (row,) = data["devices"]
    assert data["schema_version"] == 1
    assert row["rate_flops_per_s"]["bf16"] == 1070.5e12
    assert (row["memory_bytes"], row["cache_bytes"]) == (143_771 * 2**20, 60 * 2**20)
    assert row["bandwidth_bytes_per_s"] == 4_916_736_000_000
    assert row["tensor"] == ["fp64_tensor", "tf32", "fp16", "bf16", "fp8", "int8"]
    assert all(item["holds"] for item in row["checks"])
    assert set(data["sources"]) == set(row["sources"])
    assert main(["hardware", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["devices"]) == 74


def test_an_unknown_name_ends_with_2(capsys):
    assert main(["hardware", "nvidia-h2000"]) == 2
    assert (
        capsys.readouterr().err == "archcalc: hardware: no such device; got nvidia-h2000\n  did you mean nvidia-h200?\n"
    )


# --- energy


def test_published_energies():
    seven, forty_five = sorted(energy.table().nodes, key=lambda node: node.nm)
    assert (seven.nm, forty_five.nm) == (7, 45)
    assert (forty_five.mul_pj["fp32"], forty_five.add_pj["fp32"], forty_five.sram_pj[8]) == (3.7, 0.9, 10)
    assert (seven.mul_pj["bf16"], seven.add_pj["int8"], seven.sram_pj[1024]) == (0.21, 0.007, 14)
    rows = [*energy.table().nodes, *energy.table().memories]
    assert all(row.sources and set(row.sources) <= set(energy.table().sources) for row in rows)
    assert {row.source for row in energy.table().processes} <= set(energy.table().sources)
    hbm2 = next(row for row in energy.table().memories if row.type == "HBM2")
    assert hbm2.access_pj[0] <= 3.97 * 64 <= hbm2.access_pj[1]  # of another paper


def test_energy_of_operations_by_hand():
    on = energy.technology(45, "DDR3")
    low, high = energy.energy_j({"fp16": Ops(mul=2, add=3, cmp=1, exp=9)}, 16, on)
    assert low == pytest.approx((2 * 1.1 + 4 * 0.4 + 2 * 1300) * 1e-12)
    assert high == pytest.approx((2 * 1.1 + 4 * 0.9 + 2 * 4 / 8 * 10 + 2 * (2600 + 100)) * 1e-12)
    assert energy.energy_j({}, 0, on) == (0, 0)


def test_nodes_between_and_beyond_the_published_ones_say_so():
    assert energy.technology(7, "HBM2").notes == ()
    between = energy.technology(12, "GDDR6X")
    assert (between.low.nm, between.high.nm) == (7, 45)
    assert between.notes == (
        "12 nm lies between published nodes: lower end as in 7 nm, upper end as in 45 nm",
        "nothing is published for GDDR6X: figures of GDDR6",
    )
    assert energy.technology(4, "HBM3e").notes == (
        "nothing is published for 4 nm: figures of 7 nm, which are likely too high",
        "nothing is published for HBM3e: figures of HBM2",
    )


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda: energy.technology(65, "HBM2"), "energy: has figures from 45 nm down; got 65 nm"),
        (lambda: energy.technology(7, "LPDDR5"), "energy: has figures for DDR, GDDR5, GDDR6, HBM2; got LPDDR5"),
        (lambda: energy.technology_of(device("apple-m1-8c")), "energy: needs a device whose process node is known; got apple-m1-8c"),
        (lambda: energy.technology_of(device("1TFLOPS")), "energy: needs a device whose process node is known; got 1TFLOPS"),
        (
            lambda: energy.energy_j({"bf16": Ops(mul=1)}, 0, energy.technology_of(device("nvidia-a40"))),
            "energy: needs a published figure for bf16 at 45 nm; got none\n  figures are published for int8, int32, fp16, fp32",
        ),
    ],
)  # fmt: skip
def test_what_nobody_published_is_no_number(ask, text):
    assert told(ask, UsageError) == text


def test_the_lower_end_fits_the_power_of_every_device():
    compared = 0
    for row in ROWS:
        try:
            on = energy.technology_of(row)
        except UsageError:
            continue
        for name in ("int8", "fp16", "bf16", "fp32"):
            if row.has_rate(name) and row.tdp_w and name in on.high.mul_pj:
                products = int(row.peak_tflops[name] * 1e12 / 2)
                low, high = energy.energy_j({name: Ops(mul=products, add=products)}, 0, on)
                assert low < row.tdp_w, (row.id, name)
                assert low < high
                compared += 1
    assert compared > 100


def test_the_range_holds_what_an_a100_draws_at_its_peak():
    row = device("nvidia-a100-sxm-80gb")
    products = int(row.rate("bf16") / 2)
    low, high = energy.energy_j({"bf16": Ops(mul=products, add=products)}, 0, energy.technology_of(row))
    assert low < row.tdp_w < high


def told(ask, kind=ArchcalcError):
    """The whole text of the error that a call ends with."""
    with pytest.raises(kind) as error:
        ask()
    return str(error.value)
