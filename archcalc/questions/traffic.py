"""What any execution of a network has to move through memory once: its inputs, its weights, its outputs."""

from collections.abc import Collection, Sequence

from archcalc.algebra.dtype import bytes_of
from archcalc.algebra.num import largest, prod
from archcalc.questions.kernels import blocks_of, input_bytes, only_scales, weight_bytes
from archcalc.questions.storages import Stay, Stays


def read_once(found: Stays, needed: Sequence[Stay], *, training: bool) -> int:
    """Bytes of the model's inputs and of its weights that any execution reads.

    Tied tensors count once, and those of batch norms that can be folded into other weights not at all.
    """
    blocks, owners = blocks_of(found), dict[str, str]()
    reads: dict[str, int] = {}
    weights: dict[str, int] = {}
    for stay in needed:
        use = stay.use
        if not (use.inputs and use.layer.aliases(training)):
            for block, size in input_bytes(stay, blocks).items():
                reads[block] = largest(reads[block], size) if block in reads else size
        if only_scales(use.layer, training=training):
            continue
        owner = owners[use.name] = owners.get(str(use.shared_with), str(use.shared_with or use.name))
        size = weight_bytes(stay)
        weights[owner] = largest(weights[owner], size) if owner in weights else size
    return sum(reads.get(block.name, 0) for block in found.inputs.values()) + sum(weights.values())


def written_once(found: Stays, needed: Sequence[Stay], ends: Collection[str], *, training: bool) -> int:
    """Bytes of the outputs that are not views of inputs, and in training of the gradients of tensors."""
    given = {block.name for block in found.inputs.values()}
    outputs = {stay.output.name: stay.output.bytes for stay in needed if stay.use.name in ends}
    trained = [
        bytes_of(prod(stay.use.answers.weights[name].shape), stay.weight_dtype)
        for stay in needed
        for name in stay.learning
        if training and name not in stay.use.shared
    ]
    return sum(size for name, size in outputs.items() if name not in given) + sum(trained)
