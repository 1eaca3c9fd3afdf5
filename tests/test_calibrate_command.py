"""The command `archcalc calibrate`: what it prints and writes, what `archcalc time` takes from it, and bad input."""

import importlib.util
import json
from pathlib import Path

import pytest

import archcalc
from archcalc.cli.main import main
from archcalc.hardware import calibration as fits
from archcalc.hardware.device import device
from archcalc.hardware.measured import read

KERNELS = str(Path(__file__).parent / "measured" / "kernels.csv")
V100, A100 = "nvidia-v100-pcie", "nvidia-a100-pcie-40gb"
needs_scipy = pytest.mark.skipif(not importlib.util.find_spec("scipy"), reason="fits need SciPy")


def run(capsys, *arguments):
    code = main(["calibrate", *arguments])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


@pytest.fixture(scope="module")
def fitted():
    """The same fit without the command."""
    pytest.importorskip("scipy")
    rows = [row for row in read(KERNELS) if row.gpu == V100]
    return fits.fit(rows, device(V100), environment={"source": "kernels.csv"})


@needs_scipy
def test_the_page(capsys, monkeypatch, fitted):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run(capsys, "--from", KERNELS, "--device", V100)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "nvidia-v100-pcie at fp32: fitted to 32 timings, checked on 408 others"
    assert max(map(len, lines)) <= 80
    told = {
        line.split()[0]: line.split()[1:3]
        for line in lines
        if line.split() and hasattr(fitted.numbers, line.split()[0])
    }
    assert list(told) == list(fitted.numbers.__struct_fields__)
    assert told["gemm"] == [f"{fitted.numbers.gemm:.3f}", "0.850"]
    assert told["tile_cost"] == [f"{fitted.numbers.tile_cost:.3f}", "8.000"]
    assert "gap_s        2.000 µs  2.000 µs  between two kernels" in lines
    for op, error in fitted.residuals.items():
        assert any(line.split()[:2] == [op, f"{100 * error:.1f}"] for line in lines), op
    assert lines[-1] == "source: kernels.csv"


@needs_scipy
@pytest.mark.parametrize("place", ["file", "folder"])
def test_what_is_written_is_read_again(place, capsys, tmp_path, fitted):
    path = tmp_path / "v100.json" if place == "file" else tmp_path
    code, out, err = run(capsys, "--from", KERNELS, "--device", V100, "--json", "-o", str(path))
    written = path if place == "file" else tmp_path / f"{V100}.fp32.json"
    assert (code, err) == (0, f"archcalc: calibrate: written to {written}\n")
    assert fits.load(str(written), device(V100)) == fitted
    assert json.loads(out) == [json.loads(written.read_text(encoding="utf-8"))]


@needs_scipy
def test_times_take_a_calibration(capsys, tmp_path, fitted):
    path = str(tmp_path / "v100.json")
    fits.save(fitted, path)
    assert main(["time", "zoo:resnet18", "--device", V100, "--batch", "8", "--calibration", path, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["calibrated"] == ["fp32"]
    own = archcalc.load("zoo:resnet18").time(V100, batch=8, calibration=fitted)
    assert data["totals"] == own.totals
    shipped = archcalc.load("zoo:resnet18").time(V100, batch=8)
    assert {name: data["totals"][name] for name in shipped.totals if name.startswith("bound")} == {
        name: value for name, value in shipped.totals.items() if name.startswith("bound")
    }  # a bound has nothing to fit
    assert data["totals"]["estimate_s"] != shipped.totals["estimate_s"]  # that one is fitted to the whole file


def kept(tmp_path):
    """A calibration that comes along, as a file of its own."""
    path = tmp_path / "own.json"
    fits.save(fits.shipped(device(V100), "fp32"), str(path))
    return str(path)


def test_a_calibration_of_another_device(capsys, tmp_path):
    path = kept(tmp_path)
    assert main(["time", "zoo:digits", "--device", "nvidia-t4", "--calibration", path]) == 2
    assert capsys.readouterr() == (
        "", f"archcalc: calibration: must be of nvidia-t4; got {path} of nvidia-v100-pcie at fp32\n  archcalc calibrate\n"
    )  # fmt: skip


def test_a_calibration_from_python_of_another_device():
    other = fits.shipped(device(V100), "fp32")
    with pytest.raises(archcalc.ArchcalcError) as caught:
        archcalc.load("zoo:digits").time("nvidia-t4", calibration=other)
    assert str(caught.value) == "--calibration: must be of nvidia-t4; got nvidia-v100-pcie"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"schema_version": 1,',
            "calibration: must be JSON as `archcalc calibrate` writes it; got Input data was truncated\n  at {}",
        ),
        ('{"schema_version": 2}', "calibration: schema_version must be 1; got 2\n  at {}"),
        (
            '{"schema_version": 1, "device": "nvidia-v100-pcie"}',
            "calibration: must be JSON as `archcalc calibrate` writes it; got Object missing required field `rate`\n  at {}",
        ),
    ],
)
def test_a_broken_calibration_says_where(text, message, capsys, tmp_path):
    path = tmp_path / "broken.json"
    path.write_text(text, encoding="utf-8")
    assert main(["time", "zoo:digits", "--device", V100, "--calibration", str(path)]) == 3
    assert capsys.readouterr() == ("", f"archcalc: {message.format(path)}\n")


