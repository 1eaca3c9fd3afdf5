"""Sweeps against single reports: every point exact, in chunks, over processes, resumed, refused, sampled, drawn."""

import csv
import io
import json
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archcalc
from archcalc.cli.main import main
from archcalc.errors import UsageError
from archcalc.questions import sweep as sweeps

OF = ["params", "macs", "macs_exact", "flops", "output_bytes", "cmp"]


def counted(model, row, columns, of):
    """The same point by a report of its own; None where the model refuses it."""
    where = dict(zip(columns, row, strict=False))
    network = model.with_settings({name: where[name] for name in model.settings if name in where})
    try:
        totals = network.report((where["H"], where["W"]) if "H" in where else None, batch=where["N"]).totals
    except archcalc.ArchcalcError:
        return tuple(None for _ in of)
    return tuple(getattr(totals.ops if name == "cmp" else totals, name) for name in of)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("digits", "20..60:7"),
        ("resnet50", "1,2,33,64,225x31..65:17"),
        ("unet", "180..204:4"),
        ("mobilenet_v2", "7..40:11"),
        ("vgg16", "30,32,47"),
    ],
)
def test_every_point_is_that_of_a_report(name, sizes):
    model = archcalc.load(f"zoo:{name}")
    found = model.sweep(sizes, batch="1,3", of=OF)
    rows = list(found.rows())
    assert len(rows) == found.points > 3
    for row in rows:
        assert row[len(found.axes) :] == counted(model, row, found.columns, OF), row


def test_hyperparameters_and_their_values_of_the_exercise():
    model = archcalc.load("zoo:exercise_i")
    found = model.sweep(settings={"a": [3, 6, 12, 24, 48, 96], "b": [8, 16, 32, 64, 128, 256]}, of="params")
    table = {row[:2]: row[-1] for row in found.rows()}
    # exercise I of the classroom
    wanted = {(3, 8): 2846, (6, 16): 6882, (12, 32): 18554, (24, 64): 56298, (48, 128): 189386, (96, 256): 685962}
    assert {place: table[place] for place in wanted} == wanted


@settings(deadline=None, max_examples=60)
@given(st.integers(28, 10**17), st.integers(28, 10**17), st.integers(1, 10**9))
def test_nothing_wraps(h, w, n):
    """Past 2⁶³ the arrays hold Python integers; a formula by hand is the check."""
    found = archcalc.load("zoo:digits").sweep(f"{h}x{w}", batch=n, of="macs").table()
    h1, w1 = h - 4, w - 4
    h2, w2 = h1 // 2 - 2, w1 // 2 - 2
    h3, w3 = h2 // 2 - 4, w2 // 2 - 4
    assert int(found["macs"][0]) == n * (500 * h1 * w1 + 3600 * h2 * w2 + 5000 * h3 * w3)


def test_small_numbers_are_sixty_four_bits_and_large_ones_are_not():
    model = archcalc.load("zoo:digits")
    assert model.sweep("28..64", of="macs").table()["macs"].dtype == numpy.int64
    assert model.sweep("28,10000000000", of="macs").table()["macs"].dtype == object


def test_chunks_meet_without_a_seam(monkeypatch):
    model = archcalc.load("zoo:exercise_i")
    whole = list(model.sweep("20..40x14..24", batch=[1, 2], settings={"a": [3, 5]}, of="macs").rows())
    monkeypatch.setattr(sweeps, "CHUNK", 37)
    found = model.sweep("20..40x14..24", batch=[1, 2], settings={"a": [3, 5]}, of="macs")
    assert list(found.rows()) == whole
    for start in (0, 1, 36, 37, 38, len(whole) // 2, len(whole) - 1):
        assert list(found.rows(start)) == whole[start:]
    with ThreadPoolExecutor(2) as pool:
        assert (
            list(model.sweep("20..40x14..24", batch=[1, 2], settings={"a": [3, 5]}, of="macs", executor=pool).rows())
            == whole
        )


def test_a_pool_of_processes_gives_the_same(tmp_path):
    model = archcalc.load("zoo:resnet18")
    alone, pooled = tmp_path / "alone.csv", tmp_path / "pooled.csv"
    model.sweep("1..400x1..400", of=OF).write(str(alone))
    with ProcessPoolExecutor(2) as pool:
        model.sweep("1..400x1..400", of=OF, executor=pool).write(str(pooled))
    assert alone.read_bytes() == pooled.read_bytes()
    assert len(alone.read_text().splitlines()) == 160_001


@pytest.mark.filterwarnings("ignore")  # of dask's own threads and sockets
def test_the_executor_of_a_dask_cluster_gives_the_same():
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    model = archcalc.load("zoo:digits")
    wanted = list(model.sweep("28..300x28..300", of="macs,flops").rows())
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True) as cluster,
        distributed.Client(cluster) as client,
    ):
        found = model.sweep("28..300x28..300", of="macs,flops", executor=client.get_executor())
        assert list(found.rows()) == wanted


