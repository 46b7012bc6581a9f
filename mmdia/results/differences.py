"""What differs between configs."""

from typing import Any, Dict, Iterator, List, Sequence, Tuple

from mmengine.config import Config

# What says where and how long something ran, and not what was trained.
CIRCUMSTANCES = (
    'work_dir',
    'randomness',
    'launcher',
    'resume',
    'load_from',
    'env_cfg',
    'visualizer',
)


def flatten(value: Any, name: str = '') -> Iterator[Tuple[str, str]]:
    """The leaves of a config by their dotted names."""
    if isinstance(value, dict) and value:
        for key, part in value.items():
            if key == '_scope_':  # which library a base is of, and no option
                continue
            yield from flatten(part, f'{name}.{key}' if name else str(key))
    elif isinstance(value, (list, tuple)) and any(isinstance(part, dict) for part in value):
        for number, part in enumerate(value):
            yield from flatten(part, f'{name}.{number}')
    else:
        yield name, value if isinstance(value, str) else repr(value)


def config_options(config: Config) -> Dict[str, str]:
    """The options of a config by their dotted names, without :data:`CIRCUMSTANCES`."""
    parts = {k: v for k, v in config.to_dict().items() if k not in CIRCUMSTANCES}
    return dict(flatten(parts))


def config_differences(configs: Sequence[Config]) -> List[List[str]]:
    """What differs between configs.

    Args:
        configs (Sequence[Config]): The configs.

    Returns:
        List[List[str]]: A line an option: its name, and its value in each
        config, empty where it is missing.
    """
    leaves = list(map(config_options, configs))
    names = dict.fromkeys(name for config in leaves for name in config)
    lines = [[name, *(config.get(name, '') for config in leaves)] for name in names]
    return [line for line in lines if len(set(line[1:])) > 1]
