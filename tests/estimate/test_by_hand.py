"""Whole steps computed by hand: every operation of a toy model on a toy part, with the arithmetic beside it.

The model: two layers (three where it says so) of width 8; two query heads of 4 that share one key-value head; a gated
network of width 16; a vocabulary of 100, untied. All formats are 16 bits wide: two bytes.
"""

from __future__ import annotations

from typing import Any

import pytest

from roofline.describe.attention import Attention
from roofline.describe.catalog import accelerator
from roofline.describe.efficiency import Efficiency
from roofline.describe.feedforward import Dense
from roofline.describe.hardware import parse_accelerator
from roofline.describe.model import Layer, ModelShape
from roofline.describe.model_catalog import load_model
from roofline.estimate.deployment import Deployment
from roofline.estimate.estimate import Estimate
from roofline.trust.strategies import cited

US = 1e-6


def toy_model(layers: int = 2, sharing: int = 0) -> ModelShape:
    """The last `sharing` layers read the cache of the one before them."""
    mixer = Attention(heads=2, kv_heads=1, key_dim=4, value_dim=4)
    mixers = mixer, mixer.model_copy(update={"shares_kv": True})
    layer, reader = (Layer(mixer=each, feed_forward=Dense(width=16)) for each in mixers)
    own = layers - sharing
    return ModelShape(name="a toy model", hidden=8, vocab=100, layers=(layer,) * own + (reader,) * sharing, tied=False)


def toy_part(kind: str, *, peak: float, link: dict[str, Any], **rates: float) -> Any:
    """A part whose memory moves a byte in 10 ns."""
    spec: dict[str, Any] = {"name": "a toy", "kind": kind, "vendor": "a test", "year": 2026, "edition": "2026-11"}
    spec |= {"status": "announced", "peak": {"bf16": cited(peak, "FLOP/s")}}
    spec |= {"memory": {"only": {"capacity": cited(1e6, "B"), "bandwidth": cited(1e8, "B/s")}}}
    spec |= {name: cited(rate, "B/s") for name, rate in rates.items()}
    return parse_accelerator({**spec, "link": {"only": link}}, where="a test")


def hbm() -> Any:
    """0.2 FLOP per nanosecond: arithmetic and memory meet at 2 FLOP per byte. Two devices on a switch of 0.01 B/ns."""
    link = {"topology": "switch", "bandwidth": cited(1e7, "B/s"), "latency": cited(1e-6, "s"), "domain": cited(2, "")}
    return toy_part("hbm", peak=2e8, link=link)


def times(estimate: Estimate) -> dict[str, float]:
    """Microseconds of every term."""
    return {name: each.total / US for name, each in estimate.terms.items()}


def test_decode_on_one_dram_device() -> None:
    """Four sequences at a context of ten. Bytes take 0.01 µs each, FLOP 0.005 µs each; the longer of both counts."""
    step = Deployment(toy_model(), hbm(), efficiency="ideal").decode(4, 10)
    # a norm moves 4 · 8 · 2 = 64 B a row; the products of the gated network (32 + 16) · 2 = 96 B a row
    norm, product = 4 * 64 * 0.01, 4 * 96 * 0.01
    # query, key, value: 8 × (8 + 4 + 4); 4 · 2 · 128 = 1,024 FLOP; 256 B of weights and 4 · (16 + 32) B in and out
    qkv = max(1024 * 0.005, (256 + 192) * 0.01)
    # output: 8 × 8; 512 FLOP; 128 B and 4 · (16 + 16) B: a tie
    output = max(512 * 0.005, (128 + 128) * 0.01)
    # attention: 4 · 10 pairs of 2 · 2 · 8 = 32 FLOP; ten keys read and one written, of 8 elements; 4 · 32 B beside
    attention = max(1280 * 0.005, (4 * 11 * 16 + 128) * 0.01)
    # gate and up: 8 × 32; 2,048 FLOP; 512 B and 4 · (16 + 64) B.  down: 16 × 8; 1,024 FLOP; 256 B and 4 · (32 + 16) B
    network = max(2048 * 0.005, (512 + 320) * 0.01) + max(1024 * 0.005, (256 + 192) * 0.01)
    # the head: a norm of 4 · 32 B; 8 × 100; 6,400 FLOP; 1,600 B and 4 · (16 + 200) B.  embedding: 4 · 32 B
    head = max(6400 * 0.005, (1600 + 864) * 0.01)
    assert (qkv, output, attention, network, head) == (5.12, 2.56, 8.32, 15.36, 32)
    expected = {
        "elementwise": 2 * (2 * norm + product) + 1.28,
        "attention_projections": 2 * (qkv + output),
        "attention": 2 * attention,
        "dense_ffn": 2 * network,
        "embedding": 1.28,
        "lm_head": head,
    }
    assert times(step) == pytest.approx(expected)
    assert step.seconds / US == pytest.approx(115.2)
    assert step.bound == "compute"
    owed = {name: seconds / US for name, seconds in step.attributed.items()}
    compute, memory = 2 * (5.12 + 2.56 + 15.36) + 32, 2 * (2 * 2.56 + 8.32 + 3.84) + 2 * 1.28
    rest = dict.fromkeys(("feed", "network", "overhead", "spill"), 0)
    assert owed == pytest.approx({"compute": compute, "memory": memory, **rest})
    # all the FLOP at peak, or all weights and caches at full bandwidth: 2 · 5,888 + 6,400 FLOP, 2 · 1,792 + 1,600 B
    assert step.floor / US == pytest.approx(max(18176 * 0.005, 5184 * 0.01))
    single = Deployment(toy_model(), hbm(), efficiency="ideal").decode(1, 10)  # a quarter of the FLOP and of the caches
    assert single.floor / US == pytest.approx((2 * (1152 + (9 + 1) * 16) + 1600) * 0.01)  # a new key need not be read
    assert step.mfu == pytest.approx(18176 * 0.005 / 115.2)
    assert step.mbu == pytest.approx(5312 * 0.01 / 115.2)
    assert step.tokens_per_second == pytest.approx(4 / 115.2e-6)