def test_a_sweep_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(sweeps, "CHUNK", 50)
    model, path = archcalc.load("zoo:digits"), tmp_path / "out.csv"
    found = model.sweep("20..40x20..40", of="macs")
    found.write(str(path))
    whole = path.read_bytes()
    part = tmp_path / "out.csv.part"
    lines = whole.splitlines(keepends=True)
    for kept in (b"", lines[0], b"".join(lines[:2]), b"".join(lines[:123]) + lines[123][:5], whole):
        path.unlink(missing_ok=True)
        part.write_bytes(kept)
        seen = []
        found.write(str(path), seen.append)
        assert path.read_bytes() == whole
        assert sum(seen) == found.points
        assert not part.exists()
    part.write_bytes(b"".join(lines[:100]))
    calls = []
    computed = sweeps.computed
    monkeypatch.setattr(sweeps, "computed", lambda *task: calls.append(task[3]) or computed(*task))
    found.write(str(path))
    assert min(calls[1:]) >= 99  # what was written is not computed again, but for the last row


def test_another_sweep_is_not_gone_on_with(tmp_path):
    model, path = archcalc.load("zoo:digits"), tmp_path / "out.csv"
    for other in (
        "H,W\n1,1\n",
        "N,H,W,macs\n1,28,28,653001\n",
        "N,H,W,macs\n1,28,28,653000\n1,29,29,0\n" + "1,30,30,0\n" * 50,
    ):
        (tmp_path / "out.csv.part").write_text(other)
        with pytest.raises(UsageError) as error:
            model.sweep("28..40", of="macs").write(str(path))
        assert (
            str(error.value)
            == f"-o: a file to go on with must be of the same sweep; got {path}.part\n  delete it, or write elsewhere"
        )
        assert (tmp_path / "out.csv.part").read_text() == other


def test_a_sample_is_of_the_grid_and_the_same_for_a_seed():
    model = archcalc.load("zoo:digits")
    grid = "1..1000000x1..1000000"
    found = model.sweep(grid, batch=[1, 8], of="macs", sample=200)
    rows = list(found.rows())
    assert len(rows) == len({row[:3] for row in rows}) == 200
    assert rows == list(model.sweep(grid, batch=[1, 8], of="macs", sample=200).rows())
    assert rows != list(model.sweep(grid, batch=[1, 8], of="macs", sample=200, seed=1).rows())
    for row in rows[::20]:
        assert row[3:] == counted(model, row, found.columns, ["macs"])
    assert len(list(model.sweep("28..30", of="macs", sample=10).rows())) == 3  # no more than there are


def test_what_the_model_refuses_is_left_empty(capsys):
    assert main(["sweep", "zoo:unet", "--input", "572..604:8", "--of", "macs", "--format", "csv"]) == 0
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["macs"] == "" for row in rows] == [False, True, False, True, False]
    assert err.endswith("archcalc: sweep: the model refuses 2 of 5 points; their costs are left empty\n")
    assert main(["sweep", "zoo:unet", "--input", "572..604:8", "--of", "macs", "--json"]) == 0
    assert [row[-1] is None for row in json.loads(capsys.readouterr().out)["rows"]] == [False, True, False, True, False]


def test_many_sizes_go_by_the_rule_and_few_are_tried():
    """Both ways of knowing which sizes are legal, on a network that takes 188, 204, 220, … only."""
    model = archcalc.load("zoo:unet")
    many = {row[1]: row[-1] for row in model.sweep("100..420", of="macs").rows()}
    few = {row[1]: row[-1] for row in model.sweep("180..270", of="macs").rows()}
    assert {n for n, macs in many.items() if macs is not None} == set(range(188, 421, 16))
    assert all(many[n] == macs for n, macs in few.items())


