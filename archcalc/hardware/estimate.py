"""How long a kernel takes on a machine: a bound that nothing beats, and an estimate from ten physical numbers."""

from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING

from msgspec import Struct

from archcalc.hardware.kernel import Kernel, Product

if TYPE_CHECKING:
    from archcalc.hardware.device import Device

# Facts of the libraries, the same for every device: chosen once, on the NeuSight timings of eight GPUs, never fitted.
TILES = ((256, 128), (128, 256), (128, 128), (128, 64), (64, 128), (64, 64))  # rows × columns of one block's output
SPLITS = (1, 2, 4, 8, 16)  # blocks that share one output tile, each with its part of k
NO_SPLIT = (1,)
DEEP_SPLITS = (*SPLITS, 32, 64, 128)  # the gradient of a convolution's weights sums over all stops of all images
DEPTH = 2  # a pipeline along k costs the tile cost once to fill and once to drain
LEAST_TILE = 64
LEAST_BATCHED_TILE = {"Ampere": 128, "Ada": 128}  # cuBLAS 12.1 there has no smaller tile for batched fp32 products
LOW_POWER_W = 75  # cards of this power or less do not hold their clocks
WINOGRAD_TAPS = 9  # F(4, 3) is for 3 × 3 kernels; 9 taps are taken for that
PATCH_SIDE, PATCH_STOPS = 4, 16  # outputs of one 6 × 6 patch: 4 × 4
PATCH_PRODUCTS = 36  # products per patch and channel, where the direct sum has 16 · 9 = 144
FUSED_SIDE = 32  # patches, and filters, of one block of the fused kernel
FUSED_DEPTH = 16  # channels' worth of time that such a block needs to transform and write its outputs
FUSED_SHARE = 0.5  # its products run at this part of the pace of a GEMM's: transforms share the units with them
LAUNCHES_S = 8e-6  # the three transforms around an unfused Winograd product are kernels too


class Machine(Struct, frozen=True):
    """What the estimate asks of a device at one rate.

    Without a bandwidth there is no memory term; without a number of SMs no tile and wave quantisation (the machine is
    then just a rate); without a cache size nothing is held in cache.
    """

    peak: float  # FLOP/s, dense
    bandwidth: float | None = None  # bytes/s
    cache_bytes: int = 0  # last level
    sms: int | None = None  # streaming multiprocessors, or their like
    tensor: bool = False  # the peak is that of tensor cores
    batched_tile: int = LEAST_TILE  # smallest side of a tile that the library has for batched products


class Numbers(Struct, frozen=True):
    """The ten numbers of a device at a rate: seven efficiencies and factors, the tile cost, and two times."""

    gemm: float  # share of the peak that matrix products reach
    tile_cost: float  # what entering and leaving a tile costs, in elements of its side
    conv: float  # share of the peak, implicit GEMM and Winograd alike
    attention: float  # share of the peak, fused attention
    elementwise: float  # share of the bandwidth; also for the operands of products
    softmax: float
    norm: float  # also reductions
    in_cache: float  # how much faster traffic is when all of it fits the cache
    gap_s: float  # between two kernels of a stream
    host_s: float  # that the host needs to launch one kernel


class Parts(Struct, frozen=True):
    """Why a kernel takes as long as it does, in seconds that add up to `total_s`; the gap after it is not in.

    The base is the larger of the ideal arithmetic and the ideal traffic, and stands under its own name; the other of
    the two hides behind it and is 0. Then comes what whole tiles and whole waves add, then what real rates add.
    """

    compute_s: float  # arithmetic at the peak (of the algorithm chosen), where it outlasts the traffic
    memory_s: float  # traffic at the bandwidth (in cache: at the cache's), where it outlasts the arithmetic
    quantisation_s: float  # tiles that stick out, the last wave, padding taps, tile cost
    efficiency_s: float  # what rates below the peak and the bandwidth add, and transforms of Winograd

    @property
    def total_s(self) -> float:
        return self.compute_s + self.memory_s + self.quantisation_s + self.efficiency_s


