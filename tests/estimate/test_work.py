"""The work of a step, counted exactly against the model's own shape: nothing forgotten, nothing twice."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from roofline.describe.attention import Attention, LatentAttention
from roofline.describe.catalog import accelerator
from roofline.describe.compressed import CompressedAttention
from roofline.describe.feedforward import Dense, MoE
from roofline.describe.formats import PRESETS, Quantization, width
from roofline.describe.linear_attention import GatedDeltaNet
from roofline.describe.mixer import Indexer
from roofline.describe.mixers import Mixer
from roofline.describe.model import Layer, ModelShape
from roofline.describe.model_catalog import load_model, model_names
from roofline.describe.parts import Matrix
from roofline.describe.runtimes import Fused
from roofline.equations.exchanges import fullest_rank_reached
from roofline.equations.experts import (
    busiest_rank_experts,
    distinct_experts,
    expert_row_bytes,
    fullest_rank_rows,
    largest_deviate,
    routed_row_bytes,
    skewed_experts,
)
from roofline.estimate.layout import Layout
from roofline.estimate.sharding import rank_shape
from roofline.estimate.steps import Plan
from roofline.estimate.timing import Step
from roofline.estimate.work import HIDDEN_WIDTH, Operation, Transfer
from roofline.trust.strategies import all_mixers, common_mixers, dense_networks, mixtures, model_shapes
from roofline.trust.testing import layouts
from tests.support import counting
from tests.support.strategies import Case, cases

ROUNDING = 1e-12
MANY = 10.0**8
"""Sequences enough that every expert is touched."""


alone = st.just(Layout())


def close(value: Any) -> Any:
    return pytest.approx(float(value), rel=ROUNDING, abs=0)


def plan(model: ModelShape, layout: Layout | None = None, quantization: Quantization = PRESETS["bf16"]) -> Plan:
    return Plan.of(model, layout or Layout(), quantization, accelerator("h100-sxm").numbers())


def term(step: Step, name: str) -> list[Operation]:
    return [item for item in step.items if isinstance(item, Operation) and item.term == name]


def transfers(step: Step) -> list[Transfer]:
    return [item for item in step.items if isinstance(item, Transfer)]


# -- arithmetic -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", model_names())
def test_a_decoded_token_costs_two_flop_per_active_weight_and_its_pairs(name: str) -> None:
    model = load_model(name)
    matrices = model.parameters().active_matmul - counting.vector_elements(model)
    assert counting.matmul_flops(model) == 2 * matrices
    compiled = plan(model)
    for context in (1, 4096, 100_000):
        step = compiled.decode(batch=1.0, context=float(context))
        assert counting.worked(step, "flops") == close(2 * matrices + counting.mixing_flops(model, context))


@given(case=cases(layout=lambda _model, _most: alone, phase="decode"))
def test_every_matrix_is_multiplied_once_per_token(case: Case) -> None:
    model, point = case.resolved.model, case.point
    context = int(point.context)
    expected = point.batch * (counting.matmul_flops(model) + counting.mixing_flops(model, context))
    assert counting.worked(case.step, "flops") == close(expected)


@given(case=cases(layout=lambda _model, _most: alone, phase="prefill", models=model_shapes(common_mixers)))
def test_a_prefill_multiplies_every_new_token_and_heads_the_last_one(case: Case) -> None:
    """The head sees each prompt's last token only; every query meets the keys before it and itself."""
    model, point = case.resolved.model, case.point
    mixers = [mixer for mixer, _ in counting.mixers(model)]
    assume(not any(isinstance(mixer, LatentAttention) for mixer in mixers))
    # Slices are all counted as the middle one, which under a window is not what they have on average.
    assume(case.resolved.slice is None or not any(getattr(mixer, "window", None) for mixer in mixers))
    cached, new = int(point.cached) % 100, int(point.context) % 100 + 1
    case = case.at(context=float(cached + new), cached=float(cached))
    head = 2 * model.head.elements
    linear = new * (counting.matmul_flops(model) - head) + head
    pairs = sum(counting.mixing_flops(model, cached + position) for position in range(1, new + 1))
    assert counting.worked(case.step, "flops") == close(point.batch * (linear + pairs))


def test_latent_prefill_takes_the_cheaper_of_two_ways() -> None:
    """Absorbed, a pair costs 2·heads·(2·kv_rank + rope); rebuilt, 2·heads·(nope + rope + value) and every cached token
    once more its up-projection. Few new tokens behind a long prefix are cheaper absorbed.
    """
    mixer = LatentAttention(heads=4, q_rank=None, kv_rank=32, nope_dim=8, rope_dim=4, value_dim=8)
    model = ModelShape(name="a toy", hidden=16, vocab=10, layers=(Layer(mixer=mixer, feed_forward=None),), tied=False)
    absorbed, rebuilt, rebuild = 2 * 4 * (2 * 32 + 4), 2 * 4 * (8 + 4 + 8), 2 * 32 * 4 * (8 + 8)
    assert (mixer.pair_flops, mixer.rebuilt_pair_flops, mixer.rebuild_flops) == (absorbed, rebuilt, rebuild)
    short = plan(model).prefill(batch=1.0, prompt=1001.0, cached=1000.0)
    assert [item.flops for item in term(short, "attention")] == [1001 * absorbed]
    long = plan(model).prefill(batch=1.0, prompt=1000.0, cached=10.0)
    pairs = (1000 * 1001 - 10 * 11) / 2
    assert [item.flops for item in term(long, "attention")] == [pairs * rebuilt + 10 * rebuild]


# -- bytes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", model_names())
def test_a_large_batch_reads_every_weight_but_the_input_embedding(name: str) -> None:
    model = load_model(name)
    for preset in ("bf16", "fp8", "w4a16", "nvfp4"):
        step = plan(model, None, PRESETS[preset]).decode(batch=MANY, context=1.0)
        assert counting.worked(step, "weights") == close(counting.every_weight(model, PRESETS[preset]))


@pytest.mark.parametrize("name", ["llama-3.1-70b", "deepseek-v3", "mixtral-8x7b", "qwen3-32b"])
def test_the_weights_read_are_the_parameters_counted(name: str) -> None:
    """From the parameter counts alone: all but the input embedding and the norms, which are no matrices."""
    model = load_model(name)
    counts = model.parameters()
    norms = sum(count * sum(v.elements for v in layer.vectors(model.hidden)) for layer, count in model.groups())
    step = plan(model).decode(batch=MANY, context=1.0)
    assert norms < 1e-3 * counts.total
    outside = sum(vector.elements for vector in model.extra)
    assert counting.worked(step, "weights") == close(2 * (counts.total - counts.embedding - norms - outside))


@given(case=cases(layout=lambda _model, _most: alone, phase="decode"))
def test_every_weight_is_read_once_however_many_sequences(case: Case) -> None:
    step = case.at(batch=MANY).step
    expected = counting.every_weight(case.resolved.model, case.resolved.quantization)
    assert counting.worked(step, "weights") == close(expected)