def test_hyperparameters_that_no_layer_takes_are_left_empty():
    model = archcalc.loads(
        "archcalc: 1\ninputs: {x: [6, 8, 8]}\nset: {g: 2}\nlayers: [conv: {filters: 12, kernel: 1, groups: g}]\n"
    )
    assert [row[-1] for row in model.sweep(settings={"g": [1, 2, 5, 6]}, of="params").rows()] == [84, 48, None, 24]


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_plots_have_logarithmic_axes_with_units(tmp_path, capsys, ending):
    path = tmp_path / f"out.{ending}"
    assert (
        main(
            [
                "sweep",
                "zoo:digits",
                "--input",
                "32..128:32",
                "--batch",
                "1,8",
                "--of",
                "macs,output_bytes",
                "--plot",
                str(path),
            ]
        )
        == 0
    )
    assert capsys.readouterr().out == ""
    data = path.read_bytes()
    if ending == "png":
        assert data.startswith(b"\x89PNG")
    else:
        text = data.decode()
        for label in ("macs [multiply–accumulates]", "output_bytes [bytes]", "H = W [cells]", "N = 8"):
            assert label in text
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


BAD = {
    "sweep zoo:resnet50 --input 1..1000000x1..1000000": "archcalc: sweep: must have at most 20,000,000 points; got 1,000,000,000,000\n  --sample 100000 takes so many of them at random\n",
    "sweep zoo:digits --input 32..": "archcalc: --input: must be a number, numbers with commas, or a range such as 32..1024:32; got '32..'\n",
    "sweep zoo:digits --input 64..32": "archcalc: --input: must give at least one number, all at least 1; got '64..32'\n",
    "sweep zoo:digits --input 0..3": "archcalc: --input: must give at least one number, all at least 1; got '0..3'\n",
    "sweep zoo:digits --input 32..64:0": "archcalc: --input: must give at least one number, all at least 1; got '32..64:0'\n",
    "sweep zoo:digits --input 1x2x3x4": "archcalc: --input: takes one range, or 2 joined by x, or 3 with the channels first; got 1x2x3x4\n",
    "sweep zoo:digits --batch 1.5": "archcalc: --batch: must be a number, numbers with commas, or a range such as 32..1024:32; got '1.5'\n",
    "sweep zoo:digits --set width": "archcalc: --set: must be NAME=VALUES; got 'width'\n  such as --set width=8,16,32\n",
    "sweep zoo:digits --set wide=1,2": "archcalc: --set: must name a hyperparameter of the spec; got wide\n  did you mean width?\n",
    "sweep zoo:digits --set width=1..20000": "archcalc: --set: must give at most 10,000 combinations; got 20,000\n",
    "sweep zoo:digits --of macs,mac": "archcalc: --of: must be quantities of the report; got 'mac'\n  did you mean macs?\n",
    "sweep zoo:digits --sample 0": "archcalc: --sample: must lie between 1 and 20,000,000; got 0\n",
    "sweep zoo:digits --input 32 --plot a.pdf": "archcalc: --plot: must be an .svg or .png file; got a.pdf\n",
    "sweep zoo:digits --input 28..2000x28..2000 --plot a.svg": "archcalc: --plot: must have at most 100,000 points; got 3,892,729\n  --sample 100000, or fewer values\n",
    "sweep zoo:digits --input 28..2000x28..2000 --json": "archcalc: --format json: holds at most 1,000,000 points; got 3,892,729\n  --format csv\n",
    "sweep zoo:digits --input 32 --format csv -o /no/such/place.csv": "archcalc: -o: must be a file that can be written; got /no/such/place.csv: No such file or directory\n",
}  # fmt: skip


@pytest.mark.parametrize("command", BAD)
def test_messages(command, capsys):
    assert main(command.split()) == 2
    assert capsys.readouterr().err == BAD[command]


def test_several_inputs_are_named():
    two = archcalc.loads("archcalc: 1\ninputs: {a: [1, 8, 8], b: [1, 8, 8]}\nlayers: [concat: {from: [a, b]}]\n")
    with pytest.raises(UsageError) as error:
        two.sweep("8..9")
    assert str(
        error.value
    ) == "--input: must name one of the inputs a, b; got '8..9'\n  such as a=8..9" or "such as a=32..64" in str(
        error.value
    )
    rows = list(two.sweep("a=7..9", of="output_bytes").rows())
    assert [row[-1] for row in rows] == [None, 512, None]  # both must have 8×8 cells: 2·64·4 bytes
