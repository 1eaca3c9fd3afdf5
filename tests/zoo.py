"""The networks of the zoo that slow tests run: those small enough, and no second one of the same layers."""

from archcalc.dialects.yaml import zoo_names

QUICK_TESTS_ONLY = {  # counted, built and run by the quick tests, which have every network
    "bert_base", "convnext_base", "convnext_tiny", "deeplabv3_resnet50", "densenet169", "densenet201",
    "efficientnet_b0", "efficientnet_v2_s", "fcn_resnet50", "gpt2", "inception_v3", "llama3_8b", "mixtral_8x7b",
    "mnasnet1_0", "mobilenet_v1", "mobilenet_v3_large", "regnet_y_400mf", "resnet101", "resnet34", "resnext50_32x4d",
    "shufflenet_v2_x1_0", "squeezenet1_0", "swin_t", "vgg11", "vgg19", "vit_b_16", "wide_resnet50_2", "yolov3",
}  # fmt: skip
SLOWLY = [name for name in zoo_names() if name not in QUICK_TESTS_ONLY]
