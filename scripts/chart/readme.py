"""Writes the table of values into a chart's README, from the comments `# -- …` in values.yaml. Every value must have one, itself or
at a value above it; a comment that belongs to no value is an error.

    readme.py VALUES README     rewrites what stands between the two marks in README
"""

import json
import pathlib
import re
import sys

import yaml

BEGIN, END = "<!-- values: written from values.yaml -->", "<!-- end of values -->"
KEY = re.compile(r"^( *)([A-Za-z][\w-]*):")


def described(text):
    """Yields (path, description) in the file's order."""
    path, comment = [], None
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if bare.startswith("# -- "):
            comment = bare[5:]
        elif bare.startswith("#"):
            if comment is not None:
                comment += " " + bare[1:].strip()
        elif match := KEY.match(line):
            depth = len(match[1]) // 2
            path = path[:depth] + [match[2]]
            if comment is not None:
                yield ".".join(path), comment
            comment = None
        elif not bare and comment is not None:
            sys.exit(f"values.yaml:{number}: the comment above belongs to no value")


def leaves(value, path=""):
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from leaves(part, f"{path}.{key}" if path else key)
    else:
        yield path


def lookup(values, path):
    for part in path.split("."):
        values = values[part]
    return values


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, readme = (pathlib.Path(name) for name in sys.argv[1:])
    values = yaml.safe_load(source.read_text())
    rows = dict(described(source.read_text()))
    for leaf in leaves(values):
        parts = leaf.split(".")
        if not any(".".join(parts[:count]) in rows for count in range(1, len(parts) + 1)):
            sys.exit(f"values.yaml: {leaf} has no description")
    lines = ["| value | default | meaning |", "|---|---|---|"]
    for path, text in rows.items():
        default = json.dumps(lookup(values, path), ensure_ascii=False).replace("|", "\\|")
        lines.append(f"| `{path}` | `{default}` | {text.replace('|', chr(92) + '|')} |")
    old = readme.read_text()
    if BEGIN not in old or END not in old:
        sys.exit(f"{readme}: the marks {BEGIN} and {END} are missing")
    head, tail = old.split(BEGIN)[0], old.split(END)[1]
    readme.write_text("\n".join([head + BEGIN, "", *lines, "", END]) + tail)


main()
