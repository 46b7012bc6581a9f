"""A clear error where a dataset has nothing, or filters leave nothing of it."""

from typing import Sized

from mmengine.runner import Runner
from torch.utils.data import DataLoader

from .data_check import inner_datasets

ENTRIES = ('data_root', 'ann_file', 'filter_cfg')
# What NumPy says when MMEngine packs the entries of a dataset that has none.
PACKS_NOTHING = 'need at least one array to concatenate'


def refuse_empty_data(runner: Runner) -> None:
    """Make a runner stop at the first data loader that has no data.

    The runner itself fails in NumPy or in a schedule, with messages that do not
    tell why, or trains no step. It builds the loaders when a training or a test
    starts; to know their length earlier would mean to read the annotations twice.

    Args:
        runner (Runner): The runner. When it builds a data loader of no data, it
            raises :class:`SystemExit` with a message that names the loader and
            the annotation file.
    """
    build = runner.build_dataloader

    def build_or_stop(dataloader: object, *args, **kwargs) -> DataLoader:
        try:
            loader = build(dataloader, *args, **kwargs)
        except ValueError as error:
            if PACKS_NOTHING not in str(error):
                raise
            raise SystemExit(describe_empty(runner, dataloader)) from error
        if isinstance(loader.dataset, Sized) and len(loader.dataset) == 0:
            raise SystemExit(describe_empty(runner, dataloader))
        return loader

    runner.build_dataloader = build_or_stop


def describe_empty(runner: Runner, dataloader: object) -> str:
    """Which data loader has no data, and where it looked for them."""
    names = ('train_dataloader', 'val_dataloader', 'test_dataloader')
    name = next((n for n in names if getattr(runner, f'_{n}', None) is dataloader), 'data loader')
    places, filters = [], False
    for key, dataset in inner_datasets(dataloader, name):
        entries = (f'{entry} {dataset[entry]}' for entry in ENTRIES if dataset.get(entry))
        places.append(f'{key} ({", ".join(entries)})')
        filters = filters or bool(dataset.get('filter_cfg'))
    hint = '; filter_cfg drops images that are small or have no boxes of the classes'
    return f'{"; ".join(places) or name}: no images{hint if filters else ""}'
