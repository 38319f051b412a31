"""Add the checkout's own pages (README.md and others) and examples to the site that mkdocs builds of docs/."""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "STUDIES.md": "STUDIES.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the checkout's root, with their links as seen from docs/."""
    for name, page in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](").replace("](README.md", "](index.md")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Show examples in full, and make links from docs/ to the root lead to the pages that `on_files` has added.

    A paragraph that is a link to a file of examples/ becomes the file's text. Other links to examples/ lead nowhere on
    the site, and become text.
    """
    markdown = re.sub(r"^\[[^]]+\]\(\.\./(examples/\S+)\)$", _show_file, markdown, flags=re.MULTILINE)
    markdown = re.sub(r"\[([^]]+)\]\((?:\.\./)?examples/\S+\)", r"`\1`", markdown)
    return markdown.replace("](../README.md", "](index.md").replace("](../", "](")


def _show_file(link: re.Match[str]) -> str:
    path = ROOT / link[1]
    language = {".py": "python", ".yaml": "yaml"}[path.suffix]
    return f'```{language} title="{link[1]}"\n{path.read_text(encoding="utf-8")}```'
