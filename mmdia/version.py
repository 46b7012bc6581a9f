"""The version of mmdia."""

__version__ = '1.0.0'
