"""Matrix multiplication: its arithmetic, its traffic, and how well it fills a matrix unit.

A product of a `rows` x `inner` activation with an `inner` x `columns` weight. The stationary operand is the weight.
"""

from roofline.numeric import Num, ceil

__all__ = [
    "matmul_flops",
    "matmul_traffic",
    "systolic_cycles",
    "tile_count",
    "tile_efficiency",
    "tile_padding_efficiency",
    "wave_efficiency",
    "weight_bytes",
]


def matmul_flops(rows: Num, inner: Num, columns: Num) -> Num:
    """The arithmetic of a matrix product.

    Arguments:
        rows : rows of the activation, the tokens of the step [1]
        inner : length of the sum behind each output element [1]
        columns : columns of the weight [1]

    Returns the floating-point operations [FLOP].

    Source: kipply 2022, "Transformer Inference Arithmetic", section "flops counting".

    A multiply-add counts two. Papers that print MACs, and some that print "OPs", differ by that factor.

    >>> matmul_flops(8, 128, 4)
    8192
    """
    return 2 * rows * inner * columns


def weight_bytes(inner: Num, columns: Num, weight_width: Num) -> Num:
    """The bytes of a stored weight matrix.

    Arguments:
        inner : rows of the weight [1]
        columns : columns of the weight [1]
        weight_width : bytes per stored weight, scales included [B]

    Returns the size [B].

    Source: Pope et al. 2022, arXiv:2211.05102, section 2 (weight memory).

    >>> weight_bytes(128, 4, 2)
    1024
    """
    return inner * columns * weight_width


def matmul_traffic(rows: Num, inner: Num, columns: Num, weight_width: Num, input_width: Num, output_width: Num) -> Num:
    """The least bytes a matrix product moves: each operand read once, the result written once.

    Arguments:
        rows : rows of the activation, the tokens of the step [1]
        inner : length of the sum behind each output element [1]
        columns : columns of the weight [1]
        weight_width : bytes per stored weight, scales included [B]
        input_width : bytes per activation read [B]
        output_width : bytes per result written [B]

    Returns the traffic [B].

    Source: Austin et al. 2025, "How to Scale Your Model", chapter "All About Rooflines", matrix multiplication.

    >>> matmul_traffic(8, 128, 4, 1, 2, 2)
    2624
    """
    inputs = rows * inner * input_width
    outputs = rows * columns * output_width
    return weight_bytes(inner, columns, weight_width) + inputs + outputs


def tile_count(rows: Num, columns: Num, tile_rows: Num, tile_columns: Num) -> Num:
    """The tiles that cover a result matrix.

    Arguments:
        rows : rows of the result [1]
        columns : columns of the result [1]
        tile_rows : rows of one tile [1]
        tile_columns : columns of one tile [1]

    Returns the number of tiles [1].

    Source: NVIDIA, "Matrix Multiplication Background User's Guide", section "Tile Quantization".

    >>> tile_count(17, 8192, 64, 128)
    64
    """
    return ceil(rows / tile_rows) * ceil(columns / tile_columns)


def tile_padding_efficiency(rows: Num, columns: Num, tile_rows: Num, tile_columns: Num) -> Num:
    """The share of the computed tiles that is result and not padding.

    Arguments:
        rows : rows of the result [1]
        columns : columns of the result [1]
        tile_rows : rows of one tile [1]
        tile_columns : columns of one tile [1]

    Returns the share, at most one [1].

    Source: NVIDIA, "Matrix Multiplication Background User's Guide", section "Tile Quantization".

    >>> tile_padding_efficiency(17, 8192, 64, 128)
    0.265625
    """
    return rows * columns / (tile_count(rows, columns, tile_rows, tile_columns) * tile_rows * tile_columns)


def wave_efficiency(tiles: Num, units: Num) -> Num:
    """The share of the matrix units that work, averaged over the waves in which tiles are dealt out.

    Arguments:
        tiles : tiles to compute [1]
        units : matrix units that each take one tile per wave [1]

    Returns the share, at most one [1].

    Source: NVIDIA, "Matrix Multiplication Background User's Guide", section "Wave Quantization".

    >>> wave_efficiency(64, 132)
    0.484848
    """
    return tiles / (ceil(tiles / units) * units)


def tile_efficiency(rows: Num, columns: Num, tile_rows: Num, tile_columns: Num, units: Num) -> Num:
    """The share of the peak that padding and unfilled waves leave.

    Arguments:
        rows : rows of the result [1]
        columns : columns of the result [1]
        tile_rows : rows of one tile [1]
        tile_columns : columns of one tile [1]
        units : matrix units that each take one tile per wave [1]

    Returns the share, at most one [1].

    Source: NVIDIA, "Matrix Multiplication Background User's Guide", sections "Tile Quantization" and
    "Wave Quantization".

    Splitting the inner dimension s ways makes s times the tiles, at the price of writing s partial results.

    >>> tile_efficiency(17, 8192, 64, 128, 132)
    0.128788
    """
    tiles = tile_count(rows, columns, tile_rows, tile_columns)
    return tile_padding_efficiency(rows, columns, tile_rows, tile_columns) * wave_efficiency(tiles, units)


def systolic_cycles(rows: Num, columns: Num, inner: Num, array_rows: Num, array_columns: Num) -> Num:
    """The cycles an output-stationary systolic array needs for a matrix product.

    Arguments:
        rows : rows of the result [1]
        columns : columns of the result [1]
        inner : length of the sum behind each output element [1]
        array_rows : rows of the array [1]
        array_columns : columns of the array [1]

    Returns the number of cycles [1].

    Source: Samajdar et al. 2020, "A Systematic Methodology for Characterizing Scalability of DNN Accelerators using
    SCALE-Sim", doi:10.1109/ISPASS48437.2020.00016, analytical runtime of a scaled-up array.

    Each pass pays the skewed fill and the drain (two array heights and one width, less two) on top of the sum itself.
    Eight rows on a 128 x 128 array cost as much as 128 of them.

    >>> systolic_cycles(8, 128, 4096, 128, 128)
    4478
    """
    passes = ceil(rows / array_rows) * ceil(columns / array_columns)
    return (2 * array_rows + array_columns + inner - 2) * passes
