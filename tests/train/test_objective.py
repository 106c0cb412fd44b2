"""Eq. 6: each term is what its paper says, moves what it should, and adds up however a step is divided."""

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from focal_frequency_loss import FocalFrequencyLoss

from cranpm.data.dataset import Batch, Draw
from cranpm.grid import Grid, sample_points
from cranpm.train.objective import Weights, counts, focal_frequency, loss, sums
from cranpm.variables import PM_SCALE
from tests.train.toy import examples

ALL = Weights(pixel=1.0, frequency=0.1, station=0.1)


def blank(tiles: int = 1, side: int = 8, stations: int = 0) -> Batch:
    """Tiles of 0 ug m-3 today and on the valid day, all land, all known; stations at the corner without a value."""
    none, square = torch.zeros(0), torch.zeros(tiles, side, side)
    return Batch(
        coarse=none, coarse_elevation=none, pm=torch.zeros(tiles, 2, side, side), elevation=square, lats=none,
        lons=none, wind=none, queries=none, keys=none, lead=torch.ones(tiles, dtype=torch.int64),
        target=square.clone(), valid=torch.ones(tiles, side, side, dtype=torch.bool),
        station_at=torch.zeros(tiles, stations, 2), station_pm=torch.full((tiles, stations), torch.nan),
    )  # fmt: skip


def drawn(days: int = 3, tiles: int = 4) -> Batch:
    made = examples()
    return made.batch(made.draw(np.random.default_rng(2), days, tiles, [1, 1]))


def part(batch: Batch, tiles: slice) -> Batch:
    """Some tiles of a batch."""
    own = [field.name for field in fields(batch) if field.name not in ("coarse", "coarse_elevation")]
    return replace(batch, **{name: getattr(batch, name)[tiles] for name in own})


def residual_for(batch: Batch, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch.target.shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def test_the_pixel_term_alone_is_the_land_error_to_the_bit():
    batch = drawn()
    one, two = residual_for(batch), residual_for(batch)
    error = (one - (batch.target - batch.pm[:, 0]) / PM_SCALE) * batch.valid
    former = error.square().sum() / batch.valid.sum()
    present = loss(sums(two, batch, Weights()), counts(batch), Weights())
    former.backward()
    present.backward()
    assert former.item() == present.item() > 0
    assert torch.equal(one.grad, two.grad)
    assert torch.equal(two.grad != 0, batch.valid)


def test_high_pixels_count_as_often_as_asked_for():
    batch = blank()
    target = batch.target.clone()
    target[0, :2] = 80.0  # 16 of 64 pixels, 4 in normalised units too low where today's map stays
    batch = replace(batch, target=target)
    still = torch.zeros(1, 8, 8)
    plain, high = (float(sums(still, batch, Weights(high=weight, above=80.0))[0]) for weight in (1.0, 3.0))
    assert (plain, high) == (16 * 16.0, 3 * 16 * 16.0)
    assert float(sums(still, batch, Weights(high=3.0, above=80.5))[0]) == plain


def test_the_logarithmic_term_measures_ratios():
    """20 against 60 ug m-3 is log 2 against log 4: as far as 60 against 140, log 4 against log 8."""
    batch, still = blank(), torch.zeros(1, 8, 8)
    terms = []
    for today, later in ((20.0, 60.0), (60.0, 140.0)):
        made = replace(batch, pm=torch.full((1, 2, 8, 8), today), target=torch.full((1, 8, 8), later))
        terms.append(float(sums(still, made, Weights(logarithmic=True))[0]))
    assert terms == pytest.approx([64 * np.log(2) ** 2] * 2, rel=1e-5)
    below = sums(torch.full((1, 8, 8), -9.0), batch, Weights(logarithmic=True))[0]  # clipped to 0, which is right
    assert float(below) == 0


def test_no_land_costs_nothing():
    batch = blank(stations=2)
    batch.valid[:] = False
    residual = residual_for(batch)
    value = loss(sums(residual, batch, ALL), counts(batch), ALL)
    value.backward()
    assert value.item() == 0.0 and not residual.grad.any()


def test_a_plane_wave_costs_its_power_over_the_spectrum():
    side, amplitude = 16, 0.7
    wave = amplitude * np.cos(2 * np.pi * (3 * np.arange(side)[:, None] + 2 * np.arange(side)) / side)
    # two lines of the orthonormal spectrum, each a * S / 2 high, both the strongest: weight 1
    expected = 2 * (amplitude * side / 2) ** 2 / side**2
    got = focal_frequency(torch.from_numpy(wave).float()[None])
    assert got.item() == pytest.approx(expected, rel=1e-5)


def test_a_weaker_wave_counts_by_its_share_of_the_strongest():
    side = 16
    columns = 2 * np.pi * np.arange(side) / side
    pair = np.broadcast_to(0.8 * np.cos(2 * columns) + 0.2 * np.cos(5 * columns), (side, side))
    expected = 0.8**2 / 2 + (0.2 / 0.8) * 0.2**2 / 2
    assert focal_frequency(torch.from_numpy(pair.copy()).float()[None]).item() == pytest.approx(expected, rel=1e-5)


def test_focal_frequency_loss_equals_a_sum_over_waves_written_out():
    error = np.random.default_rng(4).normal(size=(2, 6, 6))
    places = np.arange(6)
    expected = []
    for tile in error:
        lines = np.array([
            [abs((tile * np.exp(-2j * np.pi * (u * places[:, None] + v * places) / 6)).sum()) / 6 for v in range(6)]
            for u in range(6)
        ])  # fmt: skip
        expected.append((lines / lines.max() * lines**2).mean())
    np.testing.assert_allclose(focal_frequency(torch.from_numpy(error).float()), expected, rtol=1e-5)


def test_focal_frequency_loss_and_its_gradient_equal_the_authors_package():
    target, forecast = torch.randn(3, 32, 32), torch.randn(3, 32, 32)
    theirs, ours = forecast.clone().requires_grad_(), forecast.clone().requires_grad_()
    one = FocalFrequencyLoss(loss_weight=1.0, alpha=1.0)(theirs[:, None], target[:, None])
    two = focal_frequency(ours - target).mean()
    one.backward()
    two.backward()
    assert two.item() == pytest.approx(one.item(), rel=1e-6)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-8)


