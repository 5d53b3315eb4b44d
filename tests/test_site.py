"""The site documents every command, option, key, public name and exception; its links work."""

import re
import sys
from pathlib import Path

import click
import pytest

pytest.importorskip("torch")

import bnnkit.errors
from bnnkit.cli.group import COMMANDS, bnnkit_command
from bnnkit.cli.options import RenamedOption

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from api import PACKAGES, api_pages, page_name, path_of, public_names
from commands import commands_page
from configuration import SECTIONS, configuration_page
from links import problems
from pages import DOCS, ROOT, Pages


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_there(name: str) -> None:
    (part,) = re.findall(rf"^## {name}\n(.*?)(?=^## |\Z)", commands_page(), re.M | re.S)
    text = " ".join(part.replace("&lt;", "<").split())
    command = bnnkit_command.get_command(click.Context(bnnkit_command), name)
    assert command is not None
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            names = parameter.opts[:1] if isinstance(parameter, RenamedOption) else parameter.opts
            assert all(option in text for option in names)
            assert " ".join((parameter.help or "").split())[:60] in text
    assert (command.help or "").splitlines()[0] in text


def test_every_key_of_a_configuration_is_there() -> None:
    text = configuration_page()
    for section, model in SECTIONS.items():
        for key in model.model_fields:
            full = f"{section}.{key}" if section else key
            (row,) = re.findall(
                rf"^\| `{re.escape(full)}` \| (.*) \| (.*) \| (.*) \|$", text, re.M
            )
            assert all(row)


def test_every_public_name_has_a_docstring_and_a_place() -> None:
    pages = api_pages()
    for package in PACKAGES:
        for name in public_names(package):
            assert f"::: {path_of(package, name)}\n" in pages[page_name(package)] + "\n"
    packages = {f"bnnkit.{path.parent.name}" for path in (ROOT / "bnnkit").glob("*/__init__.py")}
    with_names = {
        p
        for p in packages
        if "__all__" in (ROOT / p.replace(".", "/") / "__init__.py").read_text()
    }
    # Preprocessing of images is documented with the runtime; the command line has its own page.
    assert with_names - {"bnnkit.images", "bnnkit.cli"} <= set(PACKAGES)


def test_every_exception_is_explained() -> None:
    text = (DOCS / "reference/errors.md").read_text(encoding="utf-8")
    for name in public_names("bnnkit.errors"):
        assert issubclass(getattr(bnnkit.errors, name), bnnkit.errors.BnnkitError)
        assert f"`{name}`" in text


def test_every_page_is_in_the_navigation() -> None:
    settings = (DOCS / "site/zensical.toml").read_text(encoding="utf-8")
    named = set(re.findall(r'"([^"]+\.md)"', settings))
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert pages - {"site/home.md"} <= named
    assert tomllib.loads(settings)["project"]["site_name"] == "bnnkit"


def test_pages_take_along_what_they_link_to(tmp_path: Path) -> None:
    pages = Pages(tmp_path)
    pages.add_text(
        "reference/made.md", "[a](../../examples/configs) `[b](no)`\n\n```\n[c](no)\n```\n"
    )
    text = (tmp_path / "reference/made.md").read_text()
    assert text.startswith("[a](../files/examples/configs/index.md) `[b](no)`")
    listing = (tmp_path / "files/examples/configs/index.md").read_text()
    assert "- [digits-mlp.yaml](digits-mlp.yaml.md)" in listing
    assert "```yaml" in (tmp_path / "files/examples/configs/digits-mlp.yaml.md").read_text()


def test_dead_links_and_foreign_files_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="b.html#here">1</a><a href="b.html#gone">2</a><a href="c.html">3</a>'
        '<a href="https://example.org">4</a><script src="https://example.org/x.js"></script>'
    )
    (tmp_path / "b.html").write_text('<p id="here">')
    assert problems(tmp_path) == [
        "a.html links to b.html#gone, which has no such place",
        "a.html links to c.html, which does not exist",
        "a.html loads https://example.org/x.js",
    ]


def test_formulas_become_mathml() -> None:
    markdown = pytest.importorskip("markdown")
    pytest.importorskip("latex2mathml")
    text = "It costs $2 or $3. `$a$`, $a_i < b_i$ and\n\n$$\\sum_i x_i$$"
    html = markdown.markdown(text, extensions=["formulas"])
    assert "costs $2 or $3." in html
    assert "<code>$a$</code>" in html
    assert html.count("<math") == 2
    assert 'display="block"' in html
    assert "<em>" not in html


def test_words_and_signs_in_formulas() -> None:
    markdown = pytest.importorskip("markdown")
    pytest.importorskip("latex2mathml")
    html = markdown.markdown(r"$\mathrm{sign}(-1)$", extensions=["formulas"])
    assert "<mi>sign</mi>" in html
    assert '<mo form="prefix">&#x02212;</mo><mn>1</mn>' in html
    with pytest.raises(ValueError, match="does not know a command of"):
        markdown.markdown(r"$\arg x$", extensions=["formulas"])
