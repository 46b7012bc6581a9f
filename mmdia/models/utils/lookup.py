"""Finding classes by their registered names."""

from typing import List

from mmdia.registry import MODELS
from mmdia.utils.validation import refuse, registered_type


def registered_names(base: type) -> List[str]:
    """Names of the registered subclasses of a class, to be used as ``type``.

    Args:
        base (type): The class.

    Returns:
        List[str]: Names such as ``'mmdia.DIALSTM'``, sorted.
    """
    MODELS.import_from_location()
    return sorted(
        f'{MODELS.scope}.{name}'
        for name, cls in MODELS.module_dict.items()
        if isinstance(cls, type) and issubclass(cls, base)
    )


def configured_class(cfg: dict, base: type, argument: str) -> type:
    """The class that a config names.

    It is looked up in the registry of mmdia whatever the default scope of the
    run.

    Args:
        cfg (dict): Config with the key ``type``: a registered name, with or
            without scope, or the class itself.
        base (type): What the class has to be a subclass of.
        argument (str): Name of the argument, for messages.

    Returns:
        type: The class.

    Raises:
        TypeError: If ``cfg`` is not a dict or ``type`` is not such a class.
        ValueError: If ``type`` is missing or not registered.
    """
    what = f'a dict whose type is one of {", ".join(registered_names(base))}'
    if not isinstance(cfg, dict):
        refuse(TypeError, argument, what, cfg)
    cls = registered_type(MODELS, cfg.get('type'))
    if not isinstance(cls, type):
        refuse(ValueError, argument, what, cfg)
    if not issubclass(cls, base):
        refuse(TypeError, argument, what, cfg)
    return cls


def arguments(cfg: dict) -> dict:
    """The arguments in a config: all but ``type``."""
    return {key: value for key, value in cfg.items() if key != 'type'}
