"""The page of ``dcn-deploy report``: what is in it, and what a browser makes of it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import browser
import numpy as np
import onnx
import pytest
import torch
import user_folder
from command_line import Call
from matplotlib.colors import to_rgb

import dcn_deploy
from dcn_deploy.sampling.observe import observe
from dcn_deploy.sampling.pictures import load_picture
from dcn_deploy.sampling.points import sample_points

HEIGHT, WIDTH = 48, 64  # of photo.jpg


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return user_folder.make(tmp_path_factory.mktemp("user"))


@pytest.fixture(scope="module")
def made(folder: Path) -> dcn_deploy.Report:
    return dcn_deploy.report(
        folder / "model.onnx",
        folder / "report.html",
        images=[folder / "photo.jpg"],
        against=folder / "other.onnx",
        threads=1,
        repeat=3,
    )


@pytest.fixture(scope="module")
def page(made: dcn_deploy.Report) -> str:
    return made.path.read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Every tag with its attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_what_is_on_it(made: dcn_deploy.Report, page: str) -> None:
    tags = Tags(page)
    sections = [attributes["id"] for attributes in tags.all("section")]
    assert sections == ["nodes", "runtimes", "verification", "times", "samples"]
    words = " ".join(tags.text.split())
    (node,) = made.model.nodes
    for text in (
        node.name, "portable form", "TensorRT-RTX", "dcn-deploy convert model.onnx",
        made.verification.summary, "photo.jpg", "onnxruntime alone", "99 % within",
    ):  # fmt: skip
        assert text in words, text
    assert len(tags.all("figure")) == 4 + 1  # an output and a node on two sides; a drawing
    assert json.loads(json.dumps(made.to_dict(), allow_nan=False))["pictures"] == ["photo.jpg"]


def test_the_arrows_are_the_samples(folder: Path, page: str) -> None:
    image = load_picture(folder / "photo.jpg").pixels
    tensor = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
    (node,) = observe(folder / "model.onnx", (tensor,))
    points = sample_points(node, HEIGHT, WIDTH)
    tags = Tags(page)
    dots = [(float(dot["cx"] or 0), float(dot["cy"] or 0)) for dot in tags.all("circle")]
    np.testing.assert_allclose(dots, points.ends.reshape(-1, 2), atol=0.01)
    shafts = [
        re.match(r"M(\S+) (\S+)L(\S+) (\S+?)(M|$)", path["d"] or "") for path in tags.all("path")
    ]
    starts = [[float(found[1]), float(found[2])] for found in shafts if found]
    np.testing.assert_allclose(starts, points.starts.reshape(-1, 2), atol=0.01)
    assert points.masks is not None
    colours = [to_rgb(dot["fill"] or "") for dot in tags.all("circle")]
    order = points.masks.reshape(-1).argsort()
    assert (np.diff(np.sum(colours, axis=1)[order]) >= -0.05).all()


def test_the_bars_of_a_histogram_are_all_its_elements(made: dcn_deploy.Report, page: str) -> None:
    counted = sum(int(n) for n in re.findall(r": (\d+) elements, ", page))
    checks = [
        check
        for side in made.verification.sides
        for case in side.cases
        for check in (*(o.difference for o in case.outputs), *(n.to_float64 for n in case.nodes))
    ]
    assert counted == sum(check.elements for check in checks if check) > 0


def test_nothing_comes_from_elsewhere(page: str) -> None:
    tags = Tags(page)
    assert not tags.all("script")
    assert not tags.all("link")
    for _, attributes in tags.found:
        for name in ("src", "href"):
            if (target := attributes.get(name)) is not None:
                assert target.startswith(("#", "data:image/jpeg;base64,"))
    assert "url(" not in page
    assert "@import" not in page
    (policy,) = [m["content"] for m in tags.all("meta") if "http-equiv" in m]
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_names_are_text_and_no_markup(folder: Path, tmp_path: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    (node,) = [node for node in model.graph.node if node.op_type == "DeformConv2d"]
    node.name = "<img src=x onerror=alert(1)>"
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    dcn_deploy.report(
        path, tmp_path / "r.html", inputs={"image": torch.rand(1, 3, 40, 56)}, repeat=1, runs=1
    )
    tags = Tags((tmp_path / "r.html").read_text())
    assert not tags.all("img")
    assert node.name in tags.text


def test_a_model_without_deformable_nodes(tmp_path: Path) -> None:
    value = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [2]) for n in "xy"]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:]
    )
    opsets = [onnx.helper.make_opsetid("", 19)]
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "m.onnx"
    )
    made = dcn_deploy.report(
        tmp_path / "m.onnx", tmp_path / "r.html", inputs={"x": torch.ones(2)}, repeat=1
    )
    assert not made.verification.passed  # nothing was compared
    assert "The model has none." in (tmp_path / "r.html").read_text()


# ---- in a browser -----------------------------------------------------------------------------


def share(picture: np.ndarray, colour: str) -> float:
    """The part of the pixels that have a colour."""
    return float((np.abs(picture - np.array(to_rgb(colour)) * 255).max(axis=2) < 3).mean())


def test_a_browser_shows_it(made: dcn_deploy.Report, tmp_path: Path) -> None:
    seen = browser.dom(made.path)
    assert seen.count("<circle") == made.path.read_text().count("<circle")
    light = browser.screenshot(made.path, tmp_path / "light.png")
    dark = browser.screenshot(made.path, tmp_path / "dark.png", dark=True)
    assert share(light, "#fbfbfd") > 0.05  # style.css: the page, the bars of our backend
    assert share(dark, "#14151a") > 0.05
    assert share(light, "#c2410c") > 0.0005
    assert share(dark, "#fb923c") > 0.0005
    for picture in (light, dark):
        assert share(picture, "#101014") > 0.005  # the margin around the photo
        assert len(np.unique(picture[::5, ::5].reshape(-1, 3), axis=0)) > 100


def test_the_browser_asks_nobody(made: dcn_deploy.Report, tmp_path: Path) -> None:
    assert browser.hosts_asked(made.path, tmp_path / "log.json") == set()
    page = tmp_path / "curious.html"
    page.write_text('<img src="http://elsewhere.invalid/x.png">')
    assert browser.hosts_asked(page, tmp_path / "log.json") == {"elsewhere.invalid"}


# ---- the command ------------------------------------------------------------------------------


def test_the_command_writes_the_page_of_a_wrong_model_too(cli: Call, tmp_path: Path) -> None:
    model = onnx.load("model.onnx")
    (pads,) = [
        item
        for node in model.graph.node
        for item in node.attribute
        if node.op_type == "DeformConv2d" and item.name == "pads"
    ]
    pads.ints[:] = [0, 1, 2, 0] if list(pads.ints) != [0, 1, 2, 0] else [2, 0, 0, 0]
    onnx.save(model, tmp_path / "wrong.onnx")
    page = tmp_path / "r.html"
    result = cli(
        "report", tmp_path / "wrong.onnx", "-o", page, "--input", "x.npy", "--against",
        "model.onnx", "--repeat", 1, "--json",
    )  # fmt: skip
    assert result.code == 1
    assert result.json["verification"]["passed"] is False
    assert 'class="verdict bad"' in page.read_text()
    assert "attribute pads is" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--image", "none.jpg"), "none.jpg: not a picture that can be read"),
        (("--image", "x.npy"), "x.npy: not a picture that can be read"),
        (("--image", "photo.jpg", "--mean", "a"), "--mean a: expected numbers"),
        (("--image", "photo.jpg", "--mean", "0,0"), "mean has 2 values, expected 1 or 3"),
        (("--image", "photo.jpg", "--size", "3x4x5"), "--size 3x4x5: expected four numbers"),
        ((), "give its size, for instance --size image=1x3x64x64"),
        (("--image", "photo.jpg", "-o", "mypkg"), "--output mypkg: is a folder"),
    ],
)
def test_arguments_that_are_wrong(arguments: tuple[str, ...], message: str, cli: Call) -> None:
    Path("old.html").write_text("as it was")
    output = () if "-o" in arguments else ("-o", "old.html")
    result = cli("report", "model.onnx", *output, *arguments, "--repeat", 1)
    assert result.code == 2
    assert message in result.err
    assert result.out == ""
    assert Path("old.html").read_text() == "as it was"
