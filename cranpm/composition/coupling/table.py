"""What a coupling network is made of: parameters by part."""

from __future__ import annotations

from torch import nn

from cranpm.composition.coupling.network import Coupling


def parameter_table(network: Coupling) -> list[tuple[str, int]]:
    """Parameters of the parts in their order, the total last."""
    unet = network.unet
    count = len(unet.down)
    rows: list[tuple[str, list[nn.Module]]] = [
        (f"fusion ({network.config.fusion})", [network.fusion]),
        ("encoder 0", [unet.first]),
        *((f"encoder {k + 1}", [unet.down[k], unet.encoder[k]]) for k in range(count - 1)),
        (f"encoder {count}", [unet.down[-1], unet.middle_norm, unet.middle_time]),
        (f"{len(unet.middle)} x Conv2Former", [unet.middle]),
        *((f"decoder {count - 1 - k}", [unet.up[k], unet.decoder[k]]) for k in range(count)),
        ("time", [unet.time]),
        ("head", [network.head]),
    ]
    table = [(name, sum(p.numel() for part in parts for p in part.parameters())) for name, parts in rows]
    total = sum(number for _, number in table)
    assert total == sum(p.numel() for p in network.parameters())
    return [*table, ("total", total)]
