"""The models that come along: published numbers, exercises at both sizes, and what makes a good file of the zoo."""

import pytest

import archcalc
from archcalc import load
from archcalc.dialects.yaml import ZOO, zoo_names
from archcalc.questions.check import expectations
from tests.zoo import QUICK_TESTS_ONLY

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
NETWORKS = {  # parameters, MACs: of the reference implementations, torchvision's where it has the model; products by hand
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
    "resnet34": (21_797_672, 3_663_761_408),
    "resnet101": (44_549_160, 7_801_405_440),
    "resnext50_32x4d": (25_028_904, 4_230_479_872),
    "wide_resnet50_2": (68_883_240, 11_398_021_120),
    "vgg11": (132_863_336, 7_609_090_048),
    "vgg19": (143_667_240, 19_632_062_464),
    "densenet169": (14_149_480, 3_359_843_328),
    "densenet201": (20_013_928, 4_291_365_888),
    "squeezenet1_0": (1_248_424, 818_924_576),
    "squeezenet1_1": (1_235_496, 349_151_936),
    "inception_v3": (23_834_568, 5_713_216_096),
    "mobilenet_v1": (4_231_976, 568_740_352),
    "mobilenet_v3_large": (5_483_032, 216_589_760),
    "mnasnet1_0": (4_383_312, 314_415_872),
    "shufflenet_v2_x1_0": (2_278_604, 144_907_992),
    "efficientnet_b0": (5_288_548, 385_814_752),
    "efficientnet_v2_s": (21_458_488, 8_365_617_152),
    "regnet_y_400mf": (4_344_144, 401_842_848),
    "convnext_tiny": (28_589_128, 4_455_531_264),
    "convnext_base": (88_591_464, 15_354_729_472),
    "fcn_resnet50": (35_322_218, 152_716_512_000),
    "deeplabv3_resnet50": (42_004_074, 178_721_945_088),
    "yolov3": (61_949_149, 32_932_037_632),
    "swin_t": (28_288_354, 4_490_566_656),
    "vit_b_16": (86_567_656, 17_563_828_224),
    "gpt2": (124_439_808, 145_824_153_600),
    "bert_base": (109_482_240, 12 * (12 * 512 * 768**2 + 2 * 512**2 * 768) + 768**2),
    "llama3_8b": (
        8_030_261_248,
        32 * (8192 * 4096 * (2 * 4096 + 2 * 1024 + 3 * 14_336) + 2 * 8192**2 * 4096) + 8192 * 4096 * 128_256,
    ),
    "mixtral_8x7b": (
        46_702_792_704,
        32 * (4096**2 * (2 * 4096 + 2 * 1024 + 8 + 2 * 3 * 14_336) + 2 * 4096**3) + 4096**2 * 32_000,
    ),
}
PUBLISHED = {  # parameters and GMACs, as torchvision 0.29 states them of its weights
    "alexnet": (61_100_840, 0.714),
    "vgg11": (132_863_336, 7.609),
    "vgg16": (138_357_544, 15.47),
    "vgg19": (143_667_240, 19.632),
    "resnet18": (11_689_512, 1.814),
    "resnet34": (21_797_672, 3.664),
    "resnet50": (25_557_032, 4.089),
    "resnet101": (44_549_160, 7.801),
    "resnext50_32x4d": (25_028_904, 4.23),
    "wide_resnet50_2": (68_883_240, 11.398),
    "densenet121": (7_978_856, 2.834),
    "densenet169": (14_149_480, 3.36),
    "densenet201": (20_013_928, 4.291),
    "squeezenet1_0": (1_248_424, 0.819),
    "squeezenet1_1": (1_235_496, 0.349),
    "googlenet": (6_624_904, 1.498),
    "inception_v3": (27_161_264 - 3_326_696, 5.713),  # the GMACs leave the auxiliary head out, the parameters do not
    "mobilenet_v2": (3_504_872, 0.301),
    "mobilenet_v3_large": (5_483_032, 0.217),
    "mnasnet1_0": (4_383_312, 0.314),
    "shufflenet_v2_x1_0": (2_278_604, 0.145),
    "efficientnet_b0": (5_288_548, 0.386),
    "efficientnet_v2_s": (21_458_488, 8.366),
    "regnet_y_400mf": (4_344_144, 0.402),
    "convnext_tiny": (28_589_128, 4.456),
    "convnext_base": (88_591_464, 15.355),
    "fcn_resnet50": (35_322_218, 152.717),
    "deeplabv3_resnet50": (42_004_074, 178.722),
    "swin_t": (28_288_354, 4.491),
    "vit_b_16": (86_567_656, 17.564),
}


@pytest.mark.parametrize("name", EXERCISES | NETWORKS)
def test_published_numbers(name):
    totals = load(f"zoo:{name}").report().totals
    assert (totals.params, totals.macs) == (EXERCISES | NETWORKS)[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_torchvision_publishes_the_same(name):
    totals = load(f"zoo:{name}").report().totals
    assert (totals.params, round(totals.macs / 1e9, 3)) == PUBLISHED[name]


def test_yolov3_is_as_published():
    """The sizes of its files of weights, and the work that its authors state at three sizes, two operations a MAC."""
    model = load("zoo:yolov3")
    rows = {row.name: row for row in model.report(depth=1).rows}
    values = [row.params + row.buffers for row in rows.values()]
    header = 20
    assert header + 4 * sum(values) == 248_007_048  # bytes of yolov3.weights
    assert header + 4 * sum(values[:6]) == 162_482_580  # bytes of darknet53.conv.74: the layers before the first neck
    work = [round(2 * model.report(f"{n}x{n}").totals.macs / 1e9, 2) for n in (320, 416, 608)]
    assert work == [38.97, 65.86, 140.69]


@pytest.mark.parametrize("name", zoo_names())
def test_what_the_file_expects_holds_at_every_size_it_names(name):
    findings = expectations(load(f"zoo:{name}"))
    assert [str(finding) for finding in findings if not finding.holds] == []
    assert {"params", "macs", "output"} <= {finding.what for finding in findings}


@pytest.mark.parametrize("name", sorted(QUICK_TESTS_ONLY))
def test_every_network_runs(name):
    """The real network, without numbers: outputs and parameters as promised. The others are run by slower tests."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    model = load(f"zoo:{name}")
    report = model.report()
    network = archcalc.torch.build(model, device="meta").eval()
    dtypes = [getattr(torch, item.dtype or "float32") for item in model.inputs.values()]
    shapes = zip(report.inputs.values(), dtypes, strict=True)
    with torch.no_grad():
        made = network(*(torch.zeros(shape, dtype=dtype, device="meta") for shape, dtype in shapes))
    made = [made] if isinstance(made, torch.Tensor) else list(made)
    assert [tuple(one.shape) for one in made] == [*report.outputs.values()]
    assert sum(parameter.numel() for parameter in network.parameters()) == report.totals.params


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
