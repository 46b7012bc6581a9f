"""Pages of the documentation that tools write."""

from argparse import ArgumentParser
from pathlib import Path


def write_or_check(page: Path, text: str, description: str) -> None:
    """Write a page, or with ``--check`` on the command line only compare it.

    Args:
        page (Path): The page.
        text (str): What it should be.
        description (str): What the tool does, for its help.

    Raises:
        SystemExit: If it is compared, and differs.
    """
    parser = ArgumentParser(description=description)
    parser.add_argument('--check', action='store_true', help='do not write, fail if it is outdated')
    if not parser.parse_args().check:
        page.write_text(text, encoding='utf-8')
    elif page.read_text(encoding='utf-8') != text:
        raise SystemExit(f'{page.name} is outdated: run this tool without --check')
