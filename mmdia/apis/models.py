"""Our models by name."""

import fnmatch
from copy import deepcopy
from difflib import get_close_matches
from pathlib import Path
from threading import Lock
from typing import List, Optional, Tuple, Union

import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.model import BaseModel
from mmengine.runner import load_checkpoint

from mmdia.checkpoints.index import model_entries
from mmdia.checkpoints.loader import SAFELY
from mmdia.hub import config_path, weights_name
from mmdia.utils import check_type
from mmdia.utils.configs import is_detection, is_segmentation, named_configs
from mmdia.utils.validation import refuse

# MMEngine's default scope, which both libraries set while they build, is one for all threads. So
# is the module that MMEngine 0.10.7 loads anew to find the libraries that configs name.
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


def find_config(model: Union[str, Path, Config]) -> Tuple[Config, dict]:
    """The config of a model, and its entry in the metafiles, empty where it has none.

    Args:
        model (str | Path | Config): See :func:`get_model`.

    Raises:
        ValueError: If there is no config of this name.
    """
    if isinstance(model, Config):
        return deepcopy(model), {}
    entries = {entry['Name']: entry for entry in model_entries()}
    if '::' in str(model):
        return get_config(str(model)), entries.get(Path(model).stem, {})
    if Path(model).suffix == '.py':
        return Config.fromfile(model), {}
    files = {**named_configs(), **{name: config_path(entry) for name, entry in entries.items()}}
    if model in files:
        return Config.fromfile(files[model]), entries.get(model, {})
    close = ', '.join(get_close_matches(str(model), files)) or 'none'
    raise ValueError(
        f'there is no model {str(model)!r}; close matches: {close}; list_models() lists all'
    )


def init_segmentor(
    cfg: Config, weights: Optional[str], device: Union[str, torch.device], options: dict
) -> BaseModel:
    """Build a model of MMSegmentation, whose own function takes no weights without metadata."""
    from mmseg.apis import init_model

    model = init_model(cfg, device=device, cfg_options=options)
    if weights:
        meta = load_checkpoint(model, weights, map_location='cpu').get('meta', {})
        model.dataset_meta = meta.get('dataset_meta')
    return model


def get_model(
    model: Union[str, Path, Config],
    pretrained: Union[bool, str, Path] = False,
    device: Optional[Union[str, torch.device]] = None,
    **overrides,
) -> BaseModel:
    """Build a classifier, a detector or a segmentation network, ready for inference.

    The inferencers of MMPretrain, ``mmdet.apis.inference_detector`` and
    ``mmseg.apis.inference_model`` take it. All but classifiers make their
    library's scope the default scope, as MMDetection and MMSegmentation do.

    Args:
        model (str | Path | Config): One of :func:`list_models`, the name of
            any other config of ours such as ``'dia-resnet164_b128-180e_cifar100'``,
            a config of another library such as ``'mmdet::...'``, the path of a
            config, or a config.
        pretrained (bool | str | Path): Whether to load the weights that the
            model is listed with, or that its config names as ``load_from``; or
            which ones to load: a file, a URL or a name such as
            ``mmdia://NAME``. They are read without running code; see
            :func:`mmdia.checkpoints.read_file`. Defaults to False.
        device (str | torch.device, optional): Where to put it. Defaults to the
            CPU.
        **overrides: Changes of the model's config, such as
            ``backbone=dict(depth=101)``.

    Returns:
        BaseModel: The model, in evaluation mode.

    Raises:
        FileNotFoundError: If there is no such config.
        TypeError: If an argument is of a wrong type.
        ValueError: If there is no such model or device, or it is to be
            pretrained and has no weights yet.
    """
    check_type('model', model, str, Path, Config)
    check_type('pretrained', pretrained, bool, str, Path)
    check_device(device)
    with BUILDING:
        cfg, entry = find_config(model)
    if pretrained is True:
        pretrained = weights_name(entry) or cfg.get('load_from')
        if pretrained is None:
            name = entry.get('Name') or getattr(cfg, 'filename', None) or 'the config'
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
        if is_segmentation(cfg):
            return init_segmentor(cfg, weights, device or 'cpu', dict(model=overrides))
        from mmpretrain import get_model as get_classifier

        source = entry['Name'] if entry else cfg
        return get_classifier(source, weights or False, device=device, **overrides)