def test_overheads_and_efficiencies() -> None:
    """Eight kernels a layer and three around them launch at 1 µs each; half the peak and half the bandwidth double."""
    figures = {"points": 1, "error": 0, "low": 1, "high": 1, "source": "a test"}
    ideal = Efficiency.ideal()
    kernels = {
        name: {"any": fits["any"].model_copy(update={"overhead": 1e-6, "compute": 0.5, "memory": 0.5, **figures})}
        for name, fits in ideal.kernels.items()
    }
    slow = Deployment(toy_model(), hbm(), efficiency=ideal.model_copy(update={"kernels": kernels})).decode(4, 10)
    assert slow.seconds / US == pytest.approx(2 * 115.2 + 2 * 8 + 3)
    assert slow.attributed["overhead"] / US == pytest.approx(19)
    assert (slow.ideal / US, slow.floor / US) == (pytest.approx(115.2), pytest.approx(90.88))
    assert slow.low == slow.seconds == slow.high


def test_decode_on_two_dram_devices() -> None:
    """The same, its matrices halved over two ranks; the one key-value head is on both. A sum of 64 B takes
    1 + 64 / 10 = 7.4 µs in one shot (in two: 2 + 6.4), a gather of 800 B of logits 1 + 400 / 10 = 41 µs.
    """
    step = Deployment(toy_model(), hbm(), 2, tp=2, efficiency="ideal").decode(4, 10)
    projections = max(768 * 0.005, 352 * 0.01) + max(256 * 0.005, 160 * 0.01)  # 8 × (4 + 4 + 4), 4 × 8
    attention = max(640 * 0.005, (4 * 11 * 16 + 64) * 0.01)  # half the pairs, all the cache
    network = max(1024 * 0.005, 448 * 0.01) + max(512 * 0.005, 256 * 0.01)  # 8 × 16, 8 × 8
    head = max(3200 * 0.005, (800 + 4 * (16 + 100)) * 0.01)  # 8 × 50
    assert times(step) == pytest.approx(
        {
            "elementwise": 2 * (2 * 2.56 + 1.92) + 1.28,
            "attention_projections": 2 * projections,
            "attention": 2 * attention,
            "dense_ffn": 2 * network,
            "embedding": 1.28,
            "lm_head": head,
            "all_reduce": (2 * 2 + 1) * 7.4,
            "all_gather": 41,
        }
    )
    assert step.seconds / US == pytest.approx(152.24)
    # five sums of at least 64 B and a gather of 400 B at 0.01 B/ns
    assert step.floor / US == pytest.approx((5 * 64 + 400) / 10)