@pytest.mark.parametrize("name", model_names())
def test_a_decode_step_reads_the_cache_and_writes_one_key(name: str) -> None:
    model = load_model(name)
    for kv_cache in ("bf16", "fp8"):
        compiled = plan(model, None, PRESETS["bf16"].with_(kv_cache=kv_cache))
        for context in (1, 100, 20_000):
            step = compiled.decode(batch=7.0, context=float(context))
            assert counting.worked(step, "cache") == close(7 * counting.cache_traffic(model, context, kv_cache))


@pytest.mark.parametrize("name", ["llama-3.1-70b", "deepseek-v3", "gpt-oss-120b", "qwen3-235b-a22b"])
def test_the_cache_read_is_the_cache_kept(name: str) -> None:
    """Full and windowed attention read all that they keep, of every sequence, and add one key."""
    model = load_model(name)
    written = sum(mixer.key_elements * count for mixer, count in counting.mixers(model)) * width("fp8")
    for context in (1, 100, 20_000):
        step = plan(model, None, PRESETS["fp8"]).decode(batch=7.0, context=float(context))
        assert counting.worked(step, "cache") == close(7 * (model.kv_bytes(context, "fp8") + written))


@given(case=cases(layout=lambda _model, _most: alone, phase="decode"))
def test_caches_are_read_whole_and_states_are_read_and_written(case: Case) -> None:
    cached = case.resolved.quantization.kv_cache
    expected = counting.cache_traffic(case.resolved.model, int(case.point.context), cached)
    assert counting.worked(case.step, "cache") == close(case.point.batch * expected)


def test_a_state_is_read_where_there_is_one_in_the_format_it_is_kept_in() -> None:
    """Two heads of 8 · 4 and filters over 3 earlier inputs of 2 · 8 + 8 channels: a prompt begins with none."""
    mixer = GatedDeltaNet(key_heads=1, value_heads=2, key_dim=8, value_dim=4, filter_length=4)
    assert (mixer.recurrent_elements, mixer.convolution_elements) == (2 * 8 * 4, 3 * (2 * 8 + 8))
    model = ModelShape(name="a toy", hidden=16, vocab=10, layers=(Layer(mixer=mixer, feed_forward=None),), tied=False)
    for name, size in (("fp32", 4), ("bf16", 2), ("fp8", 1)):
        compiled = plan(model, None, PRESETS["bf16"].with_(state=name))
        held = 3 * (64 * size + 72 * 2)
        (token,) = term(compiled.decode(batch=3.0, context=50.0), "state")
        (whole,) = term(compiled.prefill(batch=3.0, prompt=50.0, cached=0.0), "state")
        (rest,) = term(compiled.prefill(batch=3.0, prompt=50.0, cached=20.0), "state")
        assert (token.cache, whole.cache, rest.cache) == (2 * held, held, 2 * held)
        assert (token.stored, token.fewest_cache, whole.fewest_cache) == (name, 2 * held, held)
        slices = compiled.prefill(batch=3.0, prompt=50.0, cached=0.0, slice=30.0)
        assert {item.cache / item.flops for item in term(slices, "state")} == {2 * held / 3 / (30 * mixer.state_flops)}
        assert model.cache_bytes(50, "bf16", name) * 3 == held


def test_a_layer_that_reads_an_earlier_cache_writes_none() -> None:
    own = Attention(heads=2, kv_heads=1, key_dim=8, value_dim=8)
    borrowed = own.model_copy(update={"shares_kv": True})
    layers = tuple(Layer(mixer=mixer, feed_forward=None) for mixer in (own, borrowed))
    model = ModelShape(name="a toy", hidden=16, vocab=10, layers=layers, tied=False)
    step = plan(model).decode(batch=3.0, context=50.0)
    key = (8 + 8) * 2
    assert counting.worked(step, "cache") == 3 * (2 * 50 * key + key)


def fewest(mixer: Mixer, **load: float) -> float:
    """Keys that no implementation can avoid to move: of one sequence, by `new` tokens after `cached`."""
    key = mixer.key_elements
    layers = (Layer(mixer=mixer, feed_forward=None),)
    compiled = plan(ModelShape(name="a toy", hidden=16, vocab=10, layers=layers, tied=False), None, PRESETS["fp8"])
    new, cached = load["new"], load["cached"]
    decode = compiled.decode(batch=3.0, context=cached + new, new=new)
    prompt = compiled.prefill(batch=3.0, prompt=cached + new, cached=cached)
    moved = {counting.worked(step, "fewest_cache") / (3 * key) for step in (decode, prompt)}
    assert all(
        item.fewest_cache <= item.cache
        for step in (decode, prompt)
        for item in step.items
        if isinstance(item, Operation)
    )
    (same,) = moved
    return same


def test_what_was_cached_is_read_once_and_what_is_new_is_written_once() -> None:
    """A token reads 49 earlier keys and writes its own, though kernels write 1 and then read 50; a prompt of 50 writes
    50, of which a window keeps 8. A layer that reads another's cache writes nothing.
    """
    full = Attention(heads=2, kv_heads=1, key_dim=8, value_dim=8)
    narrow = full.model_copy(update={"window": 8})
    assert fewest(full, new=1.0, cached=49.0) == 49 + 1
    assert fewest(full, new=4.0, cached=49.0) == 49 + 4
    assert fewest(full, new=50.0, cached=0.0) == 50
    assert fewest(narrow, new=1.0, cached=49.0) == 7 + 1
    assert fewest(narrow, new=50.0, cached=0.0) == 8
    assert fewest(full.model_copy(update={"shares_kv": True}), new=2.0, cached=49.0) == 49
    chosen = full.model_copy(update={"indexer": Indexer(heads=1, dim=16, top_k=5)})
    assert fewest(chosen, new=1.0, cached=49.0) == 4 + 1 + 50  # its index keys are as wide as its keys


def test_what_no_one_can_avoid_of_compressed_keys() -> None:
    """A window of 8 tokens and a summary of every 4 before them: the 52nd token completes the thirteenth."""
    mixer = CompressedAttention(
        heads=2, q_rank=4, head_dim=8, window=8, ratio=4, indexer=None, output_groups=1, output_rank=4
    )
    assert fewest(mixer, new=1.0, cached=51.0) == 7 + 12 + 1 + 1
    assert fewest(mixer, new=1.0, cached=52.0) == 7 + 13 + 1
    assert fewest(mixer, new=20.0, cached=0.0) == 8 + 5


@pytest.mark.parametrize(("window", "pairs"), [(None, 50 + 51 + 52), (51, 50 + 51 + 51), (8, 24)])
def test_drafts_are_verified_against_the_keys_before_them(window: int | None, pairs: int) -> None:
    """Three new tokens that end at 52 see 50, 51 and 52 keys, no further than the window: 4 · 8 FLOP for each head."""
    indexer = Indexer(heads=3, dim=16, top_k=52)
    mixer = Attention(heads=2, kv_heads=1, key_dim=8, value_dim=8, window=window, indexer=indexer)
    model = ModelShape(name="a toy", hidden=16, vocab=10, layers=(Layer(mixer=mixer, feed_forward=None),), tied=False)
    step = plan(model).decode(batch=5.0, context=52.0, new=3.0)
    assert counting.worked(step, "flops", terms=("attention", "indexer")) == 5 * pairs * (4 * 2 * 8 + 2 * 3 * 16)


