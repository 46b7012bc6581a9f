"""Renaming of weights by rules such as ``{'fc.{tensor}': 'head.fc.{tensor}'}``."""

import re
from functools import cache
from string import Formatter
from typing import Dict, Iterable, Optional

Rules = Dict[str, str]
# What may stand in the places of a name.
PLACES = dict(
    stem='conv1|bn1',
    stage=r'[1-9]',
    stage0=r'\d',  # a stage counted from 0; names of ours count from 1
    block=r'\d+',
    layer=r'(?:conv|bn)[1-3]|downsample\.[01]',
    index=r'\d',
    tensor=r'\w+',
)


@cache
def pattern(template: str) -> re.Pattern:
    """The names that a template stands for, as a regular expression."""
    parts = Formatter().parse(template)
    return re.compile(
        ''.join(
            re.escape(text) + (f'(?P<{place}>{PLACES[place]})' if place else '')
            for text, place, *_ in parts
        )
    )


def rule_for(key: str, rules: Rules) -> Optional[str]:
    """The template of the first rule that a name fits, or None."""
    return next((source for source in rules if pattern(source).fullmatch(key)), None)


def rename(key: str, rules: Rules) -> Optional[str]:
    """Translate the name of a weight.

    Args:
        key (str): The name.
        rules (Dict[str, str]): Templates of old names, with those of the new
            ones. The first that fits counts.

    Returns:
        str, optional: The new name, or None where no rule fits.
    """
    source = rule_for(key, rules)
    if source is None:
        return None
    parts = pattern(source).fullmatch(key).groupdict()
    if 'stage0' in parts:
        parts['stage'] = int(parts['stage0']) + 1
    return rules[source].format(**parts)


def fits(keys: Iterable[str], rules: Rules) -> bool:
    """Whether every name fits a rule and every rule is used."""
    used = {rule_for(key, rules) for key in keys}
    return used == set(rules)


def listed(names: Iterable[str], shown: int = 3) -> str:
    """The first names of many, in a line."""
    names = list(names)
    more = f' and {len(names) - shown} more' if len(names) > shown else ''
    return ', '.join(names[:shown]) + more
