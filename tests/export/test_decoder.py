"""The decoder that is exported computes what the decoder computes, of the same weights."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from cranpm.export.decoder import FoldedDecoder  # noqa: E402
from cranpm.model.decoder import Decoder  # noqa: E402


@pytest.mark.parametrize("fields", [1, 4])
@pytest.mark.parametrize("padding", ["zeros", "replicate"])
@pytest.mark.parametrize("upsampling", ["shuffle", "transposed"])
def test_folding_the_head_changes_nothing(upsampling, padding, fields):
    decoder = drawn(Decoder(16, (12, 8), fields, upsampling, padding))
    tokens = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        wanted, found = decoder(tokens, (2, 3)), FoldedDecoder(decoder)(tokens, (2, 3))
    assert wanted.shape == found.shape == (2, fields, 8, 12)
    torch.testing.assert_close(found, wanted, atol=1e-5 * float(wanted.std()), rtol=1e-5)


def test_the_weights_keep_their_names():
    decoder = Decoder(16, (12, 8))
    assert FoldedDecoder(decoder).state_dict().keys() == decoder.state_dict().keys()


def drawn(decoder: Decoder) -> Decoder:
    """With a head and biases that are not zero."""
    draw = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(0, 0.3, generator=draw)
    return decoder