def test_every_rank_scores_every_index_key_in_fp8() -> None:
    """DeepSeek-V3.2, 61 layers on eight ranks: 64 heads of 128 on each of 4096 keys of 128 B; an eighth would do."""
    for tp in (1, 8):
        step = plan(load_model("deepseek-v3.2"), Layout(tp=tp), PRESETS["fp8"]).decode(batch=2.0, context=4096.0)
        (search,) = term(step, "indexer")
        flops, keys = 2 * 4096 * 2 * 64 * 128, 2 * 4096 * 128
        assert (search.flops, search.cache, search.computed) == (flops, keys, "fp8")
        assert (search.fewest_flops, search.fewest_cache) == (flops / tp, keys / tp)
        assert search.activations == 2 * 64 * 128
        assert search.kernel_class == "matmul"
        assert sum(count for item, count in zip(step.items, step.path, strict=True) if item is search) == 61
    prompt = plan(load_model("deepseek-v3.2"), Layout(tp=8)).prefill(batch=2.0, prompt=100.0, cached=40.0)
    (search,) = term(prompt, "indexer")
    assert search.flops == 2 * (100 * 101 - 40 * 41) / 2 * 2 * 64 * 128


# -- mixtures of experts ----------------------------------------------------------------------------------------------


@given(mixture=mixtures(zero_experts=False), batch=st.integers(1, 500))
def test_experts_touched_lie_between_one_tokens_and_all(mixture: MoE, batch: int) -> None:
    """At least those of one token, at most all there are and at most as many as there are choices."""
    model = ModelShape(name="a toy", hidden=16, vocab=10, layers=(Layer(mixer=None, feed_forward=mixture),), tied=False)
    (routed,) = term(plan(model).decode(batch=float(batch), context=1.0), "routed_experts")
    one = sum(matrix.elements for matrix in mixture.expert_matrices(16)) * 2
    touched = routed.weights / one
    assert mixture.top_k * (1 - ROUNDING) <= touched
    assert touched <= min(mixture.experts, mixture.top_k * batch) * (1 + ROUNDING)
    assert routed.fewest_weights / one == close(mixture.top_k)
    assert routed.fewest_flops == routed.flops


@given(network=dense_networks, batch=st.integers(1, 500), tp=st.sampled_from([1, 2, 4]))
def test_one_expert_that_is_always_chosen_is_a_dense_network(network: Dense, batch: int, tp: int) -> None:
    def model(feed_forward: Dense | MoE) -> ModelShape:
        layer = Layer(mixer=None, feed_forward=feed_forward)
        return ModelShape(name="a toy", hidden=16, vocab=10, layers=(layer,), tied=False)

    mixture = MoE(experts=1, top_k=1, expert_width=network.width, gated=network.gated)
    point = {"batch": float(batch), "context": 1.0}
    one = plan(model(mixture), Layout(tp=tp)).decode(**point)
    dense = plan(model(network), Layout(tp=tp)).decode(**point)
    for field in ("flops", "weights", "fewest_flops", "fewest_weights"):
        routed = counting.worked(one, field, terms=("routed_experts",))
        assert routed == close(counting.worked(dense, field, terms=("dense_ffn",)))


def test_experts_that_weigh_nothing_cost_nothing() -> None:
    """Of four choices among two real and six empty experts, one in four falls on a real one, and all may miss them."""
    mixture = MoE(experts=2, top_k=4, expert_width=8, zero_experts=6, gated=False)
    model = ModelShape(name="a toy", hidden=16, vocab=10, layers=(Layer(mixer=None, feed_forward=mixture),), tied=False)
    (routed,) = term(plan(model).decode(batch=10.0, context=1.0), "routed_experts")
    elements = 2 * 16 * 8
    assert routed.flops == 10 * 2 * elements * 4 * 2 / 8
    assert routed.weights == close(2 * elements * distinct_experts(2, 1, 10))
    assert (routed.fewest_flops, routed.fewest_weights) == (0, 0)


def test_the_fullest_rank_of_uneven_experts_decides() -> None:
    """Five experts on four ranks: one rank has two of them and works for 2 · 4 / 5 = 1.6 of the mean."""
    mixture = MoE(experts=5, top_k=5, expert_width=8)
    model = ModelShape(name="a toy", hidden=16, vocab=10, layers=(Layer(mixer=None, feed_forward=mixture),), tied=False)
    (spread,) = term(plan(model, Layout(tp=4, ep=4)).decode(batch=3.0, context=1.0), "routed_experts")
    (cut,) = term(plan(model, Layout(tp=4)).decode(batch=3.0, context=1.0), "routed_experts")
    assert cut.weights == 5 * (3 * 16 * 8) * 2 / 4
    assert spread.weights == close(cut.weights * 1.6)
    assert spread.flops == close(cut.flops * 1.6)
    assert (spread.fewest_flops, spread.fewest_weights) == (cut.fewest_flops, cut.fewest_weights)


def test_the_fullest_rank_of_uneven_experts_is_sent_more() -> None:
    """Five experts on four ranks: to the one that has two of them go 1.6 times the rows that go to each of four alike,
    and of a prompt, whose two copies reach 1 - (3 / 5) ² of the tokens there and 1 - (3 / 4) ² of them alike, 1.46.
    """

    def sent(experts: int, phase: str) -> list[Any]:
        mixture = MoE(experts=experts, top_k=2, expert_width=8)
        layers = (Layer(mixer=None, feed_forward=mixture),)
        model = ModelShape(name="a toy", hidden=16, vocab=10, layers=layers, tied=False)
        spread = plan(model, Layout(dp=4, ep=4))
        step = (
            spread.decode(batch=4.0, context=1.0)
            if phase == "decode"
            else spread.prefill(batch=4.0, prompt=64.0, cached=0.0)
        )
        return [item.size for name in ("dispatch", "combine") for item in term(step, name)]

    for phase, times in (("decode", 1.6), ("prefill", (1 - (3 / 5) ** 2) / (1 - (3 / 4) ** 2))):
        for uneven, even in zip(sent(5, phase), sent(8, phase), strict=True):
            assert uneven == close(times * even)


@pytest.mark.parametrize("rows", [1.0, 64.0, 128.0, 200.0, 512.0, 4096.0])
def test_small_sums_cross_in_16_bits_whatever_the_format_of_large_ones(rows: float) -> None:
    """8,192 elements: compressed from 2 MiB of 16 bits on, which are 128 rows, and no smaller than that then."""
    model = load_model("llama-3.1-70b")
    narrow = PRESETS["bf16"].with_(all_reduce="int4")
    pairs = [
        next(item for item in transfers(plan(model, Layout(tp=8), formats).decode(batch=rows, context=1.0)))
        for formats in (narrow, PRESETS["bf16"])
    ]
    compressed, wide = (float(each.size) for each in pairs)
    assert wide == rows * 8192 * 2
    each = float(width("int4"))
    assert compressed == (wide if rows <= 128 else max(2 * 2**20, rows * 8192 * each))
    assert float(pairs[0].fewest) == close(rows * 8192 * each)


