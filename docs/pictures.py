"""Make the pictures of README.md and docs/ from the demo study: `make pictures`.

| picture | what it shows |
| --- | --- |
| docs/verdict.svg | what the command COMMAND below prints |
| docs/report.png | the top of the page that it writes, in Chromium |
| docs/gradient_flow.png | one of the figures that it draws |

Figures in docs/studies/ belong to STUDIES.md: `make studies`.
"""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).parent
STUDY = Path("outputs/demo")
COMMAND = ["-m", "multirun_analysis", str(STUDY), "--margin", "1pt"]
SCREEN = {"width": 1180, "height": 760}  # pixels
COLOURS = 96  # of a PNG; fewer give one level the colour of another
SVG = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-family: sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
"""  # rich's own template without fonts from the network: the site opens offline


def draw_terminal(path: Path) -> None:
    """Run COMMAND, which also writes the page and its figures, and draw what it prints as an SVG."""
    environment = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run([sys.executable, *COMMAND], env=environment, check=True, capture_output=True, text=True)
    shown = f"$ {' '.join(['python', *COMMAND])}\n{done.stdout.rstrip()}\n"
    console = Console(record=True, width=100, file=io.StringIO(), highlight=False, emoji=False, markup=False)
    for line in shown.splitlines():
        text = Text(line)
        text.highlight_regex(r"^(\$ .*|[A-Z]{2}[A-Z. ]+(?=  ))", "bold")  # the command, and the labels
        console.print(text)
    path.write_text(console.export_svg(title="", code_format=SVG), encoding="utf-8")


def draw_page(path: Path) -> None:
    """Draw the top of the study's page."""
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport=SCREEN, color_scheme="light")
        page.goto((STUDY / "analysis" / "report.html").resolve().as_uri())
        page.wait_for_selector("#parallel .parcoords")  # drawn last
        page.screenshot(path=path)
        browser.close()
    shrink(path)


def shrink(path: Path) -> None:
    """Save a PNG with few colours."""
    with Image.open(path) as image:
        image.convert("RGB").quantize(COLOURS).save(path, optimize=True)


def main() -> None:
    draw_terminal(DOCS / "verdict.svg")
    draw_page(DOCS / "report.png")
    shutil.copy(STUDY / "analysis" / "figures" / "gradient_flow.png", DOCS / "gradient_flow.png")
    shrink(DOCS / "gradient_flow.png")


if __name__ == "__main__":
    main()
