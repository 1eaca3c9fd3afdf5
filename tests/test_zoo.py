"""The models that come along: published numbers, exercises at both sizes, and what makes a good file of the zoo."""

import pytest

from archcalc import load
from archcalc.dialects.yaml import ZOO, zoo_names
from archcalc.questions.check import expectations

EXERCISES = {  # parameters, MACs: the classroom exercises, recomputed by hand
    "exercise_a": (178_110, 177_800),
    "exercise_b": (144_266, 14_801_920),
    "digits": (9_150, 653_000),
    "exercise_e": (113_386, 1_413_504),
    "exercise_f": (10, 64 * 9),
    "exercise_g": (142, 64 * 45 + 36 * 90),
    "exercise_h": (153, 98 * 120 + 96 * 24),
    "exercise_i": (18_554, 28 * 28 * 900 + 10 * 10 * 9_600 + 8_000),
    "exercise_j": (194_874, 28 * 28 * 900 + 24 * 24 * 9_600 + 184_320),
    "exercise_j_avg_pool": (18_554, 28 * 28 * 900 + 10 * 10 * 9_600 + 8_000),
    "exercise_j_four_convs": (121_718, 784 * 900 + 576 * 3_600 + 400 * 9_600 + 256 * 25_600 + 81_920),
    "exercise_k": (95_002, 28 * 28 * 900 + 94_080),
    "exercise_m": (903_400, 15_000 * 2_700 + 3_750 * 180_000 + 950 * 720_000),
    "exercise_n": (15_200, 225_000_000),
    "exercise_o": (1_662_794, 784 * 288 + 196 * 18_432 + 196 * 36_864 + 1_605_632 + 1_280),
}
NETWORKS = {  # parameters, MACs: of the reference implementations, torchvision's where it has the model
    "resnet50": (25_557_032, 4_089_184_256),
    "resnet18": (11_689_512, 1_814_073_344),
    "mobilenet_v2": (3_504_872, 300_774_272),
    "densenet121": (7_978_856, 2_834_161_664),
    "alexnet": (61_100_840, 714_188_480),
    "alexnet_2012": (60_965_224, 724_406_816),
    "vgg16": (138_357_544, 15_470_264_320),
    "googlenet": (6_624_904, 1_498_376_192),
    "xception": (22_855_952, 8_357_403_496),
    "se_resnet50": (28_088_024, 4_091_699_200),
    "lenet5": (61_706, 416_520),
    "unet": (31_030_658, 150_428_424_448),
}


@pytest.mark.parametrize("name", EXERCISES | NETWORKS)
def test_published_numbers(name):
    totals = load(f"zoo:{name}").report().totals
    assert (totals.params, totals.macs) == (EXERCISES | NETWORKS)[name]


@pytest.mark.parametrize("name", zoo_names())
def test_what_the_file_expects_holds_at_every_size_it_names(name):
    findings = expectations(load(f"zoo:{name}"))
    assert [str(finding) for finding in findings if not finding.holds] == []
    assert {"params", "macs", "output"} <= {finding.what for finding in findings}


@pytest.mark.parametrize("name", zoo_names())
def test_every_file_names_its_source(name):
    model = load(f"zoo:{name}")
    assert model.name == name
    assert model.about
    assert model.source
    assert model.report().status == "complete"


def test_every_published_number_is_of_the_zoo():
    assert set(EXERCISES | NETWORKS) == set(zoo_names()) - {"exercise_r_conv", "exercise_r_max_pool"}


def test_shapes_of_exercise_c_and_d():
    small = [row.output for row in load("zoo:digits").report().rows]
    assert small == [(1, 20, 24, 24), (1, 20, 12, 12), (1, 20, 10, 10), (1, 20, 5, 5), (1, 10, 1, 1)]
    large = load("zoo:digits").report("1024x1024")
    assert [row.output[2] for row in large.rows] == [1020, 510, 508, 254, 250]
    assert [row.macs for row in large.rows] == [520_200_000, 0, 929_030_400, 0, 312_500_000]
    assert large.totals.macs == 1_761_730_400
    assert large.totals.ops.mul + large.totals.ops.add == 3_523_460_800
    assert load("zoo:digits").report().totals.flops == 1_316_140
    assert load("zoo:digits").report(convention="2mac").totals.flops == 1_306_000


@pytest.mark.parametrize(
    ("a", "b", "params"),
    [(3, 8, 2_846), (6, 16, 6_882), (12, 32, 18_554), (24, 64, 56_298), (48, 128, 189_386), (96, 256, 685_962)],
)
def test_width_sweep_of_exercise_i(a, b, params):
    assert (
        load("zoo:exercise_i", {"a": a, "b": b}).report().totals.params == params == 25 * a * b + 76 * a + 251 * b + 10
    )


def test_memory_of_exercises_m_and_n():
    rows = load("zoo:exercise_m").report().rows
    assert [row.output[2:] for row in rows] == [(100, 150), (50, 75), (25, 38)]
    assert [row.params for row in rows] == [2_800, 180_200, 720_400]
    assert [row.output_bytes for row in rows] == [6_000_000, 3_000_000, 1_520_000]
    report = load("zoo:exercise_n").report()
    assert (report.totals.output_bytes, report.totals.macs) == (12_000_000, 225_000_000)
    inputs, outputs = 3 * 150 * 100, 200 * 150 * 100
    assert (inputs, outputs) == (45_000, 3_000_000)  # the dense layer for the same map would have their product


def test_pooling_against_a_strided_convolution_in_exercise_r():
    pool, conv = load("zoo:exercise_r_max_pool").report(), load("zoo:exercise_r_conv").report()
    assert pool.output == conv.output
    channels, taps = pool.output[1], 4
    assert (pool.totals.params, conv.totals.params) == (0, taps * channels**2 + channels)
    stops = pool.output[2] * pool.output[3] * channels
    assert pool.totals.flops == 3 * stops
    assert conv.totals.macs == stops * taps * channels
    map_of_five = load("zoo:exercise_g").report().rows[0]
    assert map_of_five.params == (3 * 3 * 1 + 1) * 5 < 10 * 10 * 8 * 8 * 5


def test_resnet50_is_short():
    with open(f"{ZOO}/resnet50.yaml", encoding="utf-8") as file:
        assert len(file.readlines()) < 60


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "mobilenet_v2", "googlenet", "digits", "unet"])
def test_large_images_change_no_parameter_of_a_convolutional_network(name):
    model = load(f"zoo:{name}")
    large = model.report("1036x1036")
    assert large.totals.params == model.report().totals.params
    assert large.notes == ()
