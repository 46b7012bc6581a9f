"""The version of mmdia."""

__version__ = '0.1.0'
