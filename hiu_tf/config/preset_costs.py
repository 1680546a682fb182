"""The cost of every preset. Tests build the networks and compare (models/cost.py)."""

from typing import NamedTuple

from hiu_tf.tables import markdown_table


class Cost(NamedTuple):
    """The cost of one network in training and in inference.

    Attributes:
      parameters, macs: of the whole network. MACs are the multiply-accumulates of the convolutions for one picture.
      inference_parameters, inference_macs: of the part that an exported model computes.
      activations_mb: megabytes of all layer outputs for one picture in float32, which a training step keeps in memory.
    """

    parameters: int
    macs: int
    inference_parameters: int
    inference_macs: int
    activations_mb: float


COSTS = {
    "hiu_4stack": Cost(244_285_765, 134_393_489_408, 231_763_475, 69_794_298_368, 2352.9),
    "hiu_1stack": Cost(77_535_055, 34_695_444_992, 76_215_059, 29_297_375_744, 603.6),
    "hiu_2stack": Cost(133_118_625, 67_928_126_464, 128_064_531, 42_796_349_952, 1186.7),
    "hiu_8stack": Cost(466_620_045, 267_324_215_296, 439_161_363, 123_790_195_200, 4685.3),
    "hiu_2stack_equal": Cost(72_413_185, 35_478_210_560, 69_952_211, 22_894_349_824, 872.0),
    "hiu_4stack_equal": Cost(62_500_933, 35_992_102_912, 59_188_755, 18_992_495_104, 1204.7),
    "hiu_mobile": Cost(3_994_879, 376_394_144, 3_971_011, 338_608_544, 62.4),
    "hiu_edge": Cost(1_297_215, 137_371_072, 1_285_891, 125_967_808, 33.6),
    "hiu_small": Cost(2_810_143, 263_398_656, 2_783_459, 236_266_752, 23.2),
    "hiu_small_64": Cost(2_810_143, 66_028_800, 2_783_459, 59_245_824, 5.8),
    "hiu_small_64_2stack_equal": Cost(2_279_025, 67_815_312, 2_232_991, 51_461_776, 8.4),
    "hiu_small_64_4stack_equal": Cost(1_529_637, 64_770_816, 1_461_587, 40_762_368, 11.5),
    "hiu_small_64_8stack": Cost(2_752_765, 120_997_376, 2_608_739, 68_713_216, 22.7),
    "tiny": Cost(31_295, 4_492_752, 26_307, 3_239_376, 1.2),
}


_COLUMNS = (
    "preset", "parameters (M)", "GMAC", "exported: parameters (M)", "GMAC", "weights, float32 (MB)", "training, a picture (MB)",
)  # fmt: skip


def cost_table(costs: dict[str, Cost]) -> str:
    """Formats costs as a Markdown table."""
    rows = []
    for name, cost in costs.items():
        millions, exported = cost.parameters / 1e6, cost.inference_parameters / 1e6
        giga = [f"{macs / 1e9:.3f}" for macs in (cost.macs, cost.inference_macs)]
        row = [name, f"{millions:.2f}", giga[0], f"{exported:.2f}", giga[1]]
        rows.append([*row, f"{4 * millions:.1f}", f"{cost.activations_mb:.1f}"])
    return markdown_table(_COLUMNS, rows)
