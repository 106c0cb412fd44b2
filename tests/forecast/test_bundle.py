"""A bundle is what it was when it was made, from whom it says, and nothing else: or it is refused, with the reason."""

from __future__ import annotations

import io
import json
import random
import subprocess
import tempfile
import warnings
import zipfile
from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("torch")

from onnx import TensorProto, helper  # noqa: E402

from cranpm.errors import CranpmError  # noqa: E402
from cranpm.forecast.bundle import MANIFEST, SIGNATURE, open_bundle, sign_bundle  # noqa: E402
from cranpm.forecast.container import write_container  # noqa: E402
from cranpm.model.registry import find_bundle  # noqa: E402
from tests.forecast.bundles import day_graph, graph, parts, tile_graph, write_bundle  # noqa: E402


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "few.bundle")


@pytest.fixture
def shut(tmp_path):
    """A function that writes bytes and expects their refusal."""

    def check(content: bytes, match: str) -> None:
        path = tmp_path / "odd.bundle"
        path.write_bytes(content)
        with pytest.raises(CranpmError, match=match):
            open_bundle(path)

    return check


def keys(folder: Path, name: str = "site") -> tuple[Path, Path]:
    """A pair of keys, as an administrator makes one."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    made = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    private.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


def test_a_bundle_says_what_it_is(bundle):
    found = open_bundle(bundle)
    assert (found.checkpoint.name, found.checkpoint.trained_leads, found.precision) == ("few", (1, 2, 3), "fp32")
    assert found.days == {(16, 20): "day-16x20.onnx"} and found.held == ("keys_0",) and found.key == ""
    assert found.weights("tile")["tile.weight"].tolist() == [0.5]


def test_any_unzip_opens_a_bundle(bundle):
    with zipfile.ZipFile(bundle) as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read(MANIFEST))["name"] == "few"
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_a_bundle_made_twice_of_the_same_is_the_same(bundle, tmp_path):
    assert write_bundle(tmp_path / "again.bundle").read_bytes() == bundle.read_bytes()


def test_a_flipped_bit_is_refused_wherever_it_is(bundle, shut):
    content = bundle.read_bytes()
    for place in range(0, len(content), 41):
        shut(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :], r"odd\.bundle: ")


@pytest.mark.parametrize("which", ["few", pytest.param("europe-sample", marks=pytest.mark.slow)])
def test_two_hundred_mutated_bundles_are_refused_with_a_reason(bundle, shut, which):
    path = bundle if which == "few" else find_bundle(which)
    content, draw = path.read_bytes(), random.Random(7)
    for turn in range(200):
        altered = content
        while altered == content:
            altered = MUTATIONS[turn % len(MUTATIONS)](path, content, draw)
        shut(altered, r"odd\.bundle: .{20,}")


def flipped(_: Path, content: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]


def overwritten(_: Path, content: bytes, draw: random.Random) -> bytes:
    place, size = draw.randrange(len(content)), draw.randrange(1, 400)
    return content[:place] + draw.randbytes(size) + content[place + size :]


def cut_short(_: Path, content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def cut_out(_: Path, content: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(content) - 1)
    return content[:place] + content[place + draw.randrange(1, 400) :]


def added(_: Path, content: bytes, draw: random.Random) -> bytes:
    more = draw.randbytes(draw.randrange(1, 400))
    return content + more if draw.random() < 0.5 else more + content


def swapped(path: Path, _: bytes, draw: random.Random) -> bytes:
    """Two files in each other's place, in a container that is whole."""
    files = files_of(path)
    one, other = draw.sample(sorted(files.keys() - {MANIFEST}), 2)
    files[one], files[other] = files[other], files[one]
    return contained(files)


def left_out(path: Path, _: bytes, draw: random.Random) -> bytes:
    files = files_of(path)
    del files[draw.choice(sorted(files))]
    return contained(files)


def renamed(path: Path, _: bytes, draw: random.Random) -> bytes:
    files = files_of(path)
    files["other.onnx"] = files.pop(draw.choice(sorted(files)))
    return contained(files)