@pytest.mark.parametrize("prompt", [8.0, 4096.0])
def test_the_sums_of_a_prompt_s_experts_are_never_larger_in_4_bits(prompt: float) -> None:
    """Experts cut over tensor ranks, of whose tokens each is sent to a rank once; and rows that are parted."""
    model, layout = load_model("deepseek-v3"), Layout(tp=4, dp=4, ep=4)
    found = {
        each: plan(model, layout, PRESETS["bf16"].with_(all_reduce=each)).prefill(batch=4.0, prompt=prompt, cached=0.0)
        for each in ("bf16", "int4")
    }
    ratio = float(width("int4") / 2)
    sums = [
        (float(wide.size), float(narrow.size))
        for wide, narrow in zip(transfers(found["bf16"]), transfers(found["int4"]), strict=True)
        if wide.term in ("all_reduce", "reduce_scatter")
    ]
    assert len(sums) > 2
    for wide, narrow in sums:
        assert narrow == close(min(wide, max(wide * ratio, 2 * 2**20)))
    assert any(narrow == wide for wide, narrow in sums) == (prompt == 8)
    assert any(narrow < wide for wide, narrow in sums) == (prompt > 8)


def test_a_full_norm_reads_and_writes_the_queries_and_keys_of_a_rank() -> None:
    """In 16 bits; eight queries and two keys of 16 elements, of which four ranks have a key each. Ranks read them once
    more before, to sum their squares."""
    for tp, elements, times in ((1, 10 * 16, 2), (2, 5 * 16, 3), (4, 3 * 16, 3)):
        moved = []
        for norm in ("none", "full"):
            mixer = Attention(heads=8, kv_heads=2, key_dim=16, value_dim=16, qk_norm=norm)  # type: ignore[arg-type]
            layers = (Layer(mixer=mixer, feed_forward=None),)
            model = ModelShape(name="a toy", hidden=64, vocab=10, layers=layers, tied=False)
            step = plan(model, Layout(tp=tp)).decode(batch=3.0, context=1.0)
            moved.append(sum(float(item.activations) for item in term(step, "elementwise")))  # type: ignore[arg-type]
        assert moved[1] - moved[0] == close(3 * times * elements * 2)


@pytest.mark.parametrize(
    ("shared", "latent", "alike"),
    [(8, None, True), (16, None, True), (12, None, False), (0, None, False), (8, 4, False)],
)
def test_only_shared_experts_like_routed_ones_are_launched_with_them(
    shared: int, latent: int | None, alike: bool
) -> None:
    mixture = MoE(experts=4, top_k=2, expert_width=8, shared_width=shared, latent_width=latent)
    layers = (Layer(mixer=None, feed_forward=mixture),)
    model = ModelShape(name="a toy", hidden=16, vocab=10, layers=layers, tied=False)
    plain, fused = launches(Layout(), model), launches(Layout(), model, "shared_experts")
    assert (plain != fused) == alike
    assert fused.get("shared_experts", 0) == (0 if alike or not shared else plain["shared_experts"])


def test_a_norm_of_queries_and_keys_is_a_kernel_of_its_own_and_summed_over_ranks_where_it_is_over_all_heads() -> None:
    """Two squares in 32 bits for each token cross between tensor ranks, after a kernel that sums those of a rank."""
    steps = {}
    norms: tuple[Literal["none", "head", "each", "full"], ...] = ("none", "head", "each", "full")
    for norm in norms:
        mixer = Attention(heads=8, kv_heads=2, key_dim=16, value_dim=16, qk_norm=norm)
        model = ModelShape(
            name="a toy", hidden=64, vocab=10, layers=(Layer(mixer=mixer, feed_forward=None),), tied=False
        )
        for tp in (1, 2):
            step = plan(model, Layout(tp=tp)).decode(batch=3.0, context=1.0)
            launched = sum(
                item.kernels * count
                for item, count in zip(step.items, step.path, strict=True)
                if isinstance(item, Operation) and item.term == "elementwise"
            )
            sums = sorted(float(item.size) for item in transfers(step) if item.collective == "all_reduce")
            steps[norm, tp] = launched, sums
    for tp in (1, 2):
        assert steps["head", tp] == steps["each", tp] == (steps["none", tp][0] + 1, steps["none", tp][1])
        assert steps["full", tp][0] == steps["head", tp][0] + (tp - 1)
    assert steps["full", 1][1] == steps["none", 1][1] == []
    assert steps["full", 2][1] == [3 * 8.0, *steps["none", 2][1]]


def launches(layout: Layout, model: ModelShape, *fused: Fused) -> dict[str, float]:
    """Kernels that one rank launches in a step, by term; collectives apart [1]."""
    machine = accelerator("h100-sxm").numbers()
    step = Plan.of(model, layout, PRESETS["bf16"], machine, fused=fused).decode(batch=4.0, context=64.0)
    found: dict[str, float] = {}
    for item, count in zip(step.items, step.path, strict=True):
        if isinstance(item, Operation):
            found[item.term] = found.get(item.term, 0.0) + float(item.kernels) * count  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(
    ("name", "layout", "spared"),
    [
        ("llama-3.1-70b", Layout(tp=4), 2 * 80),  # behind the sum of attention and that of the network
        ("llama-3.1-70b", Layout(), 0),  # no sums
        ("llama-3.1-8b", Layout(tp=4), 0),  # narrow hidden states
        ("deepseek-v3", Layout(tp=2, dp=2, ep=4), 2 * 3),  # rows are parted behind all but dense layers
    ],
)
def test_norms_may_be_launched_with_the_sums_before_them(name: str, layout: Layout, spared: int) -> None:
    model = load_model(name)
    plain, fused = launches(layout, model), launches(layout, model, "norms")
    assert plain.pop("elementwise") - fused.pop("elementwise") == spared
    assert plain == fused


def test_norms_of_narrow_hidden_states_may_be_launched_so_too() -> None:
    """Where a stack says it of them; by itself that says nothing."""
    model, layout = load_model("llama-3.1-8b"), Layout(tp=4)
    plain, fused = launches(layout, model), launches(layout, model, "norms", "narrow_norms")
    assert plain["elementwise"] - fused["elementwise"] == 2 * 32
    assert launches(layout, model, "narrow_norms") == plain


@pytest.mark.parametrize(
    ("name", "layout", "spared"),
    [
        ("deepseek-v3", Layout(tp=8), True),
        ("deepseek-v3", Layout(tp=8, ep=8), False),  # whole experts on other ranks
        ("qwen3.5-397b-a17b", Layout(tp=8), False),  # weighed by a gate of their own
        ("gpt-oss-120b", Layout(tp=8), False),  # there are none
    ],
)
def test_shared_experts_may_be_launched_with_routed_ones(name: str, layout: Layout, spared: bool) -> None:
    model = load_model(name)
    plain, fused = launches(layout, model), launches(layout, model, "shared_experts")
    layers = sum(count for layer, count in model.groups() if isinstance(layer.feed_forward, MoE))
    if spared:
        assert plain.pop("shared_experts") - fused.pop("shared_experts") == 2 * layers
        assert plain.pop("elementwise") - fused.pop("elementwise") == layers
    assert plain == fused


