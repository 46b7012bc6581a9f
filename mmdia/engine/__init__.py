from .hooks import *  # noqa: F403
from .loops import ResumableIterTrainLoop, ResumableTrainLoop  # noqa: F401
from .optim_wrapper import BFloat16OptimWrapper  # noqa: F401