def test_a_calibration_that_is_not_there(capsys, tmp_path):
    kept(tmp_path)
    path = str(tmp_path / "on.json")
    assert main(["time", "zoo:digits", "--device", V100, "--calibration", path]) == 3
    assert capsys.readouterr() == ("", f"archcalc: calibration: no such file; got {path}\n  did you mean own.json?\n")


MISTAKES = [
    (["--from", KERNELS], 2,
     "--device: must name one of the devices in the file; got nvidia-a100-pcie-40gb, nvidia-a100-pcie-80gb, nvidia-h100-sxm, nvidia-v100-pcie\n"
     "  --device NAME"),
    (["--from", KERNELS, "--device", "nvidia-v100-pci"], 2, "--device: no such device; got nvidia-v100-pci\n"
     "  did you mean one of nvidia-v100-pcie, nvidia-v100-pcie-16gb?"),
    (["--from", KERNELS, "--device", "nvidia-t4"], 2,
     "--device: must have timings in the file; got nvidia-t4; it has nvidia-a100-pcie-40gb, nvidia-a100-pcie-80gb, nvidia-h100-sxm, nvidia-v100-pcie"),
    (["--from", KERNELS, "--device", V100, "--dtype", "bfloat16"], 2, "--dtype: must have timings in the file; got bf16"),
    (["--device", "nvidia-t4"], 2,
     "--device: can be measured only here: cuda; got nvidia-t4\n  give a file of its timings with --from"),
    (["--from", "kernel.csv"], 3, "timings: no such file; got kernel.csv"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "code", "text"), MISTAKES, ids=lambda value: str(value)[-60:])
def test_a_mistake_is_one_clear_message(arguments, code, text, capsys):
    assert run(capsys, *arguments) == (code, "", f"archcalc: {text}\n")


@needs_scipy
def test_a_folder_that_is_not_there(capsys, tmp_path):
    path = str(tmp_path / "none" / "v100.json")
    code, _, err = run(capsys, "--from", KERNELS, "--device", V100, "-o", path)
    assert (code, err) == (
        2,
        f"archcalc: calibration: must be a file that can be written; got {path}: No such file or directory\n",
    )


def test_without_a_cuda_device(capsys, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run(capsys) == (
        7, "", "archcalc: calibrate: needs a CUDA device; got none that PyTorch can use\n"
        "  take the timings on a machine with one, and read its file\n",
    )  # fmt: skip


@needs_scipy
def test_several_formats_go_to_a_folder(capsys, tmp_path):
    """A file of one device needs no --device; each of its formats becomes a calibration."""
    lines = Path(KERNELS).read_text(encoding="utf-8").splitlines()
    mine = [line for line in lines[1:] if line.startswith(f"{A100},")]
    place = lines[0].split(",").index("dtype")
    assert all(line.split(",")[place] == "float32" for line in mine)
    source = tmp_path / "timings.csv"
    halves = [line.replace("float32", "float16") for line in mine]
    source.write_text("\n".join([lines[0], *mine, *halves]), encoding="utf-8")
    code, out, _ = run(capsys, "--from", str(source), "-o", str(tmp_path))
    assert code == 0
    written = sorted(path.name for path in tmp_path.glob("*.json"))
    assert written == [f"{A100}.fp16.json", f"{A100}.fp32.json"]
    assert [line.split(":")[0] for line in out.splitlines() if " timings, " in line] == [
        f"{A100} at fp32",
        f"{A100} at fp16",
    ]
    assert all(
        fits.load(str(tmp_path / name), device(A100)).environment == {"source": "timings.csv"} for name in written
    )