def test_no_gradient_flows_through_the_focal_weight():
    error = torch.randn(1, 8, 8, requires_grad=True)
    focal_frequency(error).sum().backward()
    spectrum = np.fft.fft2(error.detach().numpy()[0].astype(float), norm="ortho")
    share = abs(spectrum) / abs(spectrum).max()
    fixed = 2 * np.fft.ifft2(share * spectrum, norm="ortho").real / error.numel()
    np.testing.assert_allclose(error.grad[0], fixed, atol=1e-6)


def test_a_perfect_tile_has_no_focal_loss_and_no_bad_gradient():
    error = torch.zeros(2, 8, 8, requires_grad=True)
    value = focal_frequency(error)
    value.sum().backward()
    assert torch.equal(value, torch.zeros(2)) and torch.equal(error.grad, torch.zeros(2, 8, 8))


def test_sea_and_gaps_carry_no_frequency():
    batch, weights = drawn(), Weights(0.0, 1.0, 0.0)
    first, second = residual_for(batch), residual_for(batch)
    with torch.no_grad():
        second[~batch.valid] = 50.0
    assert torch.equal(sums(first, batch, weights), sums(second, batch, weights))


def test_half_precision_residuals_are_scored_in_single_precision():
    batch = drawn()
    half = residual_for(batch).detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        inside = sums(half, batch, ALL)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, sums(half.float(), batch, ALL))


def test_a_station_pulls_at_its_four_pixels_by_bilinear_weights():
    batch = replace(blank(), station_at=torch.tensor([[[2.25, 5.5]]]), station_pm=torch.tensor([[10.0]]))
    residual = torch.zeros(1, 8, 8, requires_grad=True)
    value = sums(residual, batch, Weights(0.0, 0.0, 1.0))[2]
    value.backward()
    assert value.item() == pytest.approx((10.0 / PM_SCALE) ** 2)
    expected = torch.zeros(1, 8, 8)
    expected[0, 2:4, 5:7] = 2 * -0.5 * torch.tensor([[0.375, 0.375], [0.125, 0.125]])
    torch.testing.assert_close(residual.grad, expected, atol=1e-5, rtol=0)
    assert int((residual.grad.abs() > 1e-5).sum()) == 4