def test_prefill_on_one_dram_device() -> None:
    """Two prompts of six tokens, two of them cached: eight new rows, two logits; 4 · 5 / 2 + 4 · 2 pairs a sequence."""
    step = Deployment(toy_model(), hbm(), efficiency="ideal").prefill(6, 2, cached_tokens=2)
    rows, pairs = 8, 2 * (10 + 8)
    qkv = max(rows * 256 * 0.005, (256 + rows * 48) * 0.01)
    output = max(rows * 128 * 0.005, (128 + rows * 32) * 0.01)
    attention = max(pairs * 32 * 0.005, (2 * (6 + 4) * 16 + rows * 32) * 0.01)  # six keys read, four written
    network = max(rows * 512 * 0.005, (512 + rows * 80) * 0.01) + max(rows * 256 * 0.005, (256 + rows * 48) * 0.01)
    head = max(2 * 1600 * 0.005, (1600 + 2 * 216) * 0.01)
    assert times(step) == pytest.approx(
        {
            "elementwise": 2 * rows * (2 * 64 + 96) * 0.01 + 2 * 32 * 0.01,
            "attention_projections": 2 * (qkv + output),
            "attention": 2 * attention,
            "dense_ffn": 2 * network,
            "embedding": rows * 32 * 0.01,
            "lm_head": head,
        }
    )
    assert step.tokens_per_second == pytest.approx(8 / step.seconds)


def sram(latency: float = 0.5e-6) -> Any:
    """Operands enter at half the memory rate: 0.02 µs a byte of weights and cache, 0.01 µs of anything else."""
    link = {"topology": "dragonfly", "bandwidth": cited(1e8, "B/s"), "hops": cited(3, "")}
    return toy_part("sram", peak=1e9, link={**link, "latency": cited(latency, "s")}, feed=5e7)


def test_decode_in_two_unequal_stages_of_sram() -> None:
    """Three layers on two stages, the longer one first; three sequences make micro-batches of two, and two of those."""
    step = Deployment(toy_model(3), sram(), 2, tp=1, pp=2, efficiency="ideal").decode(3, 10)
    layer = (
        2 * (2 * 64 * 0.01)  # norms
        + 256 * 0.02  # query, key, value
        + 2 * 11 * 16 * 0.02  # the cache of two sequences
        + 128 * 0.02  # output
        + 512 * 0.02  # gate and up
        + 2 * 96 * 0.01  # their product
        + 256 * 0.02  # down
    )
    embedding, head = 2 * 32 * 0.01, 2 * 32 * 0.01 + 1600 * 0.02
    assert layer == pytest.approx(34.56)
    first, second = 2 * layer + embedding, layer + head
    # a hand-over: three hops of 0.5 µs and 2 · 8 · 2 = 32 B at 0.1 B/ns; one forward, one back with the token
    hop = 1.5 + 0.32
    assert max(first + second + 2 * hop, 2 * first) == pytest.approx(140.6)
    assert step.seconds / US == pytest.approx(140.6)
    assert step.terms["pipeline"].total / US == pytest.approx(2 * hop)
    assert step.bound == "feed"
    assert step.tokens_per_second == pytest.approx(3 / 140.6e-6)
    # with wires that take no time, the first stage and its two micro-batches decide: 2 · 69.76
    near = Deployment(toy_model(3), sram(1e-12), 2, tp=1, pp=2, efficiency="ideal").decode(3, 10)
    assert near.seconds / US == pytest.approx(2 * first, rel=1e-6)
    waiting = near.terms["pipeline"]
    assert waiting.total / US == pytest.approx(first - second, rel=1e-4)
    # of it 0.64 µs are hand-overs; the rest is owed to what the stages do, of which 122.24 of 136.96 µs is feeding
    fed = 3 * (256 + 2 * 11 * 16 + 128 + 512 + 256) * 0.02 + 1600 * 0.02
    assert waiting.attributed["network"] / US == pytest.approx(0.64, rel=1e-4)
    assert waiting.attributed["feed"] / US == pytest.approx(
        (2 * first - first - second - 0.64) * fed / 136.96, rel=1e-4
    )
    # four sequences are two full micro-batches: the same step, and a third more tokens
    full = Deployment(toy_model(3), sram(), 2, tp=1, pp=2, efficiency="ideal").decode(4, 10)
    assert (full.seconds, full.tokens_per_second) == (step.seconds, pytest.approx(step.tokens_per_second * 4 / 3))
    # two are two micro-batches of one, whose way is shorter by the cache and rows of the second
    assert Deployment(toy_model(3), sram(), 2, tp=1, pp=2).decode(2, 10).ideal < step.seconds


