"""Our models by their names, where MMPretrain and MMEngine look up theirs."""

from typing import Optional, Tuple

from mmengine.config import Config
from mmengine.infer import BaseInferencer

from .checkpoints import index
from .checkpoints.loader import PREFIX

# The tasks of models without results, by their training data; those of MMPretrain.
DATASETS = ('ImageNet-1k', 'CIFAR-10', 'CIFAR-100', 'STL-10', 'mini-ImageNet', 'chest X-rays')
TASKS = dict.fromkeys(DATASETS, 'Image Classification')


def config_path(entry: dict) -> str:
    """The config file of an entry of a metafile."""
    return str(index.MODEL_INDEX.parent / entry['Config'])


def weights_name(entry: dict) -> Optional[str]:
    """The ``mmdia://`` name of the weights of an entry, or None if it has none."""
    return PREFIX + entry['Name'] if entry.get('Weights') else None


def add_to_mmpretrain() -> None:
    """Add our classifiers to the models that MMPretrain lists and builds by name.

    Raises:
        ImportError: If MMPretrain is not installed.
    """
    from mmpretrain.apis.model import ModelHub
    from modelindex.models.Model import Model  # comes with MMPretrain

    for entry in index.model_entries():
        data = str((entry.get('Metadata') or {}).get('Training Data'))
        if data in TASKS:
            # The task selects the inferencer.
            results = entry.get('Results') or [dict(Task=TASKS[data], Dataset=data, Metrics={})]
            info = dict(Config=config_path(entry), Weights=weights_name(entry), Results=results)
            model = Model.from_dict({**entry, **info}, str(index.MODEL_INDEX))
            ModelHub._models_dict[entry['Name'].lower()] = model


def add_to_inferencers() -> None:
    """Let inferencers of all libraries find our models by name, such as MMDetection's."""
    find = BaseInferencer._load_model_from_metafile

    def find_ours_too(self, model: str) -> Tuple[Config, Optional[str]]:
        for entry in index.model_entries():
            if entry['Name'].lower() == model.lower():
                return Config.fromfile(config_path(entry)), weights_name(entry)
        return find(self, model)

    BaseInferencer._load_model_from_metafile = find_ours_too
