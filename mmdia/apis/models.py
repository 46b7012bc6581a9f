"""Our models by name."""

import fnmatch
from difflib import get_close_matches
from pathlib import Path
from threading import Lock
from typing import List, Optional, Union

import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.model import BaseModel

from mmdia.checkpoints.index import model_entries
from mmdia.checkpoints.loader import SAFELY
from mmdia.hub import config_path, weights_name
from mmdia.utils import check_type
from mmdia.utils.configs import is_detection
from mmdia.utils.validation import refuse

# MMEngine's default scope, which both libraries set while they build, is one for all threads.
BUILDING = Lock()


def list_models(pattern: Optional[str] = None) -> List[str]:
    """List the classifiers and detectors that have a name.

    Args:
        pattern (str, optional): What names begin with, in which ``*`` stands
            for anything. Defaults to all names.

    Returns:
        List[str]: The names, in alphabetical order.

    Raises:
        TypeError: If ``pattern`` is not a string.
    """
    check_type('pattern', pattern, str, type(None))
    names = sorted(entry['Name'] for entry in model_entries())
    return names if pattern is None else fnmatch.filter(names, f'{pattern}*')


def check_device(device: Optional[Union[str, torch.device]]) -> None:
    """Check that an argument is None or says where to put a model."""
    try:
        torch.device('cpu' if device is None else device)
    except (RuntimeError, TypeError):
        refuse(ValueError, 'device', "the name of a device, such as 'cpu' or 'cuda:0'", device)


def get_model(
    name: str,
    pretrained: Union[bool, str, Path] = False,
    device: Optional[str] = None,
    **overrides,
) -> BaseModel:
    """Build a classifier or a detector by name, ready for inference.

    The inferencers of MMPretrain and ``mmdet.apis.inference_detector`` take it.
    Detectors make ``mmdet`` the default scope, as those of MMDetection do.

    Args:
        name (str): One of :func:`list_models`, or any config of ours such as
            ``'mmdia::dia/dia-resnet164_b128-180e_cifar100.py'``.
        pretrained (bool | str | Path): Whether to load the weights that the
            model is listed with, or which ones to load: a file, a URL or a
            name such as ``mmdia://NAME``. They are read without running code;
            see :func:`mmdia.checkpoints.read_file`. Defaults to False.
        device (str, optional): Where to put it. Defaults to the CPU.
        **overrides: Changes of the model's config, such as
            ``backbone=dict(depth=101)``.

    Returns:
        BaseModel: The model, in evaluation mode.

    Raises:
        TypeError: If an argument is of a wrong type.
        ValueError: If there is no such model or device, or it is to be
            pretrained and has no weights yet.
    """
    check_type('name', name, str)
    check_type('pretrained', pretrained, bool, str, Path)
    check_device(device)
    entries = {entry['Name']: entry for entry in model_entries()}
    if '::' in name:
        cfg = get_config(name)
        name = Path(name).stem
    elif name in entries:
        cfg = Config.fromfile(config_path(entries[name]))
    else:
        close = ', '.join(get_close_matches(name, entries)) or 'none'
        raise ValueError(
            f'there is no model {name!r}; close matches: {close}; list_models() lists all'
        )
    if pretrained is True:
        pretrained = weights_name(entries.get(name, {}))
        if pretrained is None:
            raise ValueError(
                f'pretrained=True: {name} has no weights yet; '
                'give a file, a URL or a name such as mmdia://NAME'
            )
    weights = f'{SAFELY}{pretrained}' if pretrained else None
    with BUILDING:
        if is_detection(cfg):
            from mmdet.apis import init_detector

            options = dict(model=overrides)
            return init_detector(cfg, weights, device=device or 'cpu', cfg_options=options)
        from mmpretrain import get_model as get_classifier

        source = name if name in entries else cfg
        return get_classifier(source, weights or False, device=device, **overrides)
