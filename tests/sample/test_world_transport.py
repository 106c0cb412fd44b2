"""The transport operator against what can be said without it."""

from __future__ import annotations

import numpy as np

from cranpm.grid import KM_PER_DEGREE, Grid
from cranpm.sample.transport import STEP, Air, Transport

GRID = Grid(46.0, 8.0, 0.02, 80, 100)
SHAPE = GRID.shape


def still(points, rows, columns):
    """Air from outside is clean."""
    return np.zeros(points.size, np.float32)


def air(u=0.0, v=0.0, mixing=800.0, rain=0.0, above=0.0) -> Air:
    return Air(*(np.full(SHAPE, value, np.float32) for value in (u, v, mixing, rain, above)))


def inert(elevation=None, halvings: int = 2) -> Transport:
    """Transport without any loss."""
    ground = np.zeros(SHAPE, np.float32) if elevation is None else elevation
    return Transport(GRID, ground, halvings=halvings, deposition=0.0, scavenging=0.0, lifetime=1e9)


def blob(row: int, column: int, size: float = 4.0):
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.exp(-0.5 * (((rows - row) / size) ** 2 + ((columns - column) / size) ** 2)).astype(np.float32)


def centre(field) -> tuple[float, float]:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return float((rows * field).sum() / field.sum()), float((columns * field).sum() / field.sum())


NOTHING = np.zeros(SHAPE, np.float32)


def test_constant_field_stays_constant() -> None:
    constant = np.full(SHAPE, 12.0, np.float32)
    rng = np.random.default_rng(0)
    moving = Air(
        *(rng.normal(0, 4, (2, *SHAPE)).astype(np.float32)),
        *(air(above=12.0).__dict__[n] for n in ("mixing", "rain", "above")),
    )
    hills = (800 * blob(40, 50, 10)).astype(np.float32)
    found = inert(hills).step(constant, moving, NOTHING, lambda points, r, c: np.full(points.size, 12.0, np.float32))
    np.testing.assert_allclose(found, 12.0, rtol=1e-6)


def test_no_new_extremes_and_nothing_negative() -> None:
    field = blob(40, 50) + blob(20, 30)
    found = inert().step(field, air(u=3.3, v=-1.7), NOTHING, still)
    assert found.min() >= 0 and found.max() <= field.max() + 1e-6


def test_blob_moves_with_the_wind() -> None:
    found = inert().step(blob(40, 40), air(u=2.0, v=1.0), NOTHING, still)
    row, column = centre(found)
    km = GRID.step * KM_PER_DEGREE
    assert abs((column - 40) * km * np.cos(np.radians(45.2)) - 2.0 * STEP / 1000) < 0.5
    assert abs((40 - row) * km - 1.0 * STEP / 1000) < 0.5, "northward wind moves the blob towards row 0"
    assert abs(found.sum() / blob(40, 40).sum() - 1) < 0.01, "mass is kept"


def test_plume_lies_downwind_of_its_source() -> None:
    source, transport, field = blob(40, 30, 2), inert(halvings=3), NOTHING
    for _ in range(4):
        field = transport.step(field, air(u=2.5), source, still)
    assert field[40, 30:70].min() > 20 * field[40, :22].max()
    along = field[40, 32:70]
    assert along.min() > 0.4 * along.max(), "a line, not a row of dots"


def test_emission_of_still_air_adds_up() -> None:
    found = inert().step(NOTHING, air(mixing=500.0), np.full(SHAPE, 0.02, np.float32), still)
    np.testing.assert_allclose(found, 0.02 * STEP / 500, rtol=1e-5)


def test_wall_blocks_what_flat_ground_lets_through() -> None:
    wall = np.zeros(SHAPE, np.float32)
    wall[:, 48:52] = 2500
    dirty = np.where(np.arange(SHAPE[1]) < 40, 50.0, 0.0).astype(np.float32) * np.ones(SHAPE, np.float32)
    behind, open_ = dirty, dirty
    upwind = lambda points, r, c: np.full(points.size, 50.0, np.float32)  # noqa: E731
    for _ in range(5):
        behind = inert(wall, halvings=3).step(behind, air(u=3.0, mixing=500.0), NOTHING, upwind)
        open_ = inert(halvings=3).step(open_, air(u=3.0, mixing=500.0), NOTHING, upwind)
    assert open_[:, 60:70].mean() > 45 and behind[:, 60:70].mean() < 5


def test_wind_turns_along_steep_ground() -> None:
    slope = np.tile(np.linspace(0, 8000, SHAPE[1], dtype=np.float32), (SHAPE[0], 1))
    u, v = inert(slope).deflect(np.full(SHAPE, 3.0, np.float32), np.full(SHAPE, 2.0, np.float32))
    assert (u < 1.5).all() and np.allclose(v, 2.0)


def test_rain_deposition_and_time_each_remove() -> None:
    field = np.full(SHAPE, 20.0, np.float32)
    same = lambda points, r, c: np.full(points.size, 20.0, np.float32)  # noqa: E731
    ground = np.zeros(SHAPE, np.float32)
    dry = Transport(GRID, ground).step(field, air(), NOTHING, same)
    wet = Transport(GRID, ground).step(field, air(rain=5.0), NOTHING, same)
    kept = Transport(GRID, ground, deposition=0.0).step(field, air(), NOTHING, same)
    assert wet.max() < 0.75 * dry.min() and dry.max() < kept.min() < 20.0


def test_shallow_air_holds_more_of_what_is_emitted() -> None:
    source = np.full(SHAPE, 0.01, np.float32)
    shallow = inert().step(NOTHING, air(mixing=250.0), source, still)
    deep = inert().step(NOTHING, air(mixing=1000.0), source, still)
    np.testing.assert_allclose(shallow, 4 * deep, rtol=1e-5)


def test_clean_air_above_dilutes_and_dirty_air_above_pollutes() -> None:
    field = np.full(SHAPE, 10.0, np.float32)
    mixing = Transport(GRID, NOTHING, lifetime=1.0, deposition=0.0)
    same = lambda points, r, c: np.full(points.size, 10.0, np.float32)  # noqa: E731
    assert mixing.step(field, air(above=2.0), NOTHING, same).max() < 10
    assert mixing.step(field, air(above=30.0), NOTHING, same).min() > 10
