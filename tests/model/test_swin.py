"""Shifted windows on any grid, against attention written out token by token."""

import pytest
import torch

from cranpm.model import swin
from cranpm.model.swin import SwinBlock, Windows, merge, occupied, partition

GRIDS = [((7, 7), 0), ((14, 21), 0), ((14, 21), 3), ((5, 9), 0), ((5, 9), 3), ((8, 20), 3)]


@pytest.mark.parametrize(("grid", "shift"), GRIDS)
def test_merging_undoes_partitioning(grid, shift):
    tokens = torch.randn(2, *grid, 3)
    windows = Windows(grid, 7, shift)
    assert torch.equal(merge(partition(tokens, windows), windows), tokens)
    assert int(occupied(windows, torch.device("cpu")).sum()) == grid[0] * grid[1]
    assert occupied(windows, torch.device("cpu")).any(dim=1).all()


@pytest.mark.parametrize(("grid", "shift"), GRIDS)
def test_block_equals_attention_written_out(grid, shift):
    torch.manual_seed(0)
    block = SwinBlock(8, 2, 7, mlp_ratio=2.0, drop_path=0.0).eval()
    tokens = torch.randn(1, grid[0] * grid[1], 8)
    with torch.no_grad():
        block.table.mul_(50)
        expected = written_out(block, tokens, grid, shift)
        assert torch.allclose(block(tokens, Windows(grid, 7, shift)), expected, atol=1e-5)


def written_out(block: SwinBlock, tokens: torch.Tensor, grid: tuple[int, int], shift: int) -> torch.Tensor:
    rows, columns = grid
    q, k, v = block.qkv(block.norm(tokens))[0].unflatten(1, (3, 2, 4)).unbind(1)
    window = [((i - shift) // 7, (j - shift) // 7) for i in range(rows) for j in range(columns)]
    place = [((i - shift) % 7, (j - shift) % 7) for i in range(rows) for j in range(columns)]
    out = torch.zeros(len(window), 2, 4)
    for a in range(len(window)):
        near = [b for b in range(len(window)) if window[a] == window[b]]
        for head in range(2):
            offsets = [(place[b][0] - place[a][0] + 6) * 13 + place[b][1] - place[a][1] + 6 for b in near]
            scores = k[near, head] @ q[a, head] / 2.0 + block.table[head, offsets]
            out[a, head] = scores.softmax(0) @ v[near, head]
    tokens = tokens + block.project(out.flatten(1))[None]
    return tokens + block.mlp(block.mlp_norm(tokens))


@pytest.mark.parametrize(("grid", "shift"), GRIDS)
def test_what_lies_in_the_padding_does_not_matter(grid, shift, monkeypatch):
    torch.manual_seed(0)
    block = SwinBlock(8, 2, 7, mlp_ratio=2.0, drop_path=0.0).eval()
    tokens, windows = torch.randn(1, grid[0] * grid[1], 8), Windows(grid, 7, shift)
    expected = block(tokens, windows)
    real = occupied(windows, torch.device("cpu"))
    monkeypatch.setattr(swin, "occupied", lambda *_: real)
    pad = torch.nn.functional.pad
    monkeypatch.setattr(swin.F, "pad", lambda x, widths: pad(x, widths, value=30.0))
    assert torch.equal(block(tokens, windows), expected)


def test_shifted_windows_connect_neighbours_and_do_not_wrap_around():
    torch.manual_seed(0)
    block = SwinBlock(8, 2, 7, mlp_ratio=2.0, drop_path=0.0).eval()
    tokens = torch.randn(1, 14 * 14, 8)
    changed = tokens.clone()
    changed[:, 6 * 14 + 6] = torch.randn(8)
    windows = Windows((14, 14), 7, 3)
    touched = (block(changed, windows) - block(tokens, windows)).abs().amax(-1)[0].reshape(14, 14) > 0
    assert touched[3:10, 3:10].all() and int(touched.sum()) == 49
