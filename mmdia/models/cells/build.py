"""Building cells by their registered names."""

from ..utils import arguments, configured_class
from .base import RecurrentCell


def build_cell(cfg: dict, channels: int) -> RecurrentCell:
    """Build a cell whose input and output have the same length.

    Args:
        cfg (dict): Config such as ``dict(type='mmdia.DSUCell', ratio=20)``;
            see :func:`configured_class` for the errors of a wrong one.
        channels (int): Length of input and output.

    Returns:
        RecurrentCell: The cell.

    Raises:
        ValueError: If input and output of the cell differ in length.
    """
    cell = configured_class(cfg, RecurrentCell, 'cell')(channels, **arguments(cfg))
    if cell.hidden_channels != channels:
        raise ValueError(
            f'hidden_channels of the cell must be the number of channels, {channels}, '
            f'got {cell.hidden_channels}'
        )
    return cell