def test_what_is_fused_moves_and_computes_as_much() -> None:
    model, machine = load_model("deepseek-v3"), accelerator("h100-sxm").numbers()
    steps = [
        Plan.of(model, Layout(tp=8), PRESETS["bf16"], machine, fused=fused).decode(batch=4.0, context=64.0)
        for fused in ((), ("norms", "shared_experts"))
    ]
    for field in ("flops", "weights", "cache", "activations", "fewest_flops", "fewest_weights", "fewest_cache"):
        assert counting.worked(steps[0], field) == close(counting.worked(steps[1], field))


def test_ranks_with_whole_experts_wait_for_the_busiest() -> None:
    """Cut over the same devices, all of them read the same; whole on them, one reads more than the mean."""
    mixture = MoE(experts=64, top_k=4, expert_width=8)
    model = ModelShape(name="a toy", hidden=16, vocab=10, layers=(Layer(mixer=None, feed_forward=mixture),), tied=False)
    one = 3 * 16 * 8 * 2

    def read(layout: Layout, batch: float) -> Any:
        (routed,) = term(plan(model, layout).decode(batch=batch, context=1.0), "routed_experts")
        return routed.weights / one

    assert read(Layout(tp=8), 4.0) == close(distinct_experts(64, 4, 4) / 8)
    busiest = busiest_rank_experts(64, distinct_experts(64, 4, 4), 4, 8, largest_deviate(8))
    assert read(Layout(tp=8, ep=8), 4.0) == close(busiest)
    assert busiest > 1.5 * distinct_experts(64, 4, 4) / 8
    for ep in (2, 4):
        one_of = busiest_rank_experts(64, distinct_experts(64, 4, 4), 4, 64 / ep, largest_deviate(ep)) / (8 / ep)
        assert read(Layout(tp=8, ep=ep), 4.0) == close(one_of)
    for many in (Layout(tp=8), Layout(tp=8, ep=8)):
        assert read(many, 5000.0) == close(8)


@pytest.mark.parametrize("skew", [0.0, 0.9])
def test_the_rank_with_the_most_rows_is_waited_for(skew: float) -> None:
    """It computes them, moves them, is sent them and sends them back: each on its own, or of prompts each token once.

    What no one can avoid is the mean.
    """
    mixture = MoE(experts=64, top_k=4, expert_width=8, expert_groups=8, chosen_groups=4)
    model = ModelShape(name="a toy", hidden=16, vocab=10, layers=(Layer(mixer=None, feed_forward=mixture),), tied=False)
    machine = accelerator("h100-sxm").numbers()
    even, skewed = (Plan.of(model, Layout(dp=8, ep=8), PRESETS["bf16"], machine, skew=each) for each in (0.0, skew))
    rows = fullest_rank_rows(64, 4, 8, largest_deviate(8), skew)
    tokens = fullest_rank_reached(8, 4, 8, 4, rows)
    assert (rows == 1) == (tokens == 1) == (skew == 0)
    for phase, sent in (("decode", rows), ("prefill", tokens)):
        asked = {"batch": 800.0} | ({"context": 1.0} if phase == "decode" else {"prompt": 10.0, "cached": 0.0})
        before, after = (getattr(compiled, phase)(**asked) for compiled in (even, skewed))
        for name in ("routed_experts", "routed_rows"):
            (one,), (other,) = term(before, name), term(after, name)
            assert other.flops == close(one.flops * rows)
            assert other.activations == close(one.activations * rows)
            assert other.fewest_flops == close(one.fewest_flops)
        pairs = list(zip(transfers(before), transfers(after), strict=True))
        assert {one.term for one, _ in pairs} == {"dispatch", "combine"}
        for one, other in pairs:
            assert other.size == close(one.size * sent)
            assert other.once == one.once


def test_skewed_routing_reads_fewer_experts_and_computes_as_much_on_one_rank() -> None:
    """Read are those of the busiest of two; below one millionth, and where a token takes all experts, as without."""

    def routed(skew: float, top_k: int = 4, ep: int = 1) -> Operation:
        mixture = MoE(experts=64, top_k=top_k, expert_width=8)
        layers = (Layer(mixer=None, feed_forward=mixture),)
        model = ModelShape(name="a toy", hidden=16, vocab=10, layers=layers, tied=False)
        compiled = Plan.of(model, Layout(tp=ep, ep=ep), PRESETS["bf16"], accelerator("h100-sxm").numbers(), skew=skew)
        (found,) = term(compiled.decode(batch=16.0, context=1.0), "routed_experts")
        return found

    one = 3 * 16 * 8 * 2
    even, skewed = routed(0.0), routed(0.8)
    assert skewed.weights / one == close(skewed_experts(64, 4, 16, 0.8))
    assert skewed._replace(weights=even.weights) == even
    half = busiest_rank_experts(64, skewed_experts(64, 4, 16, 0.8), 16, 32, largest_deviate(2))
    assert routed(0.8, ep=2).weights / one == close(half)
    assert routed(1e-7).weights == even.weights
    assert routed(2e-6).weights == pytest.approx(float(even.weights), rel=1e-5)
    assert routed(0.8, top_k=64) == routed(0.0, top_k=64)


@pytest.mark.parametrize(
    ("new", "cached", "window", "longest"),
    [
        (1000, 0, None, 128 * 1000),
        (5, 0, None, 5 * 5),
        (10, 90, None, 10 * 100),
        (1000, 0, 64, 128 * 64),
    ],
)
def test_the_longest_block_has_the_last_queries_of_one_head(
    new: int, cached: int, window: int | None, longest: float
) -> None:
    """4 · 16 FLOP for each pair of a query and a key of one of 8 heads, on one rank or on two; none in decode."""
    mixer = Attention(heads=8, kv_heads=2, key_dim=16, value_dim=16, window=window)
    layers = (Layer(mixer=mixer, feed_forward=None),)
    model = ModelShape(name="a toy", hidden=16, vocab=10, layers=layers, tied=False)
    for tp in (1, 2):
        compiled = plan(model, Layout(tp=tp))
        (prompt,) = term(compiled.prefill(batch=3.0, prompt=float(new + cached), cached=float(cached)), "attention")
        (decode,) = term(compiled.decode(batch=3.0, context=100.0), "attention")
        assert prompt.longest == close(longest * 4 * 16)
        assert decode.longest == 0


def test_the_longest_block_of_latent_attention_is_of_the_cheaper_form() -> None:
    """Keys of 128 + 64 and values of 128 rebuilt, not 512 + 64 and 512."""
    (prompt,) = term(plan(load_model("deepseek-v3")).prefill(batch=1.0, prompt=4096.0, cached=0.0), "attention")
    assert prompt.longest == close(128 * 4096 * 2 * (128 + 64 + 128))


