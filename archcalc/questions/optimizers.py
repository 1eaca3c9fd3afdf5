"""What optimizers store: values for each weight that they keep, and those that one step makes beside them."""

OPTIMIZERS = {
    "none": (0, 0),
    "sgd": (0, 0),
    "momentum": (1, 0),
    "adam": (2, 1),
    "adamw": (2, 1),
    "rmsprop": (1, 1),
    "adagrad": (1, 2),
}
