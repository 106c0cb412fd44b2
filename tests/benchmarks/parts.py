"""Seconds, memory and arithmetic of each part of a network, beside the machine's own matrix product.

python -m tests.benchmarks.parts --config paper-96m --profile
python -m tests.benchmarks.parts --config small --backward --batch 1,8
python -m tests.benchmarks.parts --device cuda --dtype bf16 --batch 1,4,16 --channels-last --cuda-graphs

Every part runs on the inputs that it had in a pass of the whole network. "ratio" is the time a part would take at
the rate of a plain matrix product of the same type, over the time it took. "MiB" is what one run holds beyond weights
and inputs. What the parts do not add up to is layout, bias tables and positions between them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from cranpm.model.network import CranPM
from cranpm.model.parts import PARTS
from tests.benchmarks.measure import (
    Row,
    Run,
    arguments,
    captured,
    counted,
    machine,
    matmul_gflops,
    peak_mib,
    precision,
    refuse,
    save,
    seconds,
    set_up,
    show,
)
from tests.benchmarks.networks import (
    day_of,
    encode,
    for_inference,
    random_network,
    stay_channels_last,
    tile_forward,
    tiles_of,
)

GROUPS = (  # of torch's operators, by the beginning of their names
    ("convolution", ("aten::mkldnn_convolution", "aten::cudnn_convolution", "aten::_conv", "aten::convolution")),
    ("linear layers", ("aten::addmm", "aten::mm", "aten::linear", "aten::_addmm")),
    (
        "attention",
        ("aten::_scaled_dot", "aten::_flash", "aten::_efficient", "aten::_cudnn_att", "aten::bmm", "aten::_softmax"),
    ),
    ("norms, GELU, sums", ("aten::native_layer_norm", "aten::gelu", "aten::add", "aten::mul", "aten::div", "aten::su")),
    ("moving data", ("aten::copy_", "aten::cat", "aten::pixel_shuffle", "aten::gather", "aten::index", "aten::clone")),
)
COUNTED = {"convolution": ("convolution",), "linear layers": ("addmm", "mm"), "attention": ("bmm", "baddbmm")}


@dataclass(frozen=True)
class Piece:
    """A part with what it is called on.

    Attributes:
        name: what it is.
        per: "day" or "tile".
        batch: days or tiles in one run.
        calls: callables with the arguments each had in a pass of the whole network.
    """

    name: str
    per: str
    batch: int
    calls: tuple[tuple[Callable[..., object], tuple[object, ...]], ...]

    def forward(self) -> None:
        """One run without gradients."""
        with torch.no_grad():
            for call, given in self.calls:
                call(*given)

    def backward(self) -> None:
        """One run forwards and backwards, to the inputs that had a gradient and to all parameters."""
        for call, given in self.calls:
            leaves = [*_tensors(given), *(call.parameters() if isinstance(call, nn.Module) else ())]
            for leaf in leaves:
                leaf.grad = None
            made = [out for out in _tensors(call(*given)) if out.requires_grad]
            torch.autograd.backward(made, [torch.ones_like(out) for out in made])


def pieces(network: CranPM, batch: int, device: torch.device) -> list[Piece]:
    """The parts of `cranpm.model.parts` in the order they run, what is in them, whole day and whole tile."""
    day, tiles = day_of(network, device), tiles_of(network, device, batch)
    seen = _inputs_of(network, [*day, *tiles])
    named = [(label, prefixes, per) for label, prefixes, per in PARTS]
    named += [
        (f"· local: {kind} bias", (f"local_branch.elevation.{kind}",), "tile") for kind in ("relative", "elevation")
    ]
    named += [(f"· decoder, stage {k + 1}", (f"decoder.up.{k}",), "tile") for k in range(len(network.decoder.up))]
    parts = [
        Piece(label, per, 1 if per == "day" else batch, tuple(seen[name] for name in _members(seen, prefixes)))
        for label, prefixes, per in named
    ]
    with torch.no_grad():
        held = [tuple(part.requires_grad_(network.training) for part in pair) for pair in encode(network, day)]
    whole_day = Piece("whole day", "day", 1, ((_Whole(network, lambda *a: encode(network, [*a])), tuple(day)),))
    whole_tile = Piece("whole tile", "tile", batch, ((_Whole(network, tile_forward(network)), (held, *tiles)),))
    return [*parts, whole_day, whole_tile]


def gflop(run: Run) -> float:
    """Floating-point operations of a run, 1e9: products and convolutions, a multiply-add as two."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e9


