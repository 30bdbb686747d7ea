"""Pools as they are typed."""

import pytest

import roofline as rl
from roofline.show.options import POOL_HELP, POOL_KEYS
from roofline.show.pools import _READERS, Pool
from tests.show.support import CHIP


def test_what_may_be_said_of_a_pool_is_what_is_read() -> None:
    assert tuple(_READERS) == POOL_KEYS
    for key in POOL_KEYS:
        assert key in POOL_HELP


def test_a_pool_is_the_deployment_it_says() -> None:
    pool = Pool.parse(" groq-lpu-v1:576,tp=8, pp = 72,quantization=int8,price=1.5 ")
    deployment = pool.deployment(rl.model("llama-3.1-70b"))
    assert (pool.label, deployment.devices, deployment.price) == ("576 × groq-lpu-v1", 576, 1.5)
    assert (deployment.layout.tp, deployment.layout.pp) == (8, 72)
    assert deployment.quantization == rl.Quantization.of("int8")


def test_a_part_may_be_a_file() -> None:
    pool = Pool.parse(f"{CHIP}:8,tp=4")
    assert (pool.name, pool.label, pool.accelerator.name) == ("chip", "8 × chip", "Example Accelerator")


@pytest.mark.parametrize(
    ("option", "attribute", "value"),
    [
        ("price=2.50", "price", 2.5),
        ("price=2.5 USD/h", "price", 2.5),
        ("price=0", "price", 0),
        ("price=2e-1", "price", 0.2),
        ("power=700", "power", 700),
        ("power=1.2 kW", "power", 1200),
        ("power=5e2", "power", 500),
    ],
)
def test_prices_and_powers_take_units(option: str, attribute: str, value: float) -> None:
    deployment = Pool.parse(f"h100-sxm:1,{option}").deployment(rl.model("llama-3.1-8b"))
    assert getattr(deployment, attribute) == pytest.approx(value)


def test_the_cache_may_have_a_format_of_its_own() -> None:
    pool = Pool.parse("h100-sxm:1,quantization=w4a16,kv_cache=fp8")
    assert pool.formats(rl.model("llama-3.1-8b"), "bf16") == rl.Quantization.of("w4a16").with_(kv_cache="fp8")
    shorter = Pool.parse("h100-sxm:1,state=bf16").deployment(rl.model("qwen3-next-80b-a3b"), "fp8")
    assert shorter.quantization == rl.Quantization.of("fp8").with_(state="bf16")
    both = Pool.parse("mi300x:2,all_reduce=int4,kv_cache=fp8").deployment(rl.model("llama-3.1-8b"), "bf16")
    assert both.quantization == rl.Quantization(weights="bf16", kv_cache="fp8", all_reduce="int4")


def test_a_pool_keeps_the_serving_stack_it_says() -> None:
    said, silent = (Pool.parse(f"h100-sxm:1{stack}") for stack in (",runtime=sglang", ""))
    assert [pool.under("vllm").options["runtime"] for pool in (said, silent)] == ["sglang", "vllm"]
    assert "runtime" not in silent.under(None).options
