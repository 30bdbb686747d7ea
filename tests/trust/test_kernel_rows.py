"""Rows of measured kernels become the right work, and rows that cannot be meant are refused in one line."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from roofline.errors import InvalidInput, RooflineError
from roofline.estimate.work import Operation, Transfer
from roofline.trust.kernels import COLUMNS, format_key, measured_of, read_kernels

GOOD = {
    "id": "1",
    "hardware": "h100-sxm",
    "op": "gemm",
    "dtype": "bf16",
    "shape": '{"m": 8, "n": 4096, "k": 1024}',
    "num_devices": "1",
    "latency_us": "10",
    "source": "here",
    "notes": "",
}


def work(op: str, dtype: str, shape: Mapping[str, object], devices: int = 1) -> Operation | Transfer:
    row = GOOD | {"op": op, "dtype": dtype, "shape": json.dumps(shape), "num_devices": str(devices)}
    return measured_of([("row 1", row)]).kernels[0].work


@pytest.mark.parametrize(
    ("dtype", "weight", "key"),
    [
        ("bf16", 2, "bf16"),
        ("bfloat16", 2, "bf16"),
        ("fp16", 2, "bf16"),
        ("fp8", 1, "fp8"),
        ("fp8_block", 1 + 4 / 16384, "fp8_block"),
        ("fp8(block)", 1 + 4 / 16384, "fp8_block"),
        ("int8-bf16", 1, "int8-bf16"),
        ("int4_wo", 4.125 / 8, "int4-bf16"),
        ("w4a16_mxfp4", 4.25 / 8, "mxfp4-bf16"),
        ("w4a8_mxfp4_mxfp8", 4.25 / 8, "mxfp4-mxfp8"),
        ("nvfp4", 4.5 / 8, "nvfp4"),
    ],
)
def test_a_matmul_reads_its_weights_in_their_format(dtype: str, weight: float, key: str) -> None:
    done = work("gemm", dtype, {"m": 8, "n": 4096, "k": 1024})
    assert isinstance(done, Operation)
    assert done.flops == 2 * 8 * 4096 * 1024
    assert done.weights == pytest.approx(4096 * 1024 * weight, rel=1e-12)
    assert format_key(done.stored, done.computed) == key


def test_attention_scores_the_causal_half_and_reads_the_cache() -> None:
    heads = {"batch": 2, "num_heads": 32, "num_kv_heads": 8, "head_dim": 128}
    prefill = work("attention_prefill", "bf16", heads | {"seq_len": 100})
    assert isinstance(prefill, Operation)
    assert prefill.flops == 2 * 4 * 32 * 128 * (100 * 101 / 2)
    assert (prefill.kernel_class, prefill.stored, prefill.computed) == ("attention_prefill", "bf16", "bf16")
    decode = work("attention_decode", "q:bf16 kv:fp8", heads | {"kv_len": 1000})
    assert isinstance(decode, Operation)
    assert decode.flops == 2 * 4 * 32 * 128 * 1000
    assert decode.cache == 2 * (1000 + 1) * 2 * 8 * 128
    assert (decode.stored, decode.computed) == ("fp8", "bf16")


def test_latent_attention_is_absorbed_in_decode_and_rebuilt_in_prefill() -> None:
    decode = work("attention_decode", "bf16", {"batch": 1, "kv_len": 1000, "num_heads": 128, "mla": True})
    assert isinstance(decode, Operation)
    assert decode.kernel_class == "latent_decode"
    assert decode.flops == 2 * 128 * (2 * 512 + 64) * 1000
    prefill = work("attention_prefill", "bf16", {"batch": 1, "seq_len": 1000, "num_heads": 128, "mla": True})
    assert isinstance(prefill, Operation)
    assert prefill.kernel_class == "latent_prefill"
    assert prefill.flops == 2 * 128 * (192 + 128) * (1000 * 1001 / 2)


@pytest.mark.parametrize(("tokens", "touched"), [(1, 2), (2, 4), (64, 8)])
def test_experts_dealt_evenly_touch_what_the_rows_allow(tokens: int, touched: int) -> None:
    shape = {"num_tokens": tokens, "hidden": 4096, "inter": 14336, "topk": 2, "num_experts": 8}
    done = work("moe", "bf16", shape | {"moe_tp": 1, "moe_ep": 1, "distribution": "balanced"})
    assert isinstance(done, Operation)
    assert done.flops == 6 * tokens * 2 * 4096 * 14336
    assert done.weights == touched * 3 * 4096 * 14336 * 2
    local = {"num_experts": 8, "local_experts": 8, "topk": 2, "hidden": 4096, "inter": 14336}
    again = work("moe", "bf16", local | {"tokens_per_expert": tokens * 2 / 8})
    assert isinstance(again, Operation)
    assert (again.flops, again.weights) == (done.flops, done.weights)


@pytest.mark.parametrize(("tokens", "touched"), [(1, 2.0), (2, 2 + 2 * 6 / 8), (64, 8.0)])
def test_experts_drawn_at_random_are_touched_as_often_as_expected(tokens: int, touched: float) -> None:
    """A second token shares a quarter of its choices with the first; half of the experts are half of that."""
    shape = {"num_tokens": tokens, "hidden": 4096, "inter": 14336, "topk": 2, "num_experts": 8, "moe_tp": 1}
    done = work("moe", "bf16", shape | {"moe_ep": 1, "distribution": "random"})
    half = work("moe", "bf16", shape | {"moe_ep": 2, "distribution": "random"})
    assert isinstance(done, Operation)
    assert isinstance(half, Operation)
    assert done.flops == 6 * tokens * 2 * 4096 * 14336
    assert done.weights == pytest.approx(touched * 3 * 4096 * 14336 * 2, rel=1e-6)
    assert half.weights == pytest.approx(done.weights / 2)


def beside(op: str, dtype: str, shape: Mapping[str, object], notes: str = "with activation quantisation") -> float:
    row = GOOD | {"op": op, "dtype": dtype, "shape": json.dumps(shape), "notes": notes}
    return measured_of([("row 1", row)]).kernels[0].beside


def test_a_kernel_that_quantises_reads_and_writes_the_activations() -> None:
    """In fp8 twice 2 B in and 1 B out, as one scale is that of the largest element; in nvfp4 once in and 4.5 bits out.

    Blocks are quantised by a kernel that stacks launch too, and 16 bits by none.
    """
    shape = {"m": 8, "n": 4096, "k": 1024}
    assert beside("gemm", "fp8", shape) == 8 * 1024 * 5
    assert beside("gemm", "nvfp4", shape) == 8 * 1024 * (2 + 4.5 / 8)
    assert beside("gemm", "fp8", shape, notes="") == 0
    for stored in ("fp8_block", "bf16", "fp8-bf16"):
        assert beside("gemm", stored, shape) == 0


def test_experts_are_measured_with_the_rows_that_are_routed_to_them() -> None:
    """256 rows of 64 tokens, on each of four ranks that cut the experts and a quarter on each that has some whole."""
    shape = {"hidden": 1024, "inter": 512, "topk": 4, "num_experts": 32, "num_tokens": 64}
    whole = 2 * (1024 + 2 * 256 + 1024) + 1 * (1024 + 256)  # 16 bits out of tokens and matrices, fp8 into these
    assert beside("moe", "fp8", shape | {"moe_tp": 2, "moe_ep": 1}) == 256 * whole
    assert beside("moe", "fp8", shape | {"moe_tp": 2, "moe_ep": 4}) == 64 * whole
    local = {"hidden": 1024, "inter": 256, "topk": 4, "num_experts": 32, "local_experts": 8, "tokens_per_expert": 8}
    assert beside("moe", "fp8", local) == 0  # the matrices of one rank alone
    assert beside("moe", "fp8", shape | {"moe_tp": 1, "moe_ep": 1}, notes="products alone") == 0


def test_exchanges_count_what_a_rank_sends() -> None:
    assert work("allreduce", "bf16", {"bytes": 4096}, 8) == Transfer("all_reduce", "all_reduce", 4096, 0, 8)
    sent = {"tokens_per_gpu": 10, "hidden": 7168, "topk": 8}
    out = work("alltoall", "fp8", sent | {"phase": "dispatch"}, 8)
    back = work("alltoall", "bf16", sent | {"phase": "combine"}, 8)
    assert isinstance(out, Transfer)
    assert isinstance(back, Transfer)
    assert out.size == pytest.approx(10 * 8 * 7168 * (1 + 4 / 128))
    assert back.size == 10 * 8 * 7168 * 2


def test_unusable_rows_are_counted_not_dropped() -> None:
    skewed = GOOD | {"op": "moe", "shape": '{"distribution":"power_law_1.2"}'}
    measured = measured_of([("1", GOOD), ("2", skewed), ("3", GOOD | {"op": "memcpy"}), ("4", skewed)])
    assert measured.rows == 4
    assert sorted(measured.left_out.values()) == [1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"op": "gem"}, "rows.csv, line 3, op: got 'gem', expected one of gemm,.*nearest: gemm"),
        ({"latency_us": "fast"}, "rows.csv, line 3, latency_us: got 'fast', expected a positive number"),
        ({"latency_us": "-1"}, "latency_us: got '-1'"),
        ({"latency_us": "nan"}, "latency_us: got 'nan'"),
        ({"latency_us": ""}, "latency_us: got ''"),
        ({"shape": "m=8"}, "shape: got 'm=8', expected a JSON object"),
        ({"shape": "[8]"}, r"shape: got '\[8\]', expected a JSON object"),
        ({"shape": '{"m": 8, "n": 4}'}, "shape: got 'k nothing', expected a positive number as k"),
        ({"shape": '{"m": 8, "n": 4, "k": -1}'}, "shape: got 'k -1'"),
        ({"shape": '{"m": 8, "n": 4, "k": "big"}'}, "shape: got 'k big'"),
        ({"shape": '{"m": NaN, "n": 4, "k": 8}'}, "shape: got 'm nan'"),
        ({"dtype": "fp9"}, "dtype: got 'fp9', expected a number format"),
        ({"dtype": "q:bf16"}, "dtype: got 'q:bf16'"),
        ({"op": "allreduce", "shape": '{"bytes": 8}'}, "num_devices: got 1, expected at least 2"),
        ({"num_devices": "two"}, "num_devices: got 'two'"),
        ({"num_devices": "2.5"}, "num_devices: got '2.5', expected a whole number"),
        (
            {
                "op": "attention_decode",
                "shape": '{"batch":1,"kv_len":9,"num_heads":3,"num_kv_heads":2,"head_dim":8}',
            },
            "expected heads that share evenly",
        ),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, change: dict[str, str], message: str) -> None:
    path = tmp_path / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows([GOOD, GOOD | change])
    with pytest.raises(RooflineError, match=message) as error:
        read_kernels(path)
    assert "\n" not in str(error.value)


def test_bad_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    with pytest.raises(InvalidInput, match="no such file"):
        read_kernels(path)
    with pytest.raises(InvalidInput, match="a directory"):
        read_kernels(tmp_path)
    path.write_text("")
    with pytest.raises(InvalidInput, match="columns: got 'an empty file"):
        read_kernels(path)
    path.write_text("id,hardware,op\n1,2,3\n")
    with pytest.raises(InvalidInput, match="columns: got 'no dtype, shape, num_devices, latency_us"):
        read_kernels(path)
    path.write_text(",".join(COLUMNS) + "\n1,2,3\n")
    with pytest.raises(InvalidInput, match="line 2: got 'a row of another length'"):
        read_kernels(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="a CSV file in UTF-8"):
        read_kernels(path)
