"""Between 0.25 and 0.75 degrees."""

from __future__ import annotations

import pytest
import torch

from cranpm.composition.deepcams.degrade import decimate, degrade, enlarge


def spike(row: int, column: int, size: int = 33) -> torch.Tensor:
    map = torch.zeros(1, 1, size, size)
    map[..., row, column] = 1
    return map


@pytest.mark.parametrize("how", ["area", "imresize"])
def test_a_constant_stays_what_it_is(how):
    map = torch.full((2, 1, 12, 15), 7.0)
    torch.testing.assert_close(degrade(map, how), torch.full((2, 1, 4, 5), 7.0))
    torch.testing.assert_close(enlarge(map), torch.full((2, 1, 36, 45), 7.0))


def test_imresize_gives_a_spike_in_the_middle_of_a_block_to_that_block_alone():
    found = degrade(spike(16, 16), "imresize")[0, 0]
    assert float(found[5, 5]) == pytest.approx(1 / 9)
    found[5, 5] = 0
    assert float(found.abs().max()) < 1e-7


def test_imresize_weights_a_spike_beside_the_middle_as_matlab_does():
    """One column east of a middle: 1 from its own block's, then 2, 4 and 5 from those of its neighbours."""
    found = degrade(spike(16, 17), "imresize")[0, 0, 5] * 81**2 / 27
    assert [round(float(found[k]), 4) for k in (5, 6, 4, 7)] == [21, 9, -2, -1]


def test_without_antialiasing_a_third_by_bicubic_is_every_third_value():
    map = torch.rand(1, 1, 12, 12)
    plain = torch.nn.functional.interpolate(map, scale_factor=1 / 3, mode="bicubic", align_corners=False)
    torch.testing.assert_close(plain, decimate(map), atol=1e-6, rtol=0)
    assert not torch.allclose(degrade(map), decimate(map)) and not torch.allclose(degrade(map, "imresize"), plain)


def test_enlarging_keeps_the_values_at_the_nodes():
    map = torch.rand(1, 1, 8, 9)
    torch.testing.assert_close(decimate(enlarge(map)), map, atol=1e-6, rtol=0)


def test_a_spike_enlarged():
    found = enlarge(spike(5, 5, 11))[0, 0]
    assert float(found.max()) == pytest.approx(1.0) and float(found.sum()) == pytest.approx(9.0, abs=1e-5)
    assert float(found.min()) == pytest.approx(-0.1111, abs=1e-4)
    assert float(degrade(found[None, None])[0, 0, 5, 5]) == pytest.approx(0.74684, abs=1e-4)
