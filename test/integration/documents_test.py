"""inkscape and soffice convert a document: big programs in C++ with threads, fonts and plugins."""

import pathlib
import random
import re
import shutil

import pytest

from . import harness

# Both put times and random names into what they write.
VOLATILE = re.compile(
    rb"/(?:CreationDate|ModDate|ID)\s*[(\[][^)\]]*[)\]]|<[0-9A-F]{32}>|/DocChecksum[^>]*"
)


def _drawing() -> str:
    """An SVG with paths, gradients, filters, clones and text."""
    generator = random.Random(1)
    parts = []
    for number in range(1500):
        x, y = generator.randrange(900), generator.randrange(900)
        turns = " ".join(
            f"{generator.randrange(-60, 60)},{generator.randrange(-60, 60)}" for _ in range(6)
        )
        parts.append(
            f'<path id="p{number}" d="M {x},{y} c {turns}" fill="url(#g{number % 40})" '
            f'stroke="#{number * 977 % 4096:03x}" opacity="0.{number % 9 + 1}"/>'
        )
        if number % 5 == 0:
            parts.append(
                f'<text x="{x}" y="{y}" font-size="{number % 17 + 6}">word {number}</text>'
            )
        if number % 7 == 0:
            parts.append(f'<use href="#p{number}" transform="rotate({number % 360} {x} {y})"/>')
    gradients = "".join(
        f'<linearGradient id="g{n}"><stop offset="0" stop-color="#{n * 91:03x}"/>'
        f'<stop offset="1" stop-color="#{4095 - n * 91:03x}"/></linearGradient>'
        for n in range(40)
    )
    head = '<svg xmlns="http://www.w3.org/2000/svg" width="960" height="960">'
    return f"{head}<defs>{gradients}</defs>{''.join(parts)}</svg>"


def _pages() -> str:
    """An HTML document with headings, lists, tables and much text."""
    generator = random.Random(2)
    parts = []
    for number in range(150):
        words = " ".join(f"word{generator.randrange(3000)}" for _ in range(200))
        rows = "".join(
            f"<tr><td>{generator.randrange(10**6)}</td><td><b>cell</b> {row}</td></tr>"
            for row in range(8)
        )
        parts.append(
            f"<h2>Part {number}</h2><p>{words}</p><table border=1>{rows}</table><ul><li>a<li>b</ul>"
        )
    return f"<html><body>{''.join(parts)}</body></html>"


def test_inkscape(root: pathlib.Path, repeats: int) -> None:
    """A drawing becomes the same picture, and the same PDF but for its dates."""
    inkscape = harness.program("inkscape")

    def scenario(sandbox: harness.Sandbox) -> None:
        sandbox.write("drawing.svg", _drawing())
        for kind in ("png", "pdf"):
            result = f"drawing.{kind}"
            sandbox.run(inkscape, f"--export-filename={result}", "drawing.svg", observed=False)
            content = (sandbox.root / result).read_bytes()
            sandbox.observe(result, VOLATILE.sub(b"", content))

    harness.expect_same(scenario, root, repeats)


def test_soffice(root: pathlib.Path, repeats: int) -> None:
    """A text document becomes the same text and the same PDF, but for its dates."""
    soffice = shutil.which("soffice")
    if soffice is None:
        pytest.skip("no soffice: 260 MB that CI does without (libreoffice-writer-nogui)")

    def scenario(sandbox: harness.Sandbox) -> None:
        sandbox.write("pages.html", _pages())
        profile = f"-env:UserInstallation=file://{sandbox.root}/profile"
        for kind in ("odt:writer8", "pdf:writer_pdf_Export", "txt:Text"):
            source = "pages.html" if kind.startswith("odt") else "pages.odt"
            call = [soffice, profile, "--headless", "--convert-to", kind, source]
            sandbox.run(*call, observed=False)
        sandbox.observe("text", (sandbox.root / "pages.txt").read_bytes())
        # Fonts are embedded in the order of their addresses.
        pdf = (sandbox.root / "pages.pdf").read_bytes()
        sandbox.observe("fonts", b" ".join(sorted(re.findall(rb"/Length1 \d+", pdf))))
        sandbox.observe("pages", b" ".join(re.findall(rb"/Type\s*/Pages[^>]*/Count \d+", pdf)[:1]))

    harness.expect_same(scenario, root, repeats)