def toy(feed_forward: Any, **more: Any) -> ModelShape:
    layers = (Layer(mixer=None, feed_forward=feed_forward),)
    return ModelShape(name="a toy", hidden=16, vocab=10, layers=layers, tied=False, **more)


def test_ranks_that_exchange_and_cut_experts_sum_their_parts_of_what_each_was_sent() -> None:
    """Four devices, two with the same experts: 3 tokens on each data rank, two copies of each of 16 elements."""
    model = toy(MoE(experts=12, top_k=10, expert_width=8))
    step = plan(model, Layout(tp=2, dp=2, ep=2)).decode(batch=6.0, context=1.0)
    sums = [item for item in transfers(step) if item.collective == "all_reduce" and item.fewest == 0]
    assert sums == [Transfer("all_reduce", "all_reduce", 3 * 2 * 16 * 2, 0, 2)]


@pytest.mark.parametrize(("ep", "distinct"), [(4, 3 * (1 - (2 / 3) ** 10)), (8, 6 * (1 - (5 / 6) ** 10))])
def test_prompts_send_a_row_to_a_rank_once_and_decode_sends_each_copy(ep: int, distinct: float) -> None:
    """Four rows of 16 elements on each of eight ranks, ten experts a token, each expert on 8 / ep of the ranks.

    Ten draws from three of four groups miss each of the three with (2/3)^10, and each of the six ranks with (5/6)^10.
    """
    mixture = MoE(experts=16, top_k=10, expert_width=8, expert_groups=4, chosen_groups=3)
    compiled = plan(toy(mixture), Layout(dp=8, ep=ep))
    prompts, decode = compiled.prefill(batch=8.0, prompt=4.0, cached=0.0), compiled.decode(batch=8.0, context=4.0)
    found = {item.term: item for item in transfers(prompts) if item.collective == "all_to_all"}
    for term, times in (("dispatch", 8 / ep), ("combine", 1)):
        assert (found[term].copies, found[term].once) == (10, 4 * 16 * 2)
        assert found[term].size == close(4 * 16 * 2 * distinct * times)
        assert (found[term].expert_groups, found[term].chosen_groups) == (4, 3)
    exchanged = {item.term: item for item in transfers(decode) if item.collective == "all_to_all"}
    assert {(item.copies, item.once) for item in exchanged.values()} == {(1, 0)}
    assert exchanged["combine"].size == 16 * 2 * ep
    sums = [item.size for item in transfers(prompts) if item.collective == "all_reduce"]
    assert sums == ([close(4 * 16 * 2 * distinct * 2)] if ep == 4 else [])


def test_a_prompt_of_one_node_is_sent_to_the_ranks_that_have_some_of_its_experts() -> None:
    """Eight experts a token are expected on 8 · (1 - (7/8)^8) = 5.25 of eight ranks; in decode eight copies go."""
    compiled = plan(toy(MoE(experts=64, top_k=8, expert_width=8)), Layout(dp=8, ep=8))
    steps = compiled.prefill(batch=8.0, prompt=4.0, cached=0.0), compiled.decode(batch=32.0, context=4.0)
    prompt, decode = ({item.term: item.size for item in transfers(step)} for step in steps)
    for term in ("dispatch", "combine"):
        assert decode[term] == 4 * 16 * 2 * 8
        assert prompt[term] == close(4 * 16 * 2 * 8 * (1 - (7 / 8) ** 8))


@pytest.mark.parametrize(("ep", "rows", "cut"), [(1, 60, 4), (2, 30, 2), (4, 15, 1)])
def test_rows_are_routed_wherever_experts_are_exchanged_too(ep: int, rows: float, cut: int) -> None:
    """6 tokens of four devices with ten experts each: 60 rows where experts are cut over all, a share of them else."""
    model = toy(MoE(experts=12, top_k=10, expert_width=8))
    step = plan(model, Layout(tp=2, dp=2, ep=ep)).decode(batch=6.0, context=1.0)
    (routing,) = term(step, "routed_rows")
    assert routing.activations == close(rows * routed_row_bytes(16, 16 / cut, 8 / cut, 2, 2))


def test_rows_are_as_wide_as_the_experts_inputs_and_in_the_format_of_their_products() -> None:
    """Experts stored in 4 bits and multiplied in 16, on a latent space of 4 of 16 elements."""
    mixture = MoE(experts=12, top_k=10, expert_width=8, latent_width=4)
    step = plan(toy(mixture), None, Quantization(weights="bf16", experts="mxfp4")).decode(batch=3.0, context=1.0)
    (products,), (routing,) = term(step, "routed_experts"), term(step, "routed_rows")
    assert (products.stored, products.computed) == ("mxfp4", "bf16")
    assert products.activations == close(30 * expert_row_bytes(4, 16, 8, 2, 2))
    assert routing.activations == close(30 * routed_row_bytes(4, 16, 8, 2, 2))


def test_an_embedding_is_summed_over_all_who_hold_a_part_of_it() -> None:
    model = load_model("llama-3.1-8b")
    step = plan(model, Layout(tp=2, pp=2, vocab=2)).decode(batch=2.0, context=1.0)
    assert {item.ranks for item in transfers(step) if item.collective == "all_reduce"} == {2, 4}


@pytest.mark.parametrize("gated", [True, False])
def test_ranks_that_cut_an_expert_see_its_rows_whole(gated: bool) -> None:
    """30 rows of 3 tokens: each of four ranks sees all of them, 16 elements wide, and a quarter of what is between."""
    mixture = MoE(experts=12, top_k=10, expert_width=8, gated=gated)
    model = ModelShape(name="a toy", hidden=16, vocab=10, layers=(Layer(mixer=None, feed_forward=mixture),), tied=False)
    columns = 16 if gated else 8
    for layout, rows, cut in ((Layout(), 30, 1), (Layout(tp=4), 30, 4), (Layout(tp=4, ep=4), 7.5, 1)):
        for wide, quantization in ((2, PRESETS["bf16"]), (1, PRESETS["fp8"])):
            step = plan(model, layout, quantization).decode(batch=3.0, context=1.0)
            (products,), (routing,) = term(step, "routed_experts"), term(step, "routed_rows")
            one = (16, columns / cut, 8 / cut, wide, HIDDEN_WIDTH)
            assert products.activations == close(rows * expert_row_bytes(*one))
            assert routing.activations == close(rows * routed_row_bytes(*one))
            assert (routing.flops, routing.weights, routing.cache, routing.kernels) == (0, 0, 0, 0)
            assert (routing.fewest_flops, routing.fewest_weights) == (0, 0)


def test_rows_of_empty_experts_are_not_routed() -> None:
    mixture = MoE(experts=2, top_k=4, expert_width=8, zero_experts=6, gated=False)
    model = ModelShape(name="a toy", hidden=16, vocab=10, layers=(Layer(mixer=None, feed_forward=mixture),), tied=False)
    (routing,) = term(plan(model).decode(batch=10.0, context=1.0), "routed_rows")
    assert routing.activations == close(10 * routed_row_bytes(16, 8, 8, 2, 2))