def measure(network: CranPM, batch: int, device: torch.device, settings: argparse.Namespace) -> list[Row]:
    """A row per part; day parts with the first batch only, since they do not depend on it."""
    rows = []
    with precision(settings.dtype, device):
        found = pieces(network, batch, device)
    for piece in found:
        if piece.per == "day" and batch != settings.batch[0]:
            continue
        work = gflop(_eager(piece, settings, device))  # the counter sees torch's own operators only
        run = _eager(_compiled(piece, settings), settings, device)
        timed = captured(run, device) if settings.cuda_graphs else run  # a recorded run allocates nothing
        taken = seconds(timed, device, repeats=settings.repeats)
        rows.append(
            {
                "part": piece.name,
                "batch": f"{piece.batch} {piece.per}{'s' * (piece.batch > 1)}",
                "ms": 1e3 * taken,
                "GFLOP": work,
                "GFLOP/s": work / taken,
                "MiB": peak_mib(run, device),
            }
        )
    return rows


def operators(network: CranPM, device: torch.device, settings: argparse.Namespace) -> list[Row]:
    """Where a tile's time goes by kind of operator, in eager mode, with the rate of the kinds that do arithmetic."""
    with precision(settings.dtype, device):
        tile = pieces(network, settings.batch[0], device)[-1]
    run = _eager(tile, argparse.Namespace(**vars(settings) | {"backward": False}), device)
    spent, work = _spent(run, device, settings.repeats), _work(run)
    return [
        {
            "operators": name,
            "ms": 1e3 * taken,
            "share": f"{100 * taken / sum(spent.values()):.1f} %",
            "GFLOP": work[name] or "",
            "GFLOP/s": work[name] / taken if work[name] and taken else "",
        }
        for name, taken in spent.items()
    ]


def _spent(run: Run, device: torch.device, repeats: int) -> dict[str, float]:
    """Seconds of one run by kind of operator."""
    on_gpu = device.type == "cuda"
    run()
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as profiled:
        for _ in range(repeats):
            run()
    spent = dict.fromkeys([name for name, _ in GROUPS] + ["other"], 0.0)
    for event in profiled.key_averages():
        if event.device_type != DeviceType.CPU:  # a kernel: its time is its operator's
            continue
        taken = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        spent[group_of(event.key)] += taken / repeats / 1e6
    return spent


def _work(run: Run) -> dict[str, float]:
    """GFLOP of one run by kind of operator."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    counts = {str(op).split(".")[-1]: count / 1e9 for op, count in counter.get_flop_counts()["Global"].items()}
    return {name: sum(counts.get(op, 0.0) for op in COUNTED.get(name, ())) for name in [*dict(GROUPS), "other"]}


def group_of(operator: str) -> str:
    """The kind of a torch operator, e.g. "linear layers" for aten::addmm."""
    return next((name for name, starts in GROUPS if operator.startswith(starts)), "other")


def rates(device: torch.device, settings: argparse.Namespace) -> dict[str, float]:
    """GFLOP/s of a square matrix product in both types."""
    types = {"fp32": torch.float32, "bf16": torch.bfloat16}
    return {
        name: matmul_gflops(device, dtype, size=settings.matmul, repeats=settings.repeats)
        for name, dtype in types.items()
    }


class _Whole(nn.Module):
    """A callable as a module of the network's parameters."""

    def __init__(self, network: CranPM, call: Callable[..., object]) -> None:
        super().__init__()
        self.network, self.call = network, call

    def forward(self, *given: object) -> object:
        return self.call(*given)