def test_a_station_is_compared_with_the_forecast_sampled_on_the_grid():
    rng = np.random.default_rng(6)
    grid = Grid(50.0, 10.0, 0.01, 8, 8)
    lats, lons = rng.uniform(grid.south, grid.north, 5), rng.uniform(grid.west, grid.east, 5)
    lats[0], lons[0], lats[1], lons[1] = grid.south, grid.east, grid.north, grid.west  # the outermost centres
    today, change = rng.gamma(2, 8, (8, 8)).astype(np.float32), rng.normal(size=(8, 8)).astype(np.float32)
    forecast = sample_points(today + PM_SCALE * change, grid, lats, lons)
    measured = rng.gamma(2, 8, 5).astype(np.float32)
    batch = replace(
        blank(),
        station_at=torch.from_numpy(np.stack([grid.rows(lats), grid.columns(lons)], -1)).float()[None],
        station_pm=torch.from_numpy(measured)[None],
    )
    batch.pm[0, 0] = torch.from_numpy(today)
    got = sums(torch.from_numpy(change)[None], batch, Weights(0.0, 0.0, 1.0))[2]
    assert got.item() == pytest.approx((((forecast - measured) / PM_SCALE) ** 2).sum(), rel=1e-4)


def test_a_station_without_a_value_neither_counts_nor_pulls():
    batch = replace(
        blank(), station_at=torch.tensor([[[1.0, 1.0], [4.0, 4.0]]]), station_pm=torch.tensor([[5.0, torch.nan]])
    )
    residual = torch.zeros(1, 8, 8, requires_grad=True)
    sums(residual, batch, Weights(0.0, 0.0, 1.0)).sum().backward()
    assert counts(batch).tolist() == [64.0, 1.0, 1.0]
    assert torch.isfinite(residual.grad).all()
    assert residual.grad[0, 1, 1] != 0 and residual.grad[0, 4, 4] == 0


def test_each_term_changes_the_gradient_where_it_acts():
    batch, gradients = drawn(), {}
    for name, weights in {
        "pixel": Weights(), "frequency": Weights(frequency=0.5), "station": Weights(station=0.5)
    }.items():  # fmt: skip
        residual = residual_for(batch)
        loss(sums(residual, batch, weights), counts(batch), weights).backward()
        gradients[name] = residual.grad
    waves, points = (gradients[name] != gradients["pixel"] for name in ("frequency", "station"))
    assert waves[batch.valid].float().mean() > 0.9 and not waves[~batch.valid].any()
    near = torch.zeros_like(batch.valid)
    for tile, at, pm in zip(near, batch.station_at, batch.station_pm, strict=True):
        for row, column in at[pm.isfinite()].int().tolist():
            tile[row : row + 2, column : column + 2] = True
    assert points.any() and not points[~near].any()


def test_terms_of_weight_zero_are_left_out():
    batch = drawn()
    whole = sums(residual_for(batch), batch, ALL)
    assert (whole > 0).all()
    for k, weights in enumerate((Weights(0.0, 1.0, 1.0), Weights(1.0, 0.0, 1.0), Weights(1.0, 1.0, 0.0))):
        expected = whole.clone()
        expected[k] = 0
        assert torch.equal(sums(residual_for(batch), batch, weights), expected)


def test_the_parts_of_a_step_add_up_to_the_whole():
    batch = drawn(days=4, tiles=3)
    residual = residual_for(batch)
    whole = loss(sums(residual, batch, ALL), counts(batch), ALL)
    for cuts in ((0, 6, 12), (0, 1, 4, 5, 12)):
        slices = [slice(a, b) for a, b in pairwise(cuts)]
        total = sum(sums(residual[s], part(batch, s), ALL) for s in slices)
        counted = sum(counts(part(batch, s)) for s in slices)
        assert torch.equal(counted, counts(batch))
        assert loss(total, counted, ALL).item() == pytest.approx(whole.item(), rel=1e-6)


def test_tiles_without_stations_keep_the_other_terms():
    made = examples()
    draws = made.draw(np.random.default_rng(2), 2, 2, [1, 1])
    made.stores[0].station_at = np.empty((0, 2))
    batch = made.batch([Draw(d.store, d.day, d.tiles, d.leads) for d in draws])
    assert batch.station_pm.shape == (4, 0)
    residual = residual_for(batch)
    got = sums(residual, batch, ALL)
    loss(got, counts(batch), ALL).backward()
    assert got[2] == 0 and got[:2].min() > 0 and torch.isfinite(residual.grad).all()
