"""How wide to cut, and when SRAM pays."""

import pytest

import roofline as rl
from roofline.explore.choices import fastest_width, sram_break_even


def test_fastest_width_is_the_fastest_of_all_widths() -> None:
    gpu = rl.Deployment("llama-3.1-8b", "h100-sxm", devices=8, pp=1, quantization="bf16")
    found = fastest_width(gpu.decode, batch=1, context=512)
    every = {
        tp: rl.Deployment("llama-3.1-8b", "h100-sxm", devices=8, tp=tp, pp=1, quantization="bf16")
        .decode(1, 512)
        .seconds
        for tp in (1, 2, 4, 8)
    }
    assert found.every == pytest.approx(every)
    assert found.seconds == min(every.values()) == every[found.value]
    assert str(found).startswith(f"tp {found.value} is fastest: tp 1: ")


def test_widths_that_do_not_fit_are_left_out() -> None:
    gpu = rl.Deployment("llama-3.1-70b", "h100-sxm", devices=8, pp=1, quantization="bf16")
    assert 1 not in fastest_width(gpu.decode, batch=1, context=512).every
    with pytest.raises(rl.DoesNotFit):
        fastest_width(gpu.decode, batch=10**6, context=512)


def test_break_even_of_published_prices() -> None:
    # 2.10 USD/h and 3.3 TB/s against 1 USD/h and 230 MB: Erdil 2025, arXiv:2506.04645, device table
    gpu = rl.accelerator("h100-sxm").with_(**{"memory.bandwidth": 3.3e12})
    lpu = rl.accelerator("groq-lpu-v1")
    found = sram_break_even(gpu, lpu, hbm_price=2.1, sram_price=1)
    assert sram_break_even(gpu, lpu, hbm_price="2.1 USD/h", sram_price="1 USD/h") == found
    expected = 2.1 * lpu.numbers().memory.usable / 3.3e12
    assert found == pytest.approx(expected, rel=1e-12)
    assert found == pytest.approx(146.4e-6, rel=0.02)
    with pytest.raises(rl.InvalidInput, match="a part of kind sram"):
        sram_break_even(gpu, gpu)
    with pytest.raises(rl.MissingNumber, match="give sram_price="):
        sram_break_even(gpu, lpu.with_(price=None), hbm_price=2.1)


def test_published_prices_stand_beside_given_ones() -> None:
    """A spec's price is kept per second; what is typed beside it is per hour."""
    gpu, lpu = rl.accelerator("h100-sxm").with_(price="3 USD/h"), rl.accelerator("groq-lpu-v1")
    assert sram_break_even(gpu, lpu, sram_price=1) == pytest.approx(
        sram_break_even(gpu, lpu, hbm_price=3, sram_price=1)
    )
    both = sram_break_even(gpu, lpu.with_(price="1 USD/h"))
    assert both == pytest.approx(sram_break_even(gpu, lpu, sram_price=1))