def written_twice(path: Path, content: bytes, draw: random.Random) -> bytes:
    """By zip's own rules a later file of a name hides the first."""
    made = io.BytesIO(content)
    with warnings.catch_warnings(), zipfile.ZipFile(made, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr(draw.choice(archive.namelist()), draw.randbytes(40))
    return made.getvalue()


def packed_by_another(path: Path, _: bytes, draw: random.Random) -> bytes:
    """The same files, compressed or with a comment: whole, and still not of our hand."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", draw.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])) as archive:
        for name, inside in files_of(path).items():
            archive.writestr(name, inside)
        archive.comment = draw.randbytes(3)
    return made.getvalue()


MUTATIONS = (
    flipped, overwritten, cut_short, cut_out, added, swapped, left_out, renamed, written_twice, packed_by_another,
)  # fmt: skip


def files_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def contained(files: dict[str, bytes]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write_container(Path(folder) / "a.bundle", files)
        return (Path(folder) / "a.bundle").read_bytes()


def test_a_field_that_another_reader_would_see_is_refused(tmp_path, shut):
    """A field's number of more than 32 bits: cut to 32 it is that of the functions."""
    hidden = bytes([0xCA | 0x80, 0x81, 0x80, 0x80, 0x80, 0x40, 0])
    files = parts()
    files["tile.onnx"] += hidden
    shut(write_bundle(tmp_path / "odd", files).read_bytes(), "not an ONNX file")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_of_another_tool_is_refused(bundle, shut, method):
    made = io.BytesIO()
    with zipfile.ZipFile(bundle) as archive, zipfile.ZipFile(made, "w", method) as other:
        for name in archive.namelist():
            other.writestr(name, archive.read(name))
    shut(made.getvalue(), "head of 'manifest.json' is not as a bundle's")


@pytest.mark.parametrize("name", ["../out.onnx", "/etc/passwd", "a/b.onnx", "C:evil", ".hidden", "tile.onnx\0", "a\\b"])
def test_a_path_that_escapes_is_refused(bundle, shut, name):
    with pytest.raises(ValueError):
        write_container(bundle.with_name("no.bundle"), {name: b""})
    content = bundle.read_bytes()
    same_length = name.ljust(len(MANIFEST), "x").encode()[: len(MANIFEST)]
    shut(content.replace(MANIFEST.encode(), same_length), "which no bundle holds")


def test_a_second_table_of_contents_is_refused(bundle, shut):
    content = bundle.read_bytes()
    shut(content + content[content.index(b"PK\x01\x02") :], "table of contents")
    shut(content + content, "table of contents")


def test_a_file_the_manifest_does_not_name_is_refused(tmp_path, shut):
    files = parts()
    shut(
        write_bundle(tmp_path / "a", {**files, "more.bin": b"x"}, lambda m: m["files"].pop("more.bin")).read_bytes(),
        "'more.bin' is in the bundle, not in the manifest",
    )
    shut(
        write_bundle(tmp_path / "b", files, lambda m: m["files"].update(less={"sha256": ""})).read_bytes(),
        "'less' is in the manifest, not in the bundle",
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m.update(schema_version=2), "schema_version 2, this cranpm reads 1"),
        (lambda m: m.update(more=1), "key 'more' missing or not known"),
        (lambda m: m.pop("held"), "key 'held'"),
        (lambda m: m["checkpoint"].pop("statistics"), "'statistics' missing"),
        (lambda m: m["checkpoint"]["config"].update(channels=["u10_t", "v10_t", "soot_t"]), "'soot_t'"),
        (lambda m: m.update(days={"16x20": "other.onnx"}), "other.onnx"),
        (lambda m: m.update(days={"x": "day-16x20.onnx"}), "not as cranpm export writes it"),
        (
            lambda m: m.update(packs={"india": {"pack": "../india.yaml"}}),
            r"names '\.\./india.yaml', which is not there",
        ),
        (lambda m: m.update(packs={"india": {}}), "not as cranpm export writes it"),
        (lambda m: m.update(days={}), "no graph for any day"),
        (lambda m: m.update(adapter={"name": "a"}), "keys missing"),
        (lambda m: m.update(weights={}), "'tile.weight' lies outside"),
        (lambda m: m.update(weights=[1]), "not as cranpm export writes it"),
        (lambda m: m.update(checkpoint=3), "not as cranpm export writes it|subscriptable"),
        (lambda m: m.update(files=dict.fromkeys(m["files"], 3)), "SHA-256"),
    ],
)
def test_a_manifest_that_is_not_ours_is_refused(tmp_path, shut, change, reason):
    shut(write_bundle(tmp_path / "odd", change=change).read_bytes(), reason)


def test_an_unknown_operator_is_refused(tmp_path, shut):
    for domain, kind in (("evil", "Add"), ("", "Loop"), ("com.microsoft", "Gelu"), ("", "If")):
        model = day_graph()
        model.graph.node[1].op_type, model.graph.node[1].domain = kind, domain
        if domain:
            model.opset_import.append(helper.make_opsetid(domain, 1))
        shut(write_bundle(tmp_path / "odd", parts(day=model)).read_bytes(), f"operator '{kind}'|asks for operator sets")


