from .validation import check_int

__all__ = ['check_int']
