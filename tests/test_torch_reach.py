"""Networks of torchvision and timm, imported: parameters and MACs are the real ones, at two sizes.

Where only the batch is left open, a network is imported again at the other size, with nothing left open.

A sample; benchmarks/torch_reach.py compares all of them. Both packages are installed without what they depend on, since no
build of torchvision goes with the CPU build of torch.
"""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from benchmarks.torch_reach import compared, prepare  # noqa: E402

try:
    prepare()
except ImportError as error:
    pytest.skip(f"{error.name} is not installed: pip install --no-deps torchvision timm", allow_module_level=True)

SAMPLE = {  # and the processor time in seconds within which sizes are left open; 0: only the batch
    "torchvision": {
        "resnet18": 60, "squeezenet1_1": 60, "mobilenet_v2": 0, "shufflenet_v2_x1_0": 0, "mnasnet0_5": 0, "densenet121": 0,
        "efficientnet_b0": 0, "convnext_tiny": 0, "regnet_y_400mf": 0, "vit_b_16": 0,
    },
    "timm": {
        "resnetv2_50x1_bit": 0, "ghostnet_100": 0, "mixer_b16_224": 0, "poolformer_s12": 0, "pit_ti_224": 0,
        "edgenext_small": 0, "halonet26t": 0, "pvt_v2_b0": 0, "nfnet_f0": 0, "mvitv2_tiny": 0,
    },
}  # fmt: skip


@pytest.mark.parametrize(("family", "name"), [(family, name) for family in SAMPLE for name in SAMPLE[family]])
def test_parameters_and_macs_at_two_sizes(family, name):
    row = compared(family, name, SAMPLE[family][name], again=False)
    assert (row["params_equal"], row["macs_equal"], row["status"]) == (True, True, "complete"), row
    assert row["other_equal"] in (True, "refused"), row
    if row["other_equal"] == "refused":  # by the network itself
        assert row["reason"].startswith("refuses 3x")
    if SAMPLE[family][name]:
        assert row["open"] == "all"
