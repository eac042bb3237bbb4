"""What mkdocs does besides: pages that come of conf/ and of files outside docs/, and links that hold on GitHub, too.

A line `<!-- options: loss, modifier -->` becomes the YAML files of these groups with their comments,
`<!-- yaml: config -->` one file, `<!-- commands -->` the commands with their keys,
`<!-- file: CONTRIBUTING.md -->` that file.
"""

import ast
import logging
import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONF, PACKAGE = ROOT / "conf", ROOT / "embexp"
PAGES = {"README.md": "index.md", "README.zh-CN.md": "index.md", "CONTRIBUTING.md": "project/contributing.md"}
PAGES |= {"CHANGELOG.md": "project/changelog.md", "RESULTS.md": "project/results.md"}
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
FROM_ELSEWHERE = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//|<link\b[^>]*\bhref=["']?(?:https?:)?//"""
)


def on_config(config: Any) -> Any:
    """The configuration itself; jieba, which cuts Chinese for the search, is quiet."""
    logging.getLogger("jieba").setLevel(logging.WARNING)
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page with its generated parts, and with its links to files outside docs/ as links to their pages."""
    markdown = re.sub(r"^<!-- options: ([\w/, ]+) -->$", lambda found: options(found[1]), markdown, flags=re.MULTILINE)
    markdown = re.sub(r"^<!-- yaml: (\w+) -->$", lambda found: yaml_file(found[1]), markdown, flags=re.MULTILINE)
    markdown = re.sub(r"^<!-- commands -->$", lambda found: commands(), markdown, flags=re.MULTILINE)
    text, fences = outside_fences(included(markdown, page.file.src_uri))
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))
    return fences(LINK.sub(lambda found: _link(found, folder, page.file.src_uri), text))


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """The page itself; a script, a picture or a style sheet from elsewhere ends the build."""
    if found := FROM_ELSEWHERE.search(output):
        raise ValueError(f"{page.file.src_uri} loads something from elsewhere: {found[0]}")
    return output


def outside_fences(markdown: str) -> tuple[str, Any]:
    """The text without its code blocks, and a function that puts them back."""
    blocks: list[str] = []

    def keep(found: re.Match) -> str:
        blocks.append(found[0])
        return f"\x00{len(blocks) - 1}\x00"

    text = re.sub(r"^( *)(```+|~~~+).*?^\1\2 *$|(?<!`)`[^`\n]+`(?!`)", keep, markdown, flags=re.MULTILINE | re.DOTALL)
    return text, lambda changed: re.sub(r"\x00(\d+)\x00", lambda found: blocks[int(found[1])], changed)


def included(markdown: str, page: str) -> str:
    """The page with the files that it names; their links are those of a file in the top folder."""

    def content(found: re.Match) -> str:
        text, fences = outside_fences((ROOT / found[1]).read_text(encoding="utf-8").partition("\n")[2])
        up = posixpath.relpath(".", posixpath.join("docs", posixpath.dirname(page)))
        local = LINK.sub(
            lambda link: link[0] if ":" in link[2] else f"[{link[1]}]({posixpath.join(up, link[2])}{link[3] or ''})",
            text,
        )
        return fences(local)

    return re.sub(r"^<!-- file: (\S+) -->$", content, markdown, flags=re.MULTILINE)


def _link(found: re.Match, folder: str, page: str) -> str:
    """A link as the site knows it: one to a file that is no page of it becomes its text."""
    text, target, anchor = found[1], found[2], found[3] or ""
    if ":" in target:
        return found[0]
    path = posixpath.normpath(posixpath.join(folder, target))
    if path.startswith("docs/"):
        return found[0]
    if path in PAGES:
        return f"[{text}]({posixpath.relpath(PAGES[path], posixpath.dirname(page) or '.')}{anchor})"
    if not (ROOT / path).exists():
        raise FileNotFoundError(f"{page} links to {target}, which does not exist")
    return text if text.startswith("`") or "\x00" in text else f"`{text}`"


def yaml_file(name: str) -> str:
    """The configuration of a command as it stands, without Hydra's own."""
    return f"```yaml\n{_parts(CONF / f'{name}.yaml')[1].partition(chr(10) + 'hydra:')[0].strip()}\n```"


def options(groups: str) -> str:
    """The options of groups: a table of their first comments, then each file as it stands."""
    return "\n".join(_group(group) for group in groups.split(", "))


def _group(group: str) -> str:
    paths = sorted((CONF / group).glob("*.yaml"))
    assert paths, f"conf/{group} has no YAML files"
    named = [(path.stem, *_parts(path)) for path in paths]
    rows = [f"| [`{name}`](#{_anchor(group, name)}) | {comment} |" for name, comment, _ in named]
    parts = [f"## {group}\n", "| option | what it is |", "| --- | --- |", *rows, ""]
    for name, comment, content in named:
        parts += [f"### {group}={name} {{ #{_anchor(group, name)} }}\n", comment, "", "```yaml", content, "```", ""]
    return "\n".join(parts)


def _anchor(group: str, name: str) -> str:
    return f"{group.replace('/', '-')}-{name}"


def _parts(path: Path) -> tuple[str, str]:
    """The first comment of a YAML file as one line, and what follows it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    length = next((index for index, line in enumerate(lines) if not line.startswith("#")), len(lines))
    comment = " ".join(line.lstrip("# ") for line in lines[:length] if not line.startswith("# @package"))
    return comment.replace("|", "\\|"), "\n".join(lines[length:]).strip("\n")


def commands() -> str:
    """The commands, each with what it does and the keys of its own that it knows."""
    from embexp.cli.help import COMMANDS

    return "\n".join(_command(name) for name in COMMANDS)


def _command(name: str) -> str:
    config = CONF / f"{name}.yaml"
    comment, keys = _parts(config) if config.is_file() else ("", "")
    module = next((path for path in (PACKAGE / f"{name}.py", PACKAGE / name / "__main__.py") if path.is_file()), None)
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) if module else comment
    keys = re.sub(
        r"^  - (?:\w+_schema|_self_|override hydra/.*)\n|\n*^hydra:\n(?: .*\n?|\n)*", "", keys, flags=re.MULTILINE
    )
    shown = ["```yaml", keys.strip(), "```", ""] if keys else []
    return "\n".join([f"## embexp {name}\n", text or "", "", *shown])
