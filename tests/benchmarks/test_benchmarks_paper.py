"""The table of least times: bars, cards and arithmetic."""

import pytest

from benchmarks import paper
from kmgpu.kernels import cuda


@pytest.mark.parametrize("bar", paper.BARS, ids=str)
def test_least_times_stay_below_the_bars(bar):
    """What is above a bar on paper cannot meet it."""
    card = paper.CARDS["H200"]
    works = paper.iteration(bar, card)
    least = sum(max(work.limits(card).values()) for work in works)
    assert 0 < least < bar.most


def test_the_busiest_resource_by_hand():
    card = paper.Card("sm_90", 10, 1.0, 100, 128, 128, 128, 64, 2048)
    limits = paper.Work("f", issue=2.56e9, tensor=2.048e10, moved=1e9).limits(card)
    assert limits["issue"] == pytest.approx(2)
    assert limits["tensor"] == pytest.approx(1)
    assert limits["memory"] == pytest.approx(10)


def test_a_card_that_adds_halves_slowly_ranks_in_float32():
    works = paper.iteration(paper.BARS[-1], paper.CARDS["RTX 4090"])
    assert not any(work.half for work in works)


@pytest.mark.parametrize("card", paper.CARDS)
@pytest.mark.parametrize("bar", paper.BARS, ids=str)
def test_every_kernel_is_one_that_can_be_launched(bar, card):
    names = [name for source in cuda.SOURCES for name in source.name_expressions]
    for work in paper.iteration(bar, paper.CARDS[card]):
        assert any(name.startswith(work.kernel) for name in names), work.kernel
