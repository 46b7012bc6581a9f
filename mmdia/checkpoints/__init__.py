from .cache import fetch, find_on_disk
from .download import DownloadError
from .index import Checkpoint, find_checkpoint, list_models, list_trunks
from .loader import load_safely
from .reader import UnsafeCheckpointError, read_file, save_file

__all__ = [
    'Checkpoint',
    'DownloadError',
    'UnsafeCheckpointError',
    'fetch',
    'find_checkpoint',
    'find_on_disk',
    'list_models',
    'list_trunks',
    'load_safely',
    'read_file',
    'save_file',
]
