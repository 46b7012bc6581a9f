from .hooks import *  # noqa: F403
from .loops import ResumableTrainLoop  # noqa: F401
