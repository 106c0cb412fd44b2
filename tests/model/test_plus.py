"""The switches of a configuration: what `plus` adds, what ablations take away; each changes what the network does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from cranpm.errors import CranpmError
from cranpm.model.attention import CrossAttention
from cranpm.model.config import CONFIGS, PAPER_96M, PLUS_96M, ModelConfig, plus
from cranpm.model.network import CranPM, Output
from cranpm.model.wind import Way
from cranpm.variables import CHANNELS, CORRECTED_MAP, FORECAST_MAP, PAST_MAPS, USUAL_MAP
from tests.model.examples import TINY, coarse_inputs, network, tile_inputs

PLUS = plus(TINY, "plus-tiny")
WITHOUT_PAST = replace(PLUS, local_channels=("pm2p5_t", "pm2p5_t-1", FORECAST_MAP, "elevation"))
FUSIONS = ("cross", "none", "off", "sum", "film", "concat", "reverse", "both")


def residual(net: CranPM, coarse: list[Tensor] | None = None, tiles: list[Tensor] | None = None) -> Tensor:
    with torch.inference_mode():
        day = coarse or coarse_inputs(net.config)
        return net.forward_tiles(net.encode_day(*day), *(tiles or tile_inputs(net.config)))


def test_an_untrained_plus_network_is_persistence():
    assert not residual(network(PLUS, trained=False)).any()


def test_plus_listens_to_the_forecast_for_the_valid_day():
    net = network(PLUS)
    before = residual(net)
    for name in ("u10_f", "pm2p5_f", "z_500_f"):
        coarse = coarse_inputs(PLUS)
        coarse[0][:, PLUS.channels.index(name)] *= -1
        assert (residual(net, coarse) - before).abs().max() > 1e-4
    for config, name in ((PLUS, CORRECTED_MAP), (PLUS, USUAL_MAP), (WITHOUT_PAST, FORECAST_MAP)):
        net, tiles = network(config), tile_inputs(config)
        before = residual(net)
        tiles[0][:, config.maps.index(name)] += 10
        assert (residual(net, None, tiles) - before).abs().max() > 1e-3


def test_only_maps_of_the_past_make_a_network_read_it():
    assert PLUS.reads_past and not WITHOUT_PAST.reads_past and not TINY.reads_past
    assert PLUS.bases == ("pm2p5_t", CORRECTED_MAP, USUAL_MAP) and WITHOUT_PAST.bases == ("pm2p5_t", FORECAST_MAP)


def test_a_map_of_the_valid_day_is_normalised_as_todays():
    for config in (PLUS, WITHOUT_PAST):
        net = network(config)
        for name in config.bases[1:]:
            today, later = (config.local_channels.index(which) for which in ("pm2p5_t", name))
            assert net.local_mean[today] == net.local_mean[later] and net.local_std[today] == net.local_std[later]


def test_a_forecast_channel_is_normalised_as_its_analysis():
    net = network(PLUS)
    for name in ("t2m", "co"):
        analysis, forecast = (PLUS.channels.index(f"{name}_{day}") for day in ("t", "f"))
        assert net.coarse_mean[analysis] == net.coarse_mean[forecast]
        assert net.coarse_std[analysis] == net.coarse_std[forecast]


def test_scale_and_change_on_today_and_two_maps_of_the_valid_day():
    """forecast = (b1 + psi1) today + (b2 + psi2) corrected + (b3 + psi3) usual + a + 20 d."""
    today, corrected, usual = 30.0, 50.0, 10.0
    pm = torch.tensor([today, 7.0, corrected, usual]).reshape(1, 4, 1, 1).expand(1, 4, 4, 4)
    fields = torch.tensor([0.5, -0.2, 0.25, 0.1]).reshape(1, 4, 1, 1).expand(1, 4, 4, 4)
    lead, output = torch.tensor([2]), Output(PLUS)
    made = today + 20 * output(fields, pm, lead)
    assert torch.allclose(made, torch.tensor(0.8 * today + 0.25 * corrected + 0.1 * usual + 20 * 0.5))
    nothing = torch.zeros(1, 4, 4, 4)
    assert not output(nothing, pm, lead).any()
    with torch.no_grad():
        output.blend[1] = torch.tensor([0.1, 0.3, 0.6, 0.2])  # of lead 2
    made = today + 20 * output(nothing, pm, lead)
    assert torch.allclose(made, torch.tensor(2.0 + 0.3 * today + 0.6 * corrected + 0.2 * usual))
    assert not output(nothing, pm, torch.tensor([1])).any()


def test_the_bases_are_the_maps_that_the_network_reads():
    today, forecast = 30.0, 50.0
    pm = torch.tensor([today, 7.0, forecast]).reshape(1, 3, 1, 1).expand(1, 3, 4, 4)
    fields = torch.tensor([0.5, -0.2, 0.25]).reshape(1, 3, 1, 1).expand(1, 3, 4, 4)
    lead, two, alone = torch.tensor([2]), Output(WITHOUT_PAST), Output(replace(TINY, output="scale"))
    assert (Output(PLUS).fields, two.fields, alone.fields) == (4, 3, 2)
    made = today + 20 * two(fields, pm, lead)
    assert torch.allclose(made, torch.tensor(0.8 * today + 0.25 * forecast + 20 * 0.5))
    made = today + 20 * alone(fields[:, :2], pm[:, :2], lead)
    assert torch.allclose(made, torch.tensor(0.8 * today + 20 * 0.5))


def test_a_level_does_not_add_to_today():
    net = network(replace(TINY, output="level"), trained=False)
    pm = tile_inputs(TINY)[0]
    assert torch.allclose(pm[:, 0] + 20 * residual(net), torch.tensor(15.0), atol=1e-4)


def test_attention_falls_off_with_distance():
    """Two coarse tokens alike but for their distance: the nearer is attended to more, the more the steeper."""
    torch.manual_seed(0)
    layer = CrossAttention(8, 2, 4, 2.0, distance=True).eval()
    tokens, keys = torch.randn(1, 1, 8), torch.zeros(1, 2, 2, 4)
    values = torch.eye(4)[None, None, :2].expand(1, 2, 2, 4)
    way = Way(torch.zeros(1, 1, 2), torch.tensor([[[0.0, 100.0], [0.0, 900.0]]]), torch.zeros(1, 1, 2))
    assert torch.allclose(way.distance(), torch.tensor([[[0.1, 0.9]]]))
    outputs = []
    for slope in (0.0, 1.0, 4.0):
        with torch.no_grad():
            layer.log_slope.fill_(slope)
        shares = (torch.tensor([0.1, 0.9]) * -torch.tensor(slope).exp()).softmax(0)
        outputs.append(float(shares[0]))
        far = values.flip(2)
        changed = layer(tokens, keys, values, None, way.distance()) - layer(tokens, keys, far, None, way.distance())
        assert changed.abs().max() > 0
    assert outputs == sorted(outputs) and outputs[0] > 0.5


def test_the_distance_bias_changes_what_a_tile_sees():
    with_bias, without = network(replace(TINY, distance_bias=True)), network(TINY)
    assert (residual(with_bias) - residual(without)).abs().max() > 1e-3


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_starts_as_persistence_and_learns_of_the_day(fusion):
    config = replace(TINY, fusion=fusion)
    assert not residual(network(config, trained=False)).any()
    net = network(config)
    coarse = coarse_inputs(config)
    coarse[0][:, config.channels.index("t2m_t")] += 5
    told = (residual(net, coarse) - residual(net)).abs().max()
    assert told == 0 if fusion == "off" else told > 1e-5
    alone = residual(net, None, [part[:1] for part in tile_inputs(config)])
    assert torch.allclose(residual(net)[:1], alone, atol=1e-4)  # tiles do not mix


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_serves_several_days_at_once(fusion):
    config = replace(TINY, fusion=fusion)
    net = network(config)
    coarse, elevation = coarse_inputs(config, days=2)
    tiles = tile_inputs(config, tiles=4)
    with torch.inference_mode():
        together = net.forward_tiles(net.encode_day(coarse, elevation), *tiles)
        for day in (0, 1):
            state = net.encode_day(coarse[day : day + 1], elevation[day : day + 1])
            alone = net.forward_tiles(state, *(part[2 * day : 2 * day + 2] for part in tiles))
            assert torch.allclose(together[2 * day : 2 * day + 2], alone, atol=1e-4)


def test_without_the_elevation_bias_coarse_terrain_is_not_seen():
    coarse, elevation = coarse_inputs()
    for config, seen in ((TINY, True), (replace(TINY, elevation_bias=False), False)):
        net = network(config)
        with torch.inference_mode():
            change = (net.encode_day(coarse, elevation) - net.encode_day(coarse, 2 * elevation)).abs().max()
        assert (change > 1e-4) == seen


def test_without_wind_order_and_bias_the_winds_direction_counts_as_a_channel_only():
    tiles = tile_inputs()
    turned = [*tiles]
    turned[4] = -tiles[4]  # the wind at the fine tokens enters through eq. 4 alone
    for config, seen in ((TINY, True), (replace(TINY, wind_bias=False), False)):
        net = network(config)
        assert ((residual(net, None, tiles) - residual(net, None, turned)).abs().max() > 0) == seen
    ordered, raster = network(TINY), network(replace(TINY, wind_order=False))
    day = coarse_inputs()
    assert (ordered.encode_day(*day) - raster.encode_day(*day)).abs().max() > 1e-3


def test_transposed_convolutions_upsample_too():
    net = network(replace(TINY, upsampling="transposed"))
    assert residual(net).shape == (2, TINY.tile, TINY.tile) and residual(net).std() > 0


def test_the_day_before_can_be_left_out():
    config = replace(TINY, channels=CHANNELS[:35], local_channels=("pm2p5_t", "elevation", "latitude", "longitude"))
    assert config.maps == ("pm2p5_t",) and residual(network(config)).shape == (2, TINY.tile, TINY.tile)


def test_a_network_without_latitude_and_longitude_is_the_same_everywhere():
    for config, moves in ((TINY, True), (replace(TINY, local_channels=("pm2p5_t", "pm2p5_t-1", "elevation")), False)):
        net, tiles = network(config), tile_inputs(config)
        moved = [*tiles[:2], tiles[2] - 20, tiles[3] + 60, *tiles[4:]]
        assert ((residual(net, None, tiles) - residual(net, None, moved)).abs().max() > 0) == moves


def test_repeating_the_edge_leaves_no_frame():
    """Tokens that are alike everywhere give a field that is: zeros beyond the edge would show."""
    from cranpm.model.decoder import Decoder

    for padding, frame in (("zeros", True), ("replicate", False)):
        torch.manual_seed(0)
        decoder = Decoder(16, (8, 8), padding=padding)
        torch.nn.init.normal_(decoder.head.weight)
        made = decoder(torch.randn(16).expand(1, 16, 16), (4, 4))
        assert (made.std() > 1e-4) == frame


def test_the_winds_sector_does_not_depend_on_the_precision():
    from cranpm.model.wind import WindOrder

    order = WindOrder(7)
    angle = torch.linspace(0, 6.28, 2000)
    wind = 7 * torch.stack([angle.cos(), angle.sin()], dim=-1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(order.sectors(wind), order.sectors(wind.clone()))
        half = order.sectors(wind)
    assert torch.equal(half, order.sectors(wind))


def test_checkpoints_of_the_first_version_have_the_papers_switches():
    old = {key: value for key, value in PAPER_96M.to_dict().items() if key not in ("fusion", "output", "distance_bias")}
    assert ModelConfig.from_dict(old) == PAPER_96M
    for config in CONFIGS.values():
        assert ModelConfig.from_dict(config.to_dict()) == config
    del old["tile"]
    with pytest.raises(CranpmError, match="keys missing: tile"):
        ModelConfig.from_dict(old)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fusion": "cros"}, "fusion 'cros' unknown"),
        ({"output": "delta"}, "output 'delta' unknown"),
        ({"local_channels": ("elevation", "pm2p5_t", "latitude", "longitude")}, "pm2p5_t first"),
        ({"local_channels": ("pm2p5_t", "latitude", "elevation")}, "then elevation, latitude, longitude"),
        *(({"local_channels": ("pm2p5_t", name, "elevation")}, "is not there") for name in (FORECAST_MAP, *PAST_MAPS)),
    ],
)
def test_a_wrong_switch_is_refused(change, words):
    with pytest.raises(CranpmError, match=words):
        replace(TINY, **change)


def test_plus_96m_is_the_papers_network_and_little_more():
    from cranpm.model.parts import parts

    paper, more = (sum(part.parameters for part in parts(config)) for config in (PAPER_96M, PLUS_96M))
    assert paper == 94_298_677 and 0 < more - paper < 0.02 * paper
