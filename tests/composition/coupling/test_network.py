"""The coupling network: its fusion, its middle, its output, its symmetries."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from cranpm.composition.coupling.config import PAPER, SMALL, CouplingConfig, coupling_config, with_species
from cranpm.composition.coupling.conv2former import Conv2Former
from cranpm.composition.coupling.fusion import BilinearPooling
from cranpm.composition.coupling.network import Coupling, Ground, waves
from cranpm.composition.coupling.scales import Scales
from cranpm.composition.coupling.table import parameter_table
from cranpm.errors import CranpmError
from tests.composition.coupling.tiny import GLOBE, REGION, inputs, network


def pooling(kernel_side: int = 3) -> BilinearPooling:
    torch.manual_seed(0)
    made = BilinearPooling(4, 5, 6, 3, globe=True, bias=False)
    if kernel_side == 1:
        for part in (made.composition, made.weather, made.product):
            middle = part.kernel.weight.detach()[:, :, 1, 1].clone()
            torch.nn.init.zeros_(part.kernel.weight)
            part.kernel.weight.data[:, :, 1, 1] = middle
    return made


def test_fusion_without_biases_is_linear_in_either():
    fusion, p, q = pooling(), torch.randn(1, 4, 6, 8), torch.randn(1, 5, 6, 8)
    assert torch.allclose(fusion(3 * p, -2 * q), -6 * fusion(p, q), atol=1e-5)


def test_fusion_without_weather_is_nothing():
    assert pooling()(torch.randn(1, 4, 6, 8), torch.zeros(1, 5, 6, 8)).abs().max() == 0


def test_fusion_with_kernels_of_one_point_is_equation_3():
    fusion, p, q = pooling(1), torch.randn(1, 4, 6, 8), torch.randn(1, 5, 6, 8)
    w_p, w_q, w_x = (part.kernel.weight[:, :, 1, 1] for part in (fusion.composition, fusion.weather, fusion.product))
    expected = torch.einsum(
        "gh,hxy->gxy", w_x, torch.einsum("hc,cxy->hxy", w_p, p[0]) * torch.einsum("hd,dxy->hxy", w_q, q[0])
    )
    assert torch.allclose(fusion(p, q)[0], expected, atol=1e-5)


def test_fusion_is_equation_4_written_with_neighbourhoods():
    """vec by unfolding, products in H channels, unvec by adding up overlapping neighbourhoods."""
    fusion, p, q = pooling(), torch.randn(1, 4, 9, 9), torch.randn(1, 5, 9, 9)
    p[..., [0, 1, -2, -1], :] = p[..., [0, 1, -2, -1]] = 0  # so that edges do not matter
    p_side, q_side = (
        part.kernel.weight.flatten(1) @ F.unfold(x, 3, padding=1)[0]
        for part, x in ((fusion.composition, p), (fusion.weather, q))
    )
    to_patches = fusion.product.kernel.weight.flip(-1, -2).permute(0, 2, 3, 1).reshape(27, 6)  # W'_x^T: 9 G x H
    expected = F.fold((to_patches @ (p_side * q_side))[None], (9, 9), 3, padding=1)
    assert torch.allclose(fusion(p, q)[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], atol=1e-5)


def test_conv2former_starts_as_the_identity():
    block, x = Conv2Former(16, 5, globe=True), torch.randn(2, 16, 6, 8)
    assert 0 < (block(x) - x).abs().max() < 1e-5
    torch.nn.init.zeros_(block.scale), torch.nn.init.zeros_(block.mlp_scale)
    assert torch.equal(block(x), x)


def test_conv2former_has_the_published_number_of_parameters():
    assert sum(p.numel() for p in Conv2Former(32, 11, globe=True).parameters()) == 11 * 32**2 + 176 * 32


@pytest.mark.parametrize("config", (GLOBE, REGION, replace(GLOBE, fusion="concat"), replace(GLOBE, fusion="none")))
def test_an_untrained_network_forecasts_its_base(config: CouplingConfig):
    arguments = inputs(config, batch=2)
    forecast = network(config, trained=False)(**arguments)
    assert torch.equal(forecast[:, [0, 2]], arguments["now"][:, [0, 2]])  # persistence
    assert torch.equal(forecast[:, 1], arguments["before"][:, 1])  # persistence of 24 h before the forecast


def test_the_last_layer_speaks_in_units_of_what_a_species_changes():
    plain = network()
    slow = Coupling(GLOBE, replace(Scales.unit(GLOBE), change={"pm2p5": 0.1})).eval()
    slow.load_state_dict(plain.state_dict())
    arguments = inputs()
    base = plain.base(arguments["before"], arguments["now"])
    both = plain(**arguments) - base, slow(**arguments) - base
    assert torch.allclose(both[1][:, 0], 0.1 * both[0][:, 0], atol=1e-5)
    assert torch.allclose(both[1][:, 1:], both[0][:, 1:], atol=1e-6)


def test_a_roll_by_whole_points_of_the_middle_rolls_the_forecast():
    made, arguments = network(), inputs()
    assert GLOBE.stride == 6

    def rolled(columns: int) -> dict:
        moved = {k: v.roll(columns, -1) for k, v in arguments.items() if k not in ("ground", "clock")}
        return moved | {"ground": Ground(arguments["ground"].places.roll(columns, -1)), "clock": arguments["clock"]}

    expected = made(**arguments)
    assert torch.allclose(made(**rolled(6)), expected.roll(6, -1), atol=1e-5)
    assert not torch.allclose(made(**rolled(3)), expected.roll(3, -1), atol=1e-3)  # the middle has no such point


def test_each_input_changes_the_forecast():
    made, arguments = network(), inputs()
    expected = made(**arguments)
    for name in ("before", "now", "weather", "weather_next"):
        assert not torch.allclose(made(**arguments | {name: arguments[name] * 1.5}), expected, atol=1e-4), name
    assert not torch.allclose(made(**arguments | {"clock": torch.tensor([[100.0, 0.0]])}), expected, atol=1e-4)
    higher = Ground(arguments["ground"].places * 2)
    assert not torch.allclose(made(**arguments | {"ground": higher}), expected, atol=1e-4)


def test_without_weather_there_is_nothing_to_see_of_it():
    config = replace(GLOBE, fusion="none")
    made, arguments = network(config), inputs(config)
    assert torch.equal(made(**arguments), made(**arguments | {"weather": arguments["weather"] * 2}))


def test_emission_inventories_are_seen_where_the_configuration_names_them():
    config = replace(GLOBE, emissions=("e_no2",))
    made, arguments = network(config), inputs(config)
    ground = arguments["ground"].places
    none, much = (Ground(ground, torch.full((1, 1, 13, 24), value)) for value in (0.0, 2.0))
    assert not torch.allclose(made(**arguments | {"ground": none}), made(**arguments | {"ground": much}), atol=1e-4)


def test_wind_changes_its_sign_beyond_the_poles_and_temperature_does_not():
    assert network().signs.tolist() == [-1, -1, 1, -1, -1, 1]


def test_hour_24_is_hour_0():
    assert torch.allclose(waves(torch.tensor([[366.0, 24.0]])), waves(torch.tensor([[0.0, 0.0]])), atol=1e-5)


def test_the_paper_has_about_176_million_parameters():
    with torch.device("meta"):
        table = dict(parameter_table(Coupling(PAPER, Scales.unit(PAPER))))
    assert table["10 x Conv2Former"] == 10 * 11_714_560
    assert 175e6 < table["total"] < 177e6
    assert (len(PAPER.species), len(PAPER.weather)) == (73, 70)


def test_a_globe_whose_columns_do_not_divide_is_refused():
    assert PAPER.padding((451, 900)) == (0, 0, 8, 9)
    with pytest.raises(CranpmError, match="480 columns around the globe do not divide by 36"):
        PAPER.padding((241, 480))


def test_small_takes_any_species_by_name():
    config = with_species(SMALL, ("pm1", "o3_500", "no2_850"))
    assert config.day_before == ("pm1", "no2_850")
    shape = (6, 9)  # a region may have any size
    assert network(config, trained=False)(**inputs(config, shape=shape)).shape == (1, 3, 6, 9)


def test_a_configuration_survives_json_and_unknown_names_are_refused():
    assert CouplingConfig.from_dict(SMALL.to_dict()) == SMALL
    with pytest.raises(CranpmError, match="smal"):
        coupling_config("smal")
    with pytest.raises(CranpmError, match="unknown key 'width'"):
        CouplingConfig.from_dict(SMALL.to_dict() | {"width": 1})
