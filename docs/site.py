"""How `make docs` makes a site of the pages as they stand: a page may link to any file of the project.

A hook of MkDocs. What a page links to outside of `docs/` is brought in below `project/`: Markdown as a page, a folder
as a list of its files, any other file as a page that shows it.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
LANGUAGES = {".py": "python", ".sql": "sql", ".sh": "bash", ".json": "json", ".yaml": "yaml"}


def on_files(files: Files, config: Any) -> None:
    """Bring in what pages link to outside of `docs/`, and what that links to."""
    waiting = [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    known = {f"docs/{file.src_uri}" for file in files}
    while waiting:
        page = waiting.pop()
        for target in _links(page):
            if target not in known and not target.startswith("docs/"):
                known.add(target)
                waiting.append(target)
                files.append(File.generated(config, _in_site(target), content=_content(target)))


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links as they are in the project become links as they are in the site."""
    here = page.file.src_uri
    own = _in_project(here)

    def in_site(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(own), link[1]))
        return posixpath.relpath(_in_site(target), posixpath.dirname(here))

    return LINK.sub(in_site, markdown)


def _links(page: str) -> Iterator[str]:
    if page.endswith(".md"):
        for link in LINK.findall((ROOT / page).read_text(encoding="utf-8")):
            yield posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
    elif (ROOT / page).is_dir():
        yield from (file.relative_to(ROOT).as_posix() for file in _files(ROOT / page))


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix in LANGUAGES and file.stat().st_size)


def _content(target: str) -> str:
    path = ROOT / target
    if path.is_dir():
        names = [file.relative_to(path).as_posix() for file in _files(path)]
        rows = "\n".join(f"- [{name}]({posixpath.basename(target)}/{name})" for name in names)
        return f"# {target}\n\n{rows}\n"
    text = path.read_text(encoding="utf-8")
    language = LANGUAGES.get(path.suffix, "text")
    return text if path.suffix == ".md" else f"# {target}\n\n````{language}\n{text}````\n"


def _in_site(path: str) -> str:
    """Where a file of the project is in the site."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"project/{path}" if path.endswith(".md") else f"project/{path}.md"


def _in_project(page: str) -> str:
    """Where a page of the site is in the project."""
    if not page.startswith("project/"):
        return f"docs/{page}"
    path = page.removeprefix("project/")
    return path if (ROOT / path).is_file() else path.removesuffix(".md")
