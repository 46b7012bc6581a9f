"""Values that a parameter must not have, by its annotation."""

import inspect
from typing import Sequence, Union, get_args

INTEGER = ('3', 2.5, True, None, [3], -7, 10**12, float('nan'))
SEQUENCE = (5, 'abc', (), (-7,), (True,) * 4, (1.5,) * 4, [None], {})
WRONG = {
    int: INTEGER,
    float: ('0.5', True, None, float('nan'), float('inf'), -0.1, 1, [0.5]),
    bool: (0, 1, 'yes', None, []),
    str: ('', 'no such value', 5, None, ['gap'], {}),
    dict: (5, 'BN', [], {}, dict(type=''), dict(type='NoSuchType'), dict(type=5), None),
    Sequence[int]: SEQUENCE,
    Sequence[Union[int, Sequence[int]]]: (*SEQUENCE, ((1, 0),) * 4),
    Sequence[dict]: (5, 'abc', {}, [5], [{}], [dict(cfg=5)], [dict(position='after_conv3')]),
    Sequence[bool]: (5, 'abc', (), (1, 0, 1, 0), (True,) * 9, [None] * 4),
    Sequence[str]: (5, 'channel_add', (), ('no such value',), [5]),
    Union[int, Sequence[int]]: ('3', 2.5, True, None, -7),
    Union[dict, list]: (5, 'Kaiming', dict(type='NoSuchType'), [5], [dict()]),
}


def parameters(cls):
    """The parameters of a class, also those that it hands on to its bases."""
    found = {}
    for base in cls.__mro__:
        if '__init__' in vars(base):
            own = inspect.signature(base.__init__).parameters.values()
            named = [p for p in own if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
            for parameter in named[1:]:
                found.setdefault(parameter.name, parameter)
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own):
                break
    return found


def wrong_values(parameter):
    """Values that a parameter must not have, by its annotation."""
    allowed = [kind for kind in get_args(parameter.annotation) if kind is not type(None)]
    optional = len(allowed) < len(get_args(parameter.annotation))
    kind = Union[tuple(allowed)] if optional else parameter.annotation
    values = [value for value in WRONG.get(kind, ()) if not (optional and value is None)]
    if parameter.name == 'pretrained':  # any text may be the address of a checkpoint
        values = [value for value in values if not isinstance(value, str)]
    return values
