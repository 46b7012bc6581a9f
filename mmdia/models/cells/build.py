"""Building cells by their registered names."""

from mmdia.registry import MODELS

from .base import RecurrentCell


def build_cell(cfg: dict, channels: int) -> RecurrentCell:
    """Build a cell whose input and output have the same length.

    The class is looked up in the registry of mmdia whatever the default scope
    of the run.

    Args:
        cfg (dict): Config such as ``dict(type='mmdia.DSUCell', ratio=20)``.
        channels (int): Length of input and output.

    Returns:
        RecurrentCell: The cell.

    Raises:
        TypeError: If ``cfg`` is not a dict or ``type`` is not a cell.
        ValueError: If ``type`` is missing or not registered.
    """
    if not isinstance(cfg, dict):
        raise TypeError(f"cell must be a dict such as dict(type='mmdia.DSUCell'), got {cfg!r}")
    name = cfg.get('type')
    cls = MODELS.get(name) if isinstance(name, str) else name
    if cls is None:
        raise ValueError(f'cell type {name!r} is not registered; cells are {cell_names()}')
    if not (isinstance(cls, type) and issubclass(cls, RecurrentCell)):
        raise TypeError(f'cell type {name!r} is not a RecurrentCell; cells are {cell_names()}')
    return cls(channels, **{k: v for k, v in cfg.items() if k != 'type'})


def cell_names() -> str:
    """Names of all registered cells."""
    return ', '.join(
        sorted(
            f'{MODELS.scope}.{name}'
            for name, cls in MODELS.module_dict.items()
            if isinstance(cls, type) and issubclass(cls, RecurrentCell)
        )
    )