def _compiled(piece: Piece, settings: argparse.Namespace) -> Piece:
    if not settings.compile:
        return piece
    torch.compiler.reset()  # or the blocks of earlier parts would count as versions of this one's, until it gives up
    calls = tuple((torch.compile(call, mode=settings.compile, dynamic=False), given) for call, given in piece.calls)
    return replace(piece, calls=calls)


def _eager(piece: Piece, settings: argparse.Namespace, device: torch.device) -> Run:
    plain = piece.backward if settings.backward else piece.forward

    def run() -> None:
        with precision(settings.dtype, device, cache=settings.backward):  # otherwise weights are bf16 already
            plain()

    return run


def _inputs_of(network: CranPM, given: Sequence[Tensor]) -> dict[str, tuple[nn.Module, tuple[object, ...]]]:
    """Each module's name with itself and the arguments of its call, cut off from the graph, in the order of calls."""
    seen: dict[str, tuple[nn.Module, tuple[object, ...]]] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[object, ...]], None]:
        return lambda module, inputs: seen.update({name: (module, tuple(_cut(value) for value in inputs))})

    hooks = [module.register_forward_pre_hook(note(name)) for name, module in network.named_modules() if name]
    with torch.enable_grad():
        network(*given)
    for hook in hooks:
        hook.remove()
    return seen


def _cut(value: object) -> object:
    return value.detach().requires_grad_(value.requires_grad) if isinstance(value, Tensor) else value


def _members(seen: Iterable[str], prefixes: Sequence[str]) -> list[str]:
    """The outermost modules with one of the prefixes: the module itself, or the members of a list of modules."""
    inside = [name for name in seen if any(name == p or name.startswith(f"{p}.") for p in prefixes)]
    return [name for name in inside if not any(name.startswith(f"{other}.") for other in inside)]


def _tensors(made: object) -> list[Tensor]:
    if isinstance(made, Tensor):
        return [made]
    return [tensor for part in made for tensor in _tensors(part)] if isinstance(made, list | tuple) else []


def main() -> None:
    """Print the tables."""
    parser = arguments(__doc__)
    parser.add_argument("--batch", type=counted, default=[1], help="tiles in one run, e.g. 1,2,4,8,16")
    parser.add_argument("--backward", action="store_true", help="forwards and backwards, in training mode")
    parser.add_argument("--channels-last", action="store_true", help="of the decoder")
    parser.add_argument("--cuda-graphs", action="store_true")
    parser.add_argument("--profile", action="store_true", help="where the time of a whole tile goes, eager")
    parser.add_argument("--matmul", type=int, default=4096, help="side of the matrices of the plain product")
    settings = parser.parse_args()
    refuse(settings.cuda_graphs and settings.device != "cuda", "--cuda-graphs needs --device cuda")
    refuse(settings.cuda_graphs and settings.backward, "--cuda-graphs is for the forward pass: leave --backward out")
    device = set_up(settings)
    print(machine(device), flush=True)
    before = rates(device, settings)
    network = random_network(settings.config, device)
    if settings.backward:
        network.train()
        if settings.channels_last:
            stay_channels_last(network)
    else:
        network = for_inference(network, settings.dtype, channels_last=settings.channels_last)
    rows = [row for batch in settings.batch for row in measure(network, batch, device, settings)]
    after = rates(device, settings)
    plain = {name: max(before[name], after[name]) for name in before}
    for row in rows:
        row["ratio"] = row["GFLOP/s"] / plain[settings.dtype]
    told = ", ".join(f"{name} {before[name]:.0f} before and {after[name]:.0f} after" for name in plain)
    print(f"{settings.matmul}^3 matrix product, GFLOP/s: {told}")
    if any(abs(before[name] - after[name]) > 0.1 * plain[name] for name in plain):
        print("BUSY: the two differ by more than a tenth, so something else ran beside; measure again")
    show(rows)
    where = operators(network.eval(), device, settings) if settings.profile else []
    if where:
        show(where)
    save(settings.json, settings, device, matmul_gflops=[before, after], parts=rows, operators=where)


if __name__ == "__main__":
    main()
