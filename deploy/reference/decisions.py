"""The index of docs/adr/: a row for each decision, from its title, date and status."""

import re
from pathlib import Path

BEGIN, END = "<!-- table: decisions -->\n", "<!-- end -->"


def with_index(page: str, folder: Path) -> str:
    """`page` with its table of the decisions in `folder`. Raises `ValueError` for one without title, date or status."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/adr/README.md has no place for the table: write {BEGIN.strip()} and {END}")
    rows = ["| number | decision | date | status |", "|---|---|---|---|"]
    rows += [_row(path) for path in sorted(folder.glob("[0-9]*.md"))]
    return f"{before}{begin}\n" + "\n".join(rows) + f"\n\n{end}{after}"


def _row(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    title = re.match(r"# \d+[.:] (.+)\n", text)
    date = re.search(r"^Date: (\d{4}-\d\d-\d\d)\b", text, re.MULTILINE)
    status = re.search(r"^Status: (.+(?:\n.+)*?)$", text, re.MULTILINE)
    if title is None or date is None or status is None:
        raise ValueError(f"{path.name}: begin with `# NUMBER: TITLE`, then `Date: YYYY-MM-DD` and `Status: accepted`")
    return f"| [{path.name[:4]}]({path.name}) | {title[1]} | {date[1]} | {status[1]} |"
