"""Beyond the edge of a map."""

from __future__ import annotations

import torch

from cranpm.composition.coupling.sphere import Convolution, crop_map, pad_map


def test_a_row_beyond_the_pole_is_that_of_the_opposite_meridian():
    field = torch.arange(5.0)[:, None] * 100 + torch.arange(8.0)
    padded = pad_map(field[None, None], (0, 0, 2, 1), globe=True)[0, 0]
    assert padded[1].tolist() == (100 + (torch.arange(8.0) + 4) % 8).tolist()  # one row from the pole, half way round
    assert padded[0].tolist() == (200 + (torch.arange(8.0) + 4) % 8).tolist()
    assert padded[-1].tolist() == (300 + (torch.arange(8.0) + 4) % 8).tolist()


def test_wind_over_the_pole_keeps_its_direction_in_space():
    """A straight flow over the pole is northward on one meridian, southward on the opposite one."""
    lons = torch.arange(8) * torch.pi / 4
    east, north = -torch.sin(lons), torch.cos(lons)  # along the meridian of column 0, near the pole
    field = torch.stack([east, north]).reshape(1, 2, 1, 8).repeat(1, 1, 5, 1)
    padded = pad_map(field, (0, 0, 1, 1), globe=True, signs=torch.tensor([-1.0, -1.0]))
    assert torch.allclose(padded[0, :, 0], field[0, :, 0], atol=1e-6)  # the same components: the flow goes straight on


def test_columns_go_on_around_the_earth():
    padded = pad_map(torch.arange(6.0).reshape(1, 1, 1, 6), (2, 1, 0, 0), globe=True)
    assert padded[0, 0, 0].tolist() == [4, 5, 0, 1, 2, 3, 4, 5, 0]


def test_a_region_repeats_its_edge():
    padded = pad_map(torch.arange(6.0).reshape(1, 1, 1, 6), (2, 1, 1, 0), globe=False)
    assert padded[0, 0, 0].tolist() == [0, 0, 0, 1, 2, 3, 4, 5, 5]


def test_cropping_undoes_padding():
    field = torch.rand(2, 3, 6, 8)
    for globe in (True, False):
        assert torch.equal(crop_map(pad_map(field, (1, 3, 2, 1), globe=globe), (1, 3, 2, 1)), field)


def test_a_convolution_around_the_globe_has_no_seam():
    convolution = Convolution((2, 3), 5, globe=True)
    field = torch.rand(1, 2, 6, 12)
    assert torch.allclose(convolution(field.roll(5, -1)), convolution(field).roll(5, -1), atol=1e-6)
    assert not torch.allclose(
        Convolution((2, 3), 5, globe=False)(field.roll(5, -1)), convolution(field).roll(5, -1), atol=1e-3
    )
