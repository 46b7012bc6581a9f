"""Checkpoints wherever MMEngine loads one: ``mmdia://NAME``, and safe reading of all others."""

from pathlib import Path
from typing import Any

from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint

from .cache import fetch, fetch_url
from .reader import is_safetensors, is_trusted, read_file

PREFIX = 'mmdia://'
# Before any other address, in every program: read without running code.
SAFELY = 'mmdia:'
# Tables of the names of other libraries, which stand for URLs.
NAMES = {
    'torchvision://': mmengine_checkpoint.get_torchvision_models,
    'modelzoo://': mmengine_checkpoint.get_torchvision_models,
    'open-mmlab://': mmengine_checkpoint.get_external_models,
    'openmmlab://': mmengine_checkpoint.get_external_models,
    'mmcls://': mmengine_checkpoint.get_mmcls_models,
}


def find_url(address: str) -> str:
    """The URL or path that a name such as ``torchvision://resnet50`` stands for.

    Raises:
        ValueError: If there is no such name.
    """
    scheme, found, name = address.partition('://')
    if scheme + found not in NAMES:
        return address
    urls = NAMES[scheme + found]()
    name = mmengine_checkpoint.get_deprecated_model_names().get(name, name)
    if name not in urls:
        raise ValueError(f'there is no checkpoint {address}')
    url = urls[name]
    return url if '://' in url else str(Path(mmengine_checkpoint._get_mmengine_home(), url))


def find_file(address: str) -> Path:
    """The file of an address, downloaded where that is needed.

    Args:
        address (str): A path, a URL, ``mmdia://NAME`` or another library's
            name such as ``torchvision://resnet50``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If there is no such name.
        DownloadError: If it cannot be downloaded.
    """
    if address.startswith(PREFIX):
        return fetch(address.removeprefix(PREFIX))
    address = find_url(address)
    if address.startswith(('http://', 'https://')):
        return fetch_url(address)
    path = Path(address).expanduser()
    if not path.exists():
        raise FileNotFoundError(f'checkpoint {address} does not exist')
    return path


def weights_in(content: dict) -> dict:
    """The weights in a checkpoint.

    Args:
        content (dict): What MMEngine saves, with a ``state_dict``; what many
            training scripts save, with a ``model``; or the weights themselves.
    """
    for key in ('state_dict', 'model'):
        if isinstance(content.get(key), dict):
            return content[key]
    return content


def check_content(content: Any, address: str) -> None:
    """Check that there are weights where MMEngine looks for them.

    Raises:
        ValueError: If there are none.
    """
    state = content.get('state_dict', content) if isinstance(content, dict) else content
    if not isinstance(state, dict):
        raise ValueError(f'checkpoint {address} holds no state dict, but a {type(state).__name__}')
    for name in state:
        if not isinstance(name, str):
            raise ValueError(f'checkpoint {address}: names of weights must be str, got {name!r}')
    if content.get('meta') is None:
        content.pop('meta', None)


def forget_configs(content: dict) -> None:
    """Drop the configs in a checkpoint, which MMEngine would build, or read as Python."""
    hub = content.get('message_hub')
    for place in (content.get('meta'), hub.get('runtime_info') if isinstance(hub, dict) else None):
        for name in ('cfg', 'config') if isinstance(place, dict) else ():
            place.pop(name, None)


# MMEngine's log says what follows load_from_.
@CheckpointLoader.register_scheme(SAFELY)
def load_from_mmdia(filename: str, map_location: Any = None) -> dict:
    """Load a checkpoint without running code that it brings along, unless files are trusted.

    Args:
        filename (str): See :func:`find_file`; with :data:`SAFELY` before it
            or not.
        map_location (Any): See :func:`read_file`. Defaults to None.

    Returns:
        dict: The content, without configs; the weights of safetensors below
        the key in which MMEngine's hooks look for them.
    """
    address = filename if filename.startswith(PREFIX) else filename.removeprefix(SAFELY)
    path = find_file(address)
    content = read_file(path, map_location=map_location)
    check_content(content, address)
    if is_safetensors(path):
        return dict(state_dict=content)
    if not is_trusted():
        forget_configs(content)
    if address.startswith('mmcls://'):
        return mmengine_checkpoint._process_mmcls_checkpoint(content)
    return content


def load_safely() -> None:
    """Make MMEngine read files, URLs and published names without running their code.

    From now on, in this process: paths, ``http(s)://``, and ``torchvision://``,
    ``open-mmlab://`` and ``mmcls://``, which stand for URLs. Files of safetensors can
    then be given as well.
    """
    schemes = ('', 'http://', 'https://', *NAMES)
    CheckpointLoader.register_scheme(schemes, load_from_mmdia, force=True)
