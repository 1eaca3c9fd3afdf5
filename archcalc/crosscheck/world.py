"""What other code would notice is left as it was: random states, modes, default dtype and device."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch


@contextmanager
def untouched(seed: int, device: str) -> Iterator[None]:
    """Seed everything and work in float32 with gradients off; afterwards, also after an exception, as before."""
    dtype, python, arrays = torch.get_default_dtype(), random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if device == "cuda" else []
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices))
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.autocast("cpu", enabled=False))
        if device == "cuda":
            stack.enter_context(torch.autocast("cuda", enabled=False))
        stack.enter_context(torch.device(device))
        stack.callback(torch.set_default_dtype, dtype)
        stack.callback(random.setstate, python)
        stack.callback(np.random.set_state, arrays)
        torch.set_default_dtype(torch.float32)
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        yield