def test_the_fullest_rank_routes_the_most_rows() -> None:
    mixture = MoE(experts=5, top_k=5, expert_width=8)
    model = ModelShape(name="a toy", hidden=16, vocab=10, layers=(Layer(mixer=None, feed_forward=mixture),), tied=False)
    (routing,) = term(plan(model, Layout(tp=4, ep=4)).decode(batch=3.0, context=1.0), "routed_rows")
    assert routing.activations == close(15 / 4 * 1.6 * routed_row_bytes(16, 16, 8, 2, 2))


# -- cut over ranks ---------------------------------------------------------------------------------------------------


@given(case=cases(phase="decode", models=model_shapes(all_mixers)))
def test_ranks_together_do_at_least_all_of_it(case: Case) -> None:
    """Cutting loses nothing: added over the ranks of a stage, weights are read at least once and every token multiplied
    at least once; what is replicated or padded comes on top.
    """
    layout, step = case.resolved.layout, case.step
    assume(layout.vocab == 1)
    share = -(-case.point.batch // layout.pp)
    whole = case.laid(tp=1, dp=1, ep=1, pp=1, vocab=1).at(batch=share).step
    for field in ("flops", "weights", "cache"):
        assert counting.worked(step, field) * layout.expert_group * (1 + ROUNDING) >= counting.worked(whole, field)


@pytest.mark.parametrize("name", ["llama-3.1-70b", "qwen3-32b", "mixtral-8x7b"])
@pytest.mark.parametrize("tp", [2, 4, 8])
def test_what_divides_is_divided_exactly(name: str, tp: int) -> None:
    """Where heads, widths and vocabulary divide, the ranks' shares add up to one copy; the router is replicated."""
    model = load_model(name)
    steps = [plan(model, Layout(tp=ranks)).decode(batch=16.0, context=1000.0) for ranks in (1, tp)]
    terms = ("attention_projections", "attention", "dense_ffn", "routed_experts", "lm_head")
    for field in ("flops", "weights", "cache"):
        one, cut = (counting.worked(step, field, terms=terms) for step in steps)
        assert cut * tp == close(one)
    one, cut = (counting.worked(step, "weights", terms=("router",)) for step in steps)
    assert one == cut


def test_key_value_heads_are_replicated_past_their_number() -> None:
    """Eight key-value heads on sixteen ranks: every rank holds one, as on eight; queries are cut further."""
    model = load_model("llama-3.1-70b")
    eight, sixteen = (plan(model, Layout(tp=tp)).decode(batch=1.0, context=4096.0) for tp in (8, 16))
    assert counting.worked(sixteen, "cache") == counting.worked(eight, "cache")
    pairs = [sum(item.flops for item in term(step, "attention")) for step in (eight, sixteen)]
    assert pairs[1] == pairs[0] / 2


def test_a_latent_is_on_every_rank() -> None:
    model = load_model("deepseek-v3")
    one, eight = (plan(model, Layout(tp=tp)).decode(batch=4.0, context=4096.0) for tp in (1, 8))
    assert counting.worked(eight, "cache") == counting.worked(one, "cache")


@pytest.mark.parametrize(
    ("split", "shape"),
    [("replicated", (12, 24)), ("rows", (3, 24)), ("columns", (12, 6)), ("heads", (12, 6)), ("kv_heads", (12, 12))],
)
def test_a_matrix_is_cut_as_its_split_says(split: Any, shape: tuple[int, int]) -> None:
    """12 × 24 over four ranks; two key-value heads of twelve columns are whole on every rank."""
    assert rank_shape(Matrix("m", 12, 24, split, "attention"), 4, 2) == shape


@pytest.mark.parametrize(("size", "tp", "held"), [(10, 4, 3), (10, 3, 4), (1, 4, 1)])
def test_what_does_not_divide_is_padded(size: int, tp: int, held: int) -> None:
    assert rank_shape(Matrix("m", size, 5, "rows", "dense_ffn"), tp, 1) == (held, 5)
    assert rank_shape(Matrix("m", 5, size, "columns", "dense_ffn"), tp, 1) == (5, held)


@given(model=model_shapes())
def test_one_rank_holds_whole_matrices(model: ModelShape) -> None:
    for layer, _ in model.groups():
        kv_heads = getattr(layer.mixer, "kv_heads", 1) or 1
        for matrix in layer.matrices(model.hidden):
            assert rank_shape(matrix, 1, kv_heads) == (matrix.inner, matrix.columns)


# -- what crosses the wires -------------------------------------------------------------------------------------------


def test_tensor_parallel_layers_reduce_twice_and_gather_logits() -> None:
    """Per layer one sum after the mixer and one after the feed-forward, of the residual stream in 16 bits; one for the
    embedding; logits are gathered, of each sequence's last token.
    """
    model = load_model("llama-3.1-8b")
    step = plan(model, Layout(tp=4)).decode(batch=3.0, context=100.0)
    counts = {item: count for item, count in zip(step.items, step.path, strict=True) if isinstance(item, Transfer)}
    sums = {item: count for item, count in counts.items() if item.collective == "all_reduce"}
    assert sum(sums.values()) == 2 * 32 + 1
    assert {(item.size, item.fewest, item.ranks) for item in sums} == {(3 * 4096 * HIDDEN_WIDTH, 3 * 4096 * 2, 4)}
    (gather,) = counts.keys() - sums.keys()
    assert (gather.collective, gather.ranks) == ("all_gather", 4)
    assert gather.size == 3 * 128256 * 2
    assert gather.fewest == gather.size * 3 / 4
    prefill = plan(model, Layout(tp=4)).prefill(batch=3.0, prompt=50.0, cached=10.0)
    sizes = {item.collective: item.size for item in transfers(prefill)}
    assert sizes == {"all_reduce": 3 * 40 * 4096 * 2, "all_gather": 3 * 128256 * 2}


@pytest.mark.parametrize(
    ("name", "sums", "needed"),
    [("falcon-40b", 120, 60), ("falcon-7b", 64, 32), ("gpt-neox-20b", 88, 44), ("command-r-plus", 128, 64)],
)
def test_one_sum_would_do_for_attention_and_network_side_by_side(name: str, sums: int, needed: int) -> None:
    """Engines make two; a floor needs one, and the embedding's."""
    model = load_model(name)
    step = plan(model, Layout(tp=4)).decode(batch=3.0, context=100.0)
    found = [(item, count) for item, count in zip(step.items, step.path, strict=True) if isinstance(item, Transfer)]
    made = [(item.fewest, count) for item, count in found if item.collective == "all_reduce"]
    assert sum(count for _, count in made) == sums + 1
    assert sum(count for fewest, count in made if fewest) == needed + 1
    apart = [layer.model_copy(update={"feed_forward": None}) for layer in model.layers]
    alone = plan(model.model_copy(update={"layers": tuple(apart)}), Layout(tp=4)).decode(batch=3.0, context=100.0)
    whole = [(item, count) for item, count in zip(alone.items, alone.path, strict=True) if isinstance(item, Transfer)]
    assert sum(count for item, count in whole if item.collective == "all_reduce" and item.fewest) == needed + 1


def test_experts_on_ranks_exchange_tokens() -> None:
    """Eight data-parallel ranks of four sequences: each token goes to its two experts in fp8 and comes back in bf16."""
    model = load_model("mixtral-8x7b")
    step = plan(model, Layout(dp=8, ep=8), PRESETS["fp8"]).decode(batch=32.0, context=100.0)
    sent = {item.term: (item.collective, item.size, item.ranks) for item in transfers(step)}
    assert sent["dispatch"] == ("all_to_all", 4 * 2 * 4096 * 1, 8)
    assert sent["combine"] == ("all_to_all", 4 * 2 * 4096 * 2, 8)
    halved = plan(model, Layout(tp=2, dp=4, ep=8), PRESETS["fp8"]).decode(batch=32.0, context=100.0)
    sent = {item.term: (item.collective, item.size, item.ranks) for item in transfers(halved)}
    assert sent["dispatch"] == ("all_to_all", 8 * 2 * 4096 * 1 / 2, 8)  # each of two ranks sends half of eight rows
    assert sent["combine"] == ("all_to_all", 8 * 2 * 4096 * 2 / 2, 8)
    shared = plan(model, Layout(dp=8)).decode(batch=32.0, context=100.0)
    gathered = {item.term: (item.collective, item.size, item.fewest) for item in transfers(shared)}
    whole = 32 * 4096 * 2
    assert gathered["all_gather"] == ("all_gather", whole, whole * 7 / 8)
    assert gathered["reduce_scatter"] == ("all_gather", whole, whole * 7 / 8)


def test_tensor_ranks_part_before_experts_of_all_data_ranks_and_join_behind_them() -> None:
    """DeepSeek-V3 on four tensor ranks of eight data ranks: 61 attentions, of which 58 are summed into shares of the
    rows that are joined behind the experts, 3 dense networks and the embedding. Shared experts are whole on each rank,
    for a quarter of the 16 rows of each data rank; holding a quarter of them would do.
    """
    model = load_model("deepseek-v3")
    row = 16 * 7168 * 2
    for ep in (32, 1):
        step = plan(model, Layout(tp=4, dp=8, ep=ep), PRESETS["fp8"]).decode(batch=128.0, context=100.0)
        counts: dict[tuple[str, int], int] = {}
        for item, count in zip(step.items, step.path, strict=True):
            if isinstance(item, Transfer) and item.ranks == 4:
                key = item.term, int(item.size)  # type: ignore[call-overload]
                counts[key] = counts.get(key, 0) + count  # type: ignore[assignment]
        logits = counts.pop(("all_gather", 16 * 129280 * 2))
        assert logits == 1
        assert counts == {("all_reduce", row): 3 + 3 + 1, ("reduce_scatter", row): 58, ("all_gather", row): 58}
        least = {item.term: item.fewest for item in transfers(step) if item.ranks == 4 and item.size == row}
        assert least == {"all_reduce": row, "reduce_scatter": row / 4, "all_gather": row * 3 / 4}
        ups, downs = term(step, "shared_experts")
        whole = 1 if ep > 1 else 4
        assert (ups.flops, downs.flops) == (16 * 2 * 7168 * 2 * 2048 / 4, 16 * 2 * 7168 * 2048 / 4)
        assert (ups.weights, downs.weights) == (7168 * 2 * 2048 / whole, 7168 * 2048 / whole)
        assert (ups.fewest_weights, downs.fewest_weights) == (7168 * 2 * 2048 / 4, 7168 * 2048 / 4)


@pytest.mark.parametrize(("tp", "dp"), [(1, 8), (2, 4)])
def test_both_devices_of_an_expert_get_its_tokens_and_sum_their_own(tp: int, dp: int) -> None:
    """Experts on four pairs of eight devices: of 32 tokens, of which each goes to two experts, a pair has sixteen."""
    model = load_model("mixtral-8x7b")
    step = plan(model, Layout(tp=tp, dp=dp, ep=4), PRESETS["fp8"]).decode(batch=32.0, context=100.0)
    sent = {item.term: (item.size, item.ranks) for item in transfers(step) if item.collective == "all_to_all"}
    assert sent["dispatch"] == (32 / 8 * 2 * 2 * 4096 * 1, 8)
    assert sent["combine"] == (32 / 8 * 2 * 4096 * 2, 8)
    assert (16 * 4096 * HIDDEN_WIDTH, 2) in {
        (item.size, item.ranks) for item in transfers(step) if item.collective == "all_reduce"
    }


@given(case=cases(layout=lambda _model, _most: alone))
def test_one_device_sends_nothing(case: Case) -> None:
    assert transfers(case.step) == []
    assert case.step.hops == ()


# -- micro-batches ----------------------------------------------------------------------------------------------------


@given(case=cases(layout=layouts))
def test_a_batch_is_spread_over_stages_and_data_parallel_ranks(case: Case) -> None:
    """Micro-batches of ⌈batch/pp⌉ sequences or whole prompts, ⌈of that/dp⌉ on a rank, as many as make up the batch."""
    case = case.with_(slice="whole")
    layout, point = case.resolved.layout, case.point
    share = -(-point.batch // layout.pp)
    assert case.step.micro_batches == (-(-point.batch // share) if layout.pp > 1 else 1)
    rows = -(-share // layout.dp) * point.new
    assert case.step.hop_size == rows * case.resolved.model.hidden * HIDDEN_WIDTH
    assert case.step.micro_batches * share >= point.batch
    assert case.step.micro_batches <= layout.pp


@pytest.mark.parametrize("name", ["llama-3.1-70b", "mixtral-8x7b"])
@pytest.mark.parametrize(
    "layout", [Layout(tp=4), Layout(tp=4, ep=2), Layout(tp=2, dp=2, ep=2), Layout(tp=4, pp=2, vocab=2)]
)
def test_sums_cross_in_the_format_that_is_asked_for(name: str, layout: Layout) -> None:
    """4.125 bits in place of 16 for sums and their least, and no other transfer or operation changes."""
    model = load_model(name)
    layout = layout if model.parameters().experts else Layout(tp=layout.tp, pp=layout.pp, vocab=layout.vocab)
    usual, less = (
        plan(model, layout, PRESETS["fp8"].with_(all_reduce=each)).decode(batch=8192.0, context=100.0)
        for each in ("bf16", "int4")
    )
    assert usual.hop_size == less.hop_size
    assert any(item.collective == "all_reduce" for item in transfers(usual))
    for before, after in zip(usual.items, less.items, strict=True):
        if isinstance(before, Transfer) and before.term in ("all_reduce", "reduce_scatter"):
            assert isinstance(after, Transfer)
            assert after.size == close(before.size * 4.125 / 16)
            assert after.fewest == close(before.fewest * 4.125 / 16)
        else:
            assert before == after
