"""Linear attention and state-space layers: a state per sequence that does not grow with the context."""

from roofline.numeric import Num

__all__ = [
    "convolution_state_bytes",
    "recurrent_flops",
    "recurrent_state_bytes",
    "recurrent_state_traffic",
]


def recurrent_state_bytes(heads: Num, key_dim: Num, value_dim: Num, width: Num) -> Num:
    """The state that one sequence keeps in one layer.

    Arguments:
        heads : heads that keep a state [1]
        key_dim : elements of a key, the state size of a state-space layer [1]
        value_dim : elements of a value, the head size of a state-space layer [1]
        width : bytes per stored element, often four [B]

    Returns the size [B].

    Source: Dao, Gu 2024, "Transformers are SSMs", arXiv:2405.21060, section 7; Yang, Kautz, Hatamizadeh 2024,
    "Gated Delta Networks", arXiv:2412.06464, section 2.

    >>> recurrent_state_bytes(32, 128, 128, 4)
    2097152
    """
    return heads * key_dim * value_dim * width


def recurrent_state_traffic(heads: Num, key_dim: Num, value_dim: Num, width: Num) -> Num:
    """The bytes that a decode step moves for the state of one sequence in one layer.

    Arguments:
        heads : heads that keep a state [1]
        key_dim : elements of a key, the state size of a state-space layer [1]
        value_dim : elements of a value, the head size of a state-space layer [1]
        width : bytes per stored element, often four [B]

    Returns the traffic [B].

    Source: StepFun 2025, "Step-3", arXiv:2507.19427, Table 2 (MiniMax-M1).

    Read and written back each step, where a cache is read and grows by one token.

    >>> recurrent_state_traffic(32, 128, 128, 4)
    4194304
    """
    return 2 * recurrent_state_bytes(heads, key_dim, value_dim, width)


def convolution_state_bytes(channels: Num, taps: Num, width: Num) -> Num:
    """The past inputs that a short causal convolution keeps of one sequence in one layer.

    Arguments:
        channels : channels that are convolved [1]
        taps : length of the convolution [1]
        width : bytes per stored element [B]

    Returns the size [B].

    Source: Gu, Dao 2023, "Mamba", arXiv:2312.00752, section 3.4 (the block's convolution).

    >>> convolution_state_bytes(8192, 4, 2)
    49152
    """
    return channels * (taps - 1) * width


def recurrent_flops(heads: Num, key_dim: Num, value_dim: Num, operations: Num, tokens: Num) -> Num:
    """The arithmetic of the state updates and reads of one layer, one token after the other.

    Arguments:
        heads : heads that keep a state [1]
        key_dim : elements of a key, the state size of a state-space layer [1]
        value_dim : elements of a value, the head size of a state-space layer [1]
        operations : floating-point operations per element of the state and token [FLOP]
        tokens : tokens processed [1]

    Returns the floating-point operations [FLOP].

    Source: Yang, Kautz, Hatamizadeh 2024, "Gated Delta Networks", arXiv:2412.06464, Eq. 10 (the recurrence, counted).

    Per element: two for adding the outer product of key and value, two for reading with the query, one for the decay,
    two for the delta rule's look-up of the old value: 4 for plain linear attention, 5 with decay, 7 for gated delta
    networks. Chunked prefill kernels do more arithmetic to use matrix units.

    >>> recurrent_flops(32, 128, 128, 7, 1)
    3670016
    """
    return operations * heads * key_dim * value_dim * tokens