class Work(Struct, frozen=True):
    """One way to do a kernel's arithmetic, in seconds."""

    ideal: float  # at the peak
    whole: float  # at the peak, in whole tiles and waves
    real: float  # at the share of the peak that is reached


def machine(device: "Device", rate: str) -> Machine:
    """The device at the rate (fp32, tf32, bf16, …) that products run at; UsageError if no such rate is stated."""
    tensor = rate in device.tensor
    return Machine(
        peak=device.rate(rate),
        bandwidth=device.bandwidth,
        cache_bytes=device.cache_bytes or 0,
        sms=device.sms,
        tensor=tensor,
        batched_tile=LEAST_TILE if tensor else LEAST_BATCHED_TILE.get(device.arch or "", LEAST_TILE),
    )


def defaults(device: "Device", rate: str) -> Numbers:
    """Numbers before any calibration, for the rate (fp32, tf32, bf16, …) that products run at.

    Cards of 75 W or less reach half the share of their peak: clocks drop as soon as they work, the memory's does not.
    """
    tensor = rate in device.tensor
    held = 0.5 if device.tdp_w is not None and device.tdp_w <= LOW_POWER_W else 1.0
    return Numbers(
        gemm=held * (0.80 if tensor else 0.85),
        tile_cost=8.0,
        conv=held * (0.45 if tensor else 0.55),
        attention=held * 0.60,
        elementwise=0.85,
        softmax=0.65,
        norm=0.60,
        in_cache=2.0,
        gap_s=2e-6,
        host_s=7e-6,
    )


def bound(kernel: Kernel, machine: Machine, *, safe: bool) -> float:
    """Seconds that no run on this machine beats: arithmetic at the peak, or traffic that the cache cannot hold.

    `safe` grants a fast algorithm (Winograd, FFT) as many saved products as the kernel has taps; without it the bound
    is that of the direct sum. Needs the highest rates of the machine: the peak at the top clock, bus × data rate.
    """
    direct = 2 * kernel.macs / machine.peak / (kernel.taps if safe else 1)
    if machine.bandwidth is None:
        return direct
    missed = max(kernel.read_bytes - machine.cache_bytes, 0) + max(kernel.write_bytes - machine.cache_bytes, 0)
    return max(direct, missed / machine.bandwidth)


def estimate(kernel: Kernel, machine: Machine, numbers: Numbers) -> Parts:
    """What the kernel takes, by parts: arithmetic and traffic overlap, the longer one counts."""
    work = arithmetic(kernel, machine, numbers)
    traffic, moving = 0.0, 0.0
    if machine.bandwidth is not None:
        moved = kernel.read_bytes + kernel.write_bytes
        faster = numbers.in_cache if moved <= machine.cache_bytes else 1.0
        traffic = moved / machine.bandwidth / faster
        moving = traffic / _share_of_bandwidth(kernel, numbers)
    base, padded = max(work.ideal, traffic), max(work.whole, traffic)
    by_work = work.ideal >= traffic
    return Parts(
        compute_s=base if by_work else 0.0,
        memory_s=0.0 if by_work else base,
        quantisation_s=padded - base,
        efficiency_s=max(work.real, moving) - padded,
    )


def _share_of_bandwidth(kernel: Kernel, numbers: Numbers) -> float:
    if kernel.pace == "softmax":
        return numbers.softmax
    return numbers.norm if kernel.pace == "norm" else numbers.elementwise


