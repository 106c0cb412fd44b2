"""The cached day: the gradient of all tiles in one graph, in the memory of a few."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from cranpm.data.dataset import Batch
from cranpm.model.network import CranPM
from cranpm.model.statistics import nominal
from cranpm.train.cached_day import run_group, split_tiles
from cranpm.train.objective import Weights, counts, sums
from tests.train.toy import CONFIG, examples

WEIGHTS = Weights(pixel=1.0, frequency=0.1, station=0.1)


def group(days: int, tiles: int) -> Batch:
    made = examples()
    return made.batch(made.draw(np.random.default_rng(4), days, tiles, (1.0, 1.0)))


def network() -> CranPM:
    torch.manual_seed(0)
    made = CranPM(CONFIG, nominal()).eval()
    torch.nn.init.normal_(made.decoder.head.weight, std=0.1)  # an untrained one has no gradient behind it
    return made


def gradient(made: CranPM, batch: Batch, at_once: int) -> tuple[Tensor, Tensor]:
    """Gradient of all parameters, and the sums."""
    weights = torch.tensor([WEIGHTS.pixel, WEIGHTS.frequency, WEIGHTS.station])
    made.zero_grad()
    closing, total = run_group(
        made, batch, lambda residual, part: sums(residual, part, WEIGHTS), weights / counts(batch), at_once=at_once
    )
    closing.backward()
    return torch.cat([p.grad.flatten() for p in made.parameters() if p.grad is not None]), total


@pytest.mark.parametrize(("days", "tiles"), [(1, 4), (2, 3)])
@pytest.mark.parametrize("at_once", [1, 2])
def test_the_gradient_is_that_of_all_tiles_in_one_graph(days, tiles, at_once):
    made, batch = network(), group(days, tiles)
    joint, expected = gradient(made, batch, tiles)
    cached, found = gradient(made, batch, at_once)
    assert (cached - joint).norm() < 1e-5 * joint.norm()
    assert torch.allclose(found, expected, rtol=1e-5)
    assert made.global_branch.embed.linear.weight.grad.norm() > 0  # the day learns too


def test_without_the_cached_gradient_the_day_would_learn_from_the_last_tiles_only():
    made, batch = network(), group(1, 4)
    _, _ = gradient(made, batch, 4)
    joint = made.global_branch.embed.linear.weight.grad.clone()
    last = split_tiles(batch, 1)[-1]
    gradient(made, last, 1)
    assert (made.global_branch.embed.linear.weight.grad - joint).norm() > 0.1 * joint.norm()


def test_a_day_is_encoded_once_and_goes_backwards_once(monkeypatch):
    made, batch = network(), group(1, 4)
    encoded, tiles, backwards = [], [], []
    encode, forward = made.encode_day, made.forward_tiles
    monkeypatch.setattr(made, "encode_day", lambda c, e: (encoded.append(len(c)), encode(c, e))[1])
    monkeypatch.setattr(made, "forward_tiles", lambda s, *t: (tiles.append(len(t[0])), forward(s, *t))[1])
    made.global_branch.norm.register_full_backward_hook(lambda *_: backwards.append(1))
    gradient(made, batch, 1)
    assert (encoded, tiles, backwards) == ([1], [1, 1, 1, 1], [1])


def test_passes_keep_tiles_with_their_days():
    batch = group(2, 3)
    first, second = split_tiles(batch, 2)
    assert torch.equal(first.target, batch.target[[0, 1, 3, 4]])
    assert torch.equal(second.target, batch.target[[2, 5]])
    assert torch.equal(first.coarse, batch.coarse) and torch.equal(second.coarse, batch.coarse)
    assert split_tiles(batch, 3) == [batch]


def test_fewer_tiles_at_once_need_less_memory():
    """Counted as what autograd holds at a time, the day's share included."""
    made, batch = network(), group(1, 8)
    peaks = []
    for at_once in (1, 8):
        held, peak = 0, 0

        class Kept:
            def __init__(self, tensor: Tensor) -> None:
                nonlocal held, peak
                self.tensor, self.size = tensor, tensor.nbytes
                held += self.size
                peak = max(peak, held)

            def __del__(self) -> None:
                nonlocal held
                held -= self.size

        with saved_tensors_hooks(Kept, lambda kept: kept.tensor):
            gradient(made, batch, at_once)
        peaks.append(peak)
    assert peaks[0] < 0.5 * peaks[1]


def test_dropout_does_not_change_the_day_between_its_passes():
    """All tiles of a group see one day state, the dropped tokens of the global branch included."""
    torch.manual_seed(0)
    made = CranPM(replace(CONFIG, dropout=0.5), nominal()).train()
    states = []
    forward = made.forward_tiles
    made.forward_tiles = lambda state, *tiles: (states.append(state.detach()), forward(state, *tiles))[1]  # type: ignore[method-assign]
    gradient(made, group(1, 3), 1)
    assert len(states) == 3 and all(torch.equal(state, states[0]) for state in states)