def test_a_graph_inside_a_node_is_refused(tmp_path, shut):
    model = tile_graph()
    inside = graph("inside", [], {}, ("x", ())).graph
    model.graph.node[0].attribute.append(helper.make_attribute("body", inside))
    shut(write_bundle(tmp_path / "odd", parts(tile=model)).read_bytes(), "a graph or a sparse tensor inside a node")


@pytest.mark.parametrize("location", ["/etc/passwd", "../tile.safetensors", "tile.safetensors", "*/_ORT_MEM_ADDR_/*"])
def test_data_outside_the_bundle_is_refused(tmp_path, shut, location):
    """Even in a constant, and even where it names a file of the bundle, at a place of its own."""
    for constant in (False, True):
        model = day_graph()
        tensor = TensorProto(name="day.other", data_type=TensorProto.FLOAT, dims=[1])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        if constant:
            model.graph.node.append(helper.make_node("Constant", [], ["spare"], value=tensor))
        else:
            model.graph.initializer.append(tensor)
        shut(write_bundle(tmp_path / "odd", parts(day=model)).read_bytes(), "'day.other' lies outside the bundle")


def test_a_graph_may_not_shift_its_weights(tmp_path, shut):
    files = parts()
    model = onnx.load_model_from_string(files["day-16x20.onnx"])
    model.graph.initializer[0].external_data[1].value = "0"
    files["day-16x20.onnx"] = model.SerializeToString()
    shut(write_bundle(tmp_path / "odd", files).read_bytes(), "'day.weight' is not where 'day.safetensors' has it")


def test_another_opset_is_refused(tmp_path, shut):
    model = day_graph()
    model.opset_import[0].version = 23
    shut(write_bundle(tmp_path / "odd", parts(day=model)).read_bytes(), "operator sets .*23.*, expected is 20")


def test_a_change_after_opening_is_noticed(tmp_path):
    path = write_bundle(tmp_path / "few.bundle")
    found = open_bundle(path)
    content = bytearray(path.read_bytes())
    content[found.members["tile.onnx"].start + 9] ^= 1
    path.write_bytes(content)
    with pytest.raises(CranpmError, match=r"'tile\.onnx' changed after the bundle was opened"):
        found.read("tile.onnx")


def test_a_signature_tells_the_origin(bundle, tmp_path):
    private, public = keys(tmp_path)
    _, stranger = keys(tmp_path, "stranger")
    signed = sign_bundle(open_bundle(bundle), private, tmp_path / "signed.bundle")
    assert signed.key and signed.hash == open_bundle(bundle).hash
    assert open_bundle(signed.path, key=public).key == signed.key
    with pytest.raises(CranpmError, match="signed by the key"):
        open_bundle(signed.path, key=stranger)
    with pytest.raises(CranpmError, match="signed by nobody"):
        open_bundle(bundle, key=public)
    twice = sign_bundle(signed, private, signed.path)
    assert twice.path.read_bytes() == signed.path.read_bytes() or open_bundle(twice.path, key=public)


def test_a_signature_of_another_manifest_does_not_hold(bundle, tmp_path):
    private, _ = keys(tmp_path)
    signed = sign_bundle(open_bundle(bundle), private, tmp_path / "signed.bundle")
    other = open_bundle(write_bundle(tmp_path / "other.bundle", change=lambda m: m.update(cranpm="1")))
    with zipfile.ZipFile(signed.path) as archive:
        stolen = archive.read(SIGNATURE)
    with zipfile.ZipFile(other.path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    write_container(tmp_path / "false.bundle", {**files, SIGNATURE: stolen})
    with pytest.raises(CranpmError, match="signature does not hold"):
        open_bundle(tmp_path / "false.bundle")


def test_keys_that_openssl_makes_serve(bundle, tmp_path):
    private, public = tmp_path / "site.key", tmp_path / "site.pub"
    try:
        subprocess.run(
            ["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True, capture_output=True
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("no openssl that knows ed25519")
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    assert sign_bundle(open_bundle(bundle), private, tmp_path / "signed.bundle").key
    assert open_bundle(tmp_path / "signed.bundle", key=public)
    with pytest.raises(CranpmError, match="openssl genpkey"):
        sign_bundle(open_bundle(bundle), public, tmp_path / "no.bundle")
    with pytest.raises(CranpmError, match="not a public key"):
        open_bundle(bundle, key=bundle)
