"""Networks without their interactions, for comparisons."""

from typing import Type

from mmdia.models import ResidualBackbone


def plain_class(cls: Type[ResidualBackbone]) -> Type[ResidualBackbone]:
    """A backbone that takes the arguments of another, and has no interaction.

    Args:
        cls (Type[ResidualBackbone]): The class of the other.
    """

    class Plain(cls):
        """The network without its interaction."""

        def add_stages(self, blocks, channels, interaction, stages=None, **kwargs):
            super().add_stages(blocks, channels, None, **kwargs)

    return Plain