def arithmetic(kernel: Kernel, machine: Machine, numbers: Numbers) -> Work:
    """The arithmetic in the fastest way that there is for it.

    Products by a vector, and convolutions with one filter per group, have kernels of their own, without tiles.
    """
    ideal = 2 * kernel.macs / machine.peak
    if kernel.pace not in ("gemm", "conv", "attention"):
        return Work(ideal, ideal, ideal)
    share = {"gemm": numbers.gemm, "conv": numbers.conv, "attention": numbers.attention}[kernel.pace]
    product = kernel.product
    untiled = product is None or machine.sms is None or kernel.pace == "attention" or kernel.macs == 0
    if product is None or machine.sms is None or untiled or min(product.m, product.n) == 1:
        return Work(ideal, ideal, ideal / share)
    one = product.batch == 1
    tile = LEAST_TILE if one or kernel.pace == "conv" else machine.batched_tile
    splits = NO_SPLIT if not one else SPLITS if kernel.pace == "gemm" else NO_SPLIT if kernel.stops else DEEP_SPLITS
    q = quantisation(product, machine.sms, numbers.tile_cost, tile, splits)
    whole = max(q * 2 * product.batch * product.m * product.n * product.k / machine.peak, ideal)
    direct = Work(ideal, whole, whole / share)
    if kernel.taps == WINOGRAD_TAPS and len(kernel.stops) == 2 and one and not machine.tensor:
        return min(direct, *_winograd(kernel, product, machine, numbers), key=lambda work: work.real)
    return direct


@lru_cache(maxsize=1 << 16)
def quantisation(
    product: Product, sms: int, tile_cost: float, least: int = LEAST_TILE, splits: tuple[int, ...] = SPLITS
) -> float:
    """Work done over work asked for, at least 1: whole tiles in whole waves, by the tile and split that waste least.

    Of a tile's sides `tile_cost` elements are spent on loading operands and writing results, of its depth twice that.

    >>> quantisation(Product(1, 256, 128, 1024), sms=1, tile_cost=0.0)
    1.0
    >>> quantisation(Product(1, 128, 128, 1024), sms=3, tile_cost=0.0, splits=NO_SPLIT)  # 4 tiles of 64 × 64 in 2 waves
    1.5
    """
    batch, m, n, k = product.batch, product.m, product.n, product.k
    best = float("inf")
    for rows, columns in TILES:
        if rows < least or columns < least:
            continue
        tiles = batch * -(-m // rows) * -(-n // columns)
        area = rows * columns
        sides = 1 + tile_cost * (1 / rows + 1 / columns)
        for parts in splits:
            waves = -(-tiles * parts // sms) / parts
            cells = waves * area * (sides + DEPTH * tile_cost * parts / k)
            best = min(best, cells)
    return best * sms / (batch * m * n)


def _winograd(kernel: Kernel, product: Product, machine: Machine, numbers: Numbers) -> tuple[Work, Work]:
    """Winograd F(4, 3) in two ways: fused in one kernel, or a batched product between transforms in memory.

    A block of the fused kernel takes 32 patches and 32 filters through all channels; the other way writes and reads
    all patches of inputs, outputs and filters once more.
    """
    sms = machine.sms or 1
    channels, patches = product.k / WINOGRAD_TAPS, _patches(kernel.stops, product)
    seconds = 2 * PATCH_PRODUCTS / machine.peak
    ideal = 2 * kernel.macs / machine.peak * PATCH_PRODUCTS / (PATCH_STOPS * WINOGRAD_TAPS)
    blocks = -(-patches // FUSED_SIDE) * -(-product.n // FUSED_SIDE)
    whole = -(-blocks // sms) * sms * FUSED_SIDE**2 * (channels + FUSED_DEPTH) * seconds
    fused = Work(ideal, whole, whole / (numbers.conv * FUSED_SHARE))
    batched = Product(PATCH_PRODUCTS, patches, product.n, max(product.k // WINOGRAD_TAPS, 1))
    q = quantisation(batched, sms, numbers.tile_cost, splits=NO_SPLIT)
    whole = q * patches * product.n * channels * seconds
    cells = PATCH_PRODUCTS * (patches * (channels + product.n) + channels * product.n)
    width = kernel.write_bytes / (product.m * product.n)
    moving = 2 * width * cells / (machine.bandwidth * numbers.elementwise) + LAUNCHES_S if machine.bandwidth else 0.0
    return fused, Work(ideal, whole, whole / numbers.conv + moving)


def _patches(stops: tuple[int, ...], product: Product) -> int:
    """Patches of 4 × 4 outputs that cover all images; without their sides the images are cut without a rest."""
    if not stops:
        return -(-product.m // PATCH_STOPS)
    return product.m // prod(stops) * prod(-(-side // PATCH_SIDE) for side in stops)
