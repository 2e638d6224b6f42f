"""What MkDocs does not find in `docs`: pages of files elsewhere in the repository, and links that leave the folder."""

from __future__ import annotations

import ast
import json
import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])+)\]\(([^)\s#]+)(#[^)\s]*)?\)")
FENCE = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)
ROOT_PAGES = {
    "CHANGELOG.md": "about/changelog.md",
    "CONTRIBUTING.md": "about/contributing.md",
    "RELEASING.md": "about/releasing.md",
    "SECURITY.md": "about/security.md",
    "cookbook/README.md": "cookbook/index.md",
}
ELSEWHERE = {"README.md": "index.md", "README.zh.md": "index.md", "MIGRATION.md": "migration/index.md"}
"""Files of the repository that have no page of their own on the site, and the page that says the same."""
WIDE = {"models.md", "which-data.md", "migration/together-3.md"}
"""Pages whose tables need the place beside them."""


def recipe(path: Path) -> str:
    """The page of a recipe: its docstring, and the program."""
    source = path.read_text("utf-8")
    title, _, text = (ast.get_docstring(ast.parse(source)) or path.stem).partition("\n")
    return f"# {path.stem}\n\n{title}\n{text}\n\n```python\n{source}```\n"


def notebook(path: Path) -> str:
    """The page of a notebook: its texts, its code, and what the code printed."""
    parts = []
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        texts = ["".join(output.get("text") or output.get("data", {}).get("text/plain", "")) for output in cell["outputs"]]
        if printed := "".join(texts).rstrip():
            parts.append(f"```text\n{printed}\n```")
    parts.insert(1, f'The file: <a href="{path.name}" download>{path.name}</a>')
    return "\n\n".join(parts) + "\n"


def pages() -> dict[str, tuple[str, Path]]:
    """Pages that are not files of `docs`: by their path, the text, and the file that it comes from."""
    made = {uri: ((ROOT / name).read_text("utf-8"), ROOT / name) for name, uri in ROOT_PAGES.items()}
    for path in sorted((ROOT / "cookbook").glob("*.py")):
        made[f"cookbook/{path.stem}.md"] = (recipe(path), path)
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        made[f"notebooks/{path.stem}.md"] = (notebook(path), path)
    return made


PAGES = pages()


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages."""
    for uri, (text, _) in PAGES.items():
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Points links to where the site has what they name."""
    if page.file.src_uri in WIDE:
        page.meta["hide"] = ["navigation", "toc"]
    source = PAGES[page.file.src_uri][1] if page.file.src_uri in PAGES else ROOT / "docs" / page.file.src_uri

    def target(match: re.Match[str]) -> str:
        text, link, anchor = match.groups()
        if "://" in link or link.startswith("mailto:"):
            return match[0]
        name = os.path.relpath(source.parent / link, ROOT)
        uri = site_path(name)
        if uri is None:
            return text
        anchor = "" if name in ELSEWHERE else anchor or ""
        return f"[{text}]({os.path.relpath(uri, Path(page.file.src_uri).parent)}{anchor})"

    parts = FENCE.split(markdown)
    return "".join(part if part.startswith("```") else LINK.sub(target, part) for part in parts)


def site_path(name: str) -> str | None:
    """Where the site has a file of the repository; None if it has not."""
    if uri := ROOT_PAGES.get(name) or ELSEWHERE.get(name):
        return uri
    path = Path(name)
    if path.parts[0] == "docs":
        return str(path.relative_to("docs").with_suffix(".md" if path.suffix == ".ipynb" else path.suffix))
    if path.parts[0] == "cookbook" and path.suffix == ".py":
        return str(path.with_suffix(".md"))
    return None