def test_the_stage_with_the_head_may_be_the_slowest() -> None:
    """Two layers on two stages: 34.56 + 0.64 and 34.56 + 32.64 µs. Two micro-batches pass the second."""
    two = Deployment(toy_model(2), sram(), 2, tp=1, pp=2, efficiency="ideal")
    step = two.decode(4, 10)
    first, second = 34.56 + 0.64, 34.56 + 32.64
    assert step.seconds / US == pytest.approx(max(first + second + 2 * 1.82, 2 * second))
    # At the least, a token passes both stages, and the second reads its weights once and all caches.
    weights, cache = 256 + 128 + 512 + 256, (9 + 1) * 16
    assert step.floor / US == pytest.approx((2 * (weights + cache) + 1600) * 0.02)
    assert two.decode(40, 10).floor / US == pytest.approx((weights + 40 * cache + 1600) * 0.02)


def test_of_the_last_layer_a_prompt_needs_the_last_token_alone() -> None:
    """No later layer keeps anything of the others. 64 tokens of 1,152 FLOP, and 64 · 65 / 2 pairs of 32, in a layer."""
    each, final, head = 64 * 1152 + 2080 * 32, 1152 + 64 * 32, 1600
    prompt = Deployment(toy_model(3), hbm(), efficiency="ideal").prefill(64)
    assert prompt.floor / US == pytest.approx((2 * each + final + head) * 0.005)
    # Layers that read an earlier one's cache keep nothing themselves: where two are last, all three do no more. Memory
    # binds then: two layers have no matrices for keys and values, of 8 × 8, and 64 keys of 16 B are written.
    sharing = Deployment(toy_model(3, sharing=2), hbm(), efficiency="ideal").prefill(64)
    assert sharing.floor / US == pytest.approx((3 * 1152 - 2 * 128 + 1600 + 64 * 16) * 0.01)


def test_prefill_in_two_unequal_stages_of_sram() -> None:
    """The second micro-batch follows the first at the pace of the slower stage: the sum of both, and that once more."""
    two = Deployment(toy_model(3), sram(), 2, tp=1, pp=2, efficiency="ideal", slice="whole")
    one = Deployment(toy_model(3), sram(), 1, efficiency="ideal")
    whole = one.prefill(10, 2)
    layers = sum(times(whole)[name] for name in ("attention", "attention_projections", "dense_ffn"))
    rows = 2 * 10
    norms = times(whole)["elementwise"] - 2 * 32 * 0.01  # without the head's
    first = (layers + norms) * 2 / 3 + rows * 32 * 0.01
    hop = 1.5 + rows * 16 * 0.01
    assert two.prefill(10, 3).seconds / US == pytest.approx(whole.seconds / US + hop + first)


def test_a_token_on_the_lpu_passes_the_stages_in_turn() -> None:
    """Llama-3.1-70B in int8 on 576 LPUs, 72 stages of eight: the eight chips of a stage read at a time, whatever the
    other 568 do. Known for the part: a few hundred microseconds to a little over a millisecond.
    """
    part, model = accelerator("groq-lpu-v1"), load_model("llama-3.1-70b")
    step = Deployment(model, part, 576, tp=8, pp=72, quantization="int8").decode(1, 4096)
    counts = model.parameters()
    linear = counts.total - counts.embedding - counts.lm_head - counts.norm_other
    weights = linear * 1 + counts.lm_head * 2 + 4097 * 80 * 8 * 256
    feed, bandwidth = 18.432e12, 50.688e12
    assert 0.4e-3 < step.ideal < 1.3e-3
    by_stage, by_everything = weights / (8 * feed), weights / (576 * bandwidth)
    assert step.ideal > by_stage > 100 * by_everything
    assert step.attributed["feed"] <= step.seconds
    fed = step.resolved.ideal
    ideal = Estimate(fed, step.point)
    assert ideal.terms["lm_head"].feed + sum(
        ideal.terms[name].feed for name in ("attention", "attention_projections", "dense_ffn")
    ) == pytest.approx(by_stage, rel=0.02)  # embedding and head are cut over more than one stage
    # 71 hand-overs and one back, each at least one hop; two sums a layer
    assert ideal.attributed["network"] > 72 * 600e-9 + 160 * 722e-9
