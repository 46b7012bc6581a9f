from .hooks import *  # noqa: F403
from .loops import ResumableIterTrainLoop, ResumableTrainLoop  # noqa: F401
