"""One check of all data that a training or a test needs, before it starts."""

import logging
import os
import re
import traceback
from functools import partial
from itertools import chain
from typing import Any, Callable, Dict, Iterator, List, NoReturn, Optional, Sized, Tuple

from mmengine.dataset import BaseDataset, Compose
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import BaseLoop, Runner
from torch import nn

from .data_faults import (
    Samples,
    class_faults,
    classes_of,
    describe_difference,
    describe_error,
    drop_degenerate_boxes,
    inner_datasets,
    look_through,
    metric_faults,
    names,
    order_fault,
    unlike_classes,
)
from .file_reads import LastFileRead

PARTS = ('train', 'val', 'test')
# What says where a dataset lies, and what it leaves out.
ENTRIES = ('data_root', 'ann_file', 'data_prefix', 'filter_cfg')
# The models of MMPretrain and MMDetection that retrieve images.
RETRIEVERS = {'BaseRetriever', 'BaseReID'}
# What NumPy says when MMEngine packs the entries of a dataset that has none.
PACKS_NOTHING = 'need at least one array to concatenate'
SKIP = 'see docs/datasets.md; --no-data-check skips this check'


def check_data(runner: Runner) -> None:
    """Make a runner check its data when it has built them, before it trains or tests.

    Args:
        runner (Runner): The runner. It raises :class:`SystemExit` with a message
            that names the files if data are missing, cannot be read, are none, or
            do not fit the model or one another. See ``docs/datasets.md`` for
            what is checked.
    """
    build_loader, build_evaluator = runner.build_dataloader, runner.build_evaluator

    def build_loader_or_stop(dataloader: Any, *args, **kwargs) -> Any:
        key = entry_of(runner, dataloader, 'dataloader')
        loader = build_or_stop(partial(build_loader, dataloader, *args, **kwargs), key, dataloader)
        if isinstance(loader.dataset, Sized) and len(loader.dataset) == 0:
            raise SystemExit(describe_empty(key, dataloader))
        return loader

    def build_evaluator_or_stop(evaluator: Any) -> Any:
        key = entry_of(runner, evaluator, 'evaluator')
        return build_or_stop(partial(build_evaluator, evaluator), key, evaluator)

    runner.build_dataloader = build_loader_or_stop
    runner.build_evaluator = build_evaluator_or_stop
    runner.register_hook(DataCheckHook())


def entry_of(runner: Runner, cfg: Any, kind: str) -> str:
    """The entry of a runner's config that a data loader or an evaluator comes from."""
    entries = [f'{part}_{kind}' for part in PARTS]
    return next((e for e in entries if are_same(getattr(runner, f'_{e}', None), cfg)), kind)


def are_same(first: Any, second: Any) -> bool:
    """Whether two configs are one, or lists of the same ones, which MMEngine copies."""
    if isinstance(first, list) and isinstance(second, list):
        return [*map(id, first)] == [*map(id, second)]
    return first is second


def inner_configs(cfg: Any, key: str) -> Iterator[Tuple[str, dict]]:
    """Yield the keys and configs of the datasets within loaders and wrappers, or of metrics.

    Args:
        cfg (dict | list, optional): Config of a data loader, of datasets or of
            metrics.
        key (str): Where it stands.

    Yields:
        tuple: Where a config that wraps no other stands, and the config.
    """
    if isinstance(cfg, (list, tuple)):
        for i, part in enumerate(cfg):
            yield from inner_configs(part, f'{key}.{i}')
    elif isinstance(cfg, dict):
        wrapped = [name for name in ('dataset', 'datasets') if name in cfg]
        for name in wrapped:
            yield from inner_configs(cfg[name], f'{key}.{name}')
        if not wrapped:
            yield key, cfg


def build_or_stop(build: Callable[[], Any], key: str, cfg: Any) -> Any:
    """Build something that reads data; if that fails, say which.

    Args:
        build (Callable): Builds it.
        key (str): Entry of the config that it comes from.
        cfg (Any): What that entry says.

    Raises:
        SystemExit: If it fails, for whatever reason.
    """
    with LastFileRead() as read:
        try:
            return build()
        except Exception as error:  # readers of annotations fail in every way
            if PACKS_NOTHING in str(error):
                raise SystemExit(describe_empty(key, cfg)) from error
            raise SystemExit(describe_failure(error, key, cfg, read.path)) from error


def missing_path(cfg: dict) -> Optional[Tuple[str, str]]:
    """The entry of a dataset or metric, and the path, that is missing; None if there is none."""
    if cfg.get('backend_args'):
        return None
    root, prefix = cfg.get('data_root') or '', cfg.get('data_prefix') or ''
    paths = {'ann_file': cfg.get('ann_file')}
    if not paths['ann_file']:
        folders = prefix if isinstance(prefix, dict) else {'': prefix}
        paths = {f'data_prefix.{name}'.rstrip('.'): path for name, path in folders.items()}
    for entry, path in paths.items():
        path = os.path.join(root, os.path.expanduser(str(path or '')))
        if not path or '://' in path or os.path.exists(path):
            continue
        if path.startswith(root) and root and not os.path.exists(root):
            return 'data_root', root
        return entry, path
    return None


def describe_places(key: str, cfg: Any) -> str:
    """Where datasets or metrics stand in the config, and where they look for data."""
    places = []
    for inner_key, inner in inner_configs(cfg, key):
        entries = [f'{entry} {inner[entry]}' for entry in ENTRIES if inner.get(entry)]
        places.append(f'{inner_key} ({", ".join(entries)})' if entries else inner_key)
    return '; '.join(places) or key


def describe_empty(key: str, cfg: Any) -> str:
    """Which data loader has no data, and where it looked for them."""
    filters = any(inner.get('filter_cfg') for _, inner in inner_configs(cfg, key))
    hint = '; filter_cfg drops images that are small or have no boxes of the classes'
    return f'{describe_places(key, cfg)}: no images{hint if filters else ""}'


def describe_failure(error: Exception, key: str, cfg: Any, file: Optional[str]) -> str:
    """Why something could not be built, and which file it read last."""
    for inner_key, inner in inner_configs(cfg, key):
        missing = missing_path(inner)
        if missing:
            return (
                f'{inner_key}.{missing[0]}: {missing[1]} does not exist; '
                'see docs/datasets.md for the layout'
            )
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f'{os.path.basename(frame.filename)}, line {frame.lineno}'
    last = f', the last file read was {file}' if file else ''
    reason = f'{describe_error(error)} ({place})'
    return f'{describe_places(key, cfg)}: cannot be built{last}: {reason}; {SKIP}'


class PipelineWithNames(Compose):
    """A pipeline whose errors name the image.

    Args:
        pipeline (Compose): The pipeline.
    """

    def __init__(self, pipeline: Compose) -> None:
        self.transforms = pipeline.transforms

    def __call__(self, data: dict) -> Optional[dict]:
        """Load and transform a sample."""
        path = data.get('img_path', f'sample {data.get("sample_idx")}')
        try:
            return super().__call__(data)
        except Exception as error:
            raise RuntimeError(f'{path} could not be loaded: {error}') from error


class DataCheckHook(Hook):
    """Check the data of a run when all of them are there; see :func:`check_data`."""

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Check the data, before weights are loaded."""
        loops = {part: getattr(runner, f'_{part}_loop') for part in PARTS}
        loops = {part: loop for part, loop in loops.items() if isinstance(loop, BaseLoop)}
        datasets = {part: datasets_of(part, loop) for part, loop in loops.items()}
        alike = 'train' in datasets and not reads_classes(runner.model)
        for tested in datasets.get('val', {}).items() if alike else ():
            check_like_training(datasets['train'], *tested)
        for part, found in datasets.items():
            check_samples(found, part, number_of_classes(runner.model, part))
        metrics = {part: metrics_of(loops[part]) for part in datasets.keys() - {'train'}}
        for part, found in metrics.items():
            check_metrics(found, f'{part}_evaluator', datasets[part])
        if not any(getattr(metric, '_coco_api', None) for metric in chain(*metrics.values())):
            for key, dataset in chain(*(found.items() for found in datasets.values())):
                fault = order_fault(dataset)
                if fault:
                    stop(key, dataset, fault)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the classes of a test with those on which its weights were trained."""
        if not isinstance(runner._test_loop, BaseLoop) or reads_classes(runner.model):
            return
        trained = trained_classes(checkpoint)
        number = number_of_classes(runner.model, 'test')
        for key, dataset in datasets_of('test', runner._test_loop).items():
            tested, folders = classes_of(dataset), getattr(dataset, 'folder_to_idx', None)
            if trained and tested and trained != tested:
                difference = describe_difference(trained, tested)
                refuse_numbers(key, dataset, f'{difference}, compared with the checkpoint')
            if not trained and folders and number and len(folders) < number:
                fault = f'has {len(folders)} folders of classes, the model tells {number} apart'
                refuse_numbers(key, dataset, fault)


def trained_classes(checkpoint: dict) -> Optional[Tuple[str, ...]]:
    """The classes in a checkpoint of any version of the libraries; None if it names none."""
    meta = checkpoint.get('meta') or {}
    # MMDetection lists those of datasets that differ in any entry.
    of_datasets = meta.get('dataset_meta') or {}
    metas = of_datasets if isinstance(of_datasets, list) else [of_datasets]
    metas = [{**meta, **each} for each in metas]
    classes = [each.get('classes', each.get('CLASSES')) for each in metas]
    same = all(isinstance(each, (list, tuple)) and each == classes[0] for each in classes)
    return tuple(classes[0]) if same else None


def metrics_of(loop: BaseLoop) -> list:
    """The metrics of a loop; none where it is one of a user's that evaluates in another way."""
    return getattr(getattr(loop, 'evaluator', None), 'metrics', [])


def datasets_of(part: str, loop: BaseLoop) -> Dict[str, Any]:
    """The datasets of images of a loop by their places, where they have the methods of MMEngine's.

    Those of videos number classes of their own, such as pedestrians among all that moves.
    """
    found = dict(inner_datasets(loop.dataloader.dataset, f'{part}_dataloader.dataset'))
    return {
        key: dataset
        for key, dataset in found.items()
        if hasattr(dataset, 'get_data_info')
        and isinstance(dataset, Sized)
        and not hasattr(dataset, 'get_len_per_video')
    }


def reads_classes(model: nn.Module) -> bool:
    """Whether a model finds whatever classes it is given as a text, such as Grounding DINO."""
    return any(hasattr(module, 'language_model') for module in model.modules())


def number_of_classes(model: nn.Module, part: str) -> Optional[int]:
    """How many classes the heads of a model tell apart; None if they do not say.

    Args:
        model (nn.Module): The model.
        part (str): What its data are for. Models that retrieve images are trained on classes,
            and evaluated on other labels: those of unseen classes, or the images to be found.
    """
    numbers: List[int] = []
    if reads_classes(model):
        return None
    for name, module in model.named_modules():
        if part != 'train' and RETRIEVERS & {kind.__name__ for kind in type(module).__mro__}:
            return None
        if re.search(r'(^|\.)(head|(bbox|decode)_head(\.\d+)?)$', name):
            number = getattr(module, 'num_classes', None)
            if isinstance(number, int) and 'RPN' not in type(module).__name__:
                numbers.append(number)
    return min(numbers, default=None)


def describe(dataset: Any) -> str:
    """The class of a dataset, and where its data lie."""
    folders = getattr(dataset, 'data_prefix', None) or {}
    where = getattr(dataset, 'ann_file', None) or ', '.join(filter(None, folders.values()))
    return ' '.join(filter(None, (type(dataset).__name__, where)))


def stop(key: str, dataset: Any, fault: str) -> NoReturn:
    """Exit with what is wrong with a dataset."""
    raise SystemExit(f'{key} ({describe(dataset)}): {fault}; {SKIP}')


def refuse_numbers(key: str, dataset: Any, fault: str) -> NoReturn:
    """Exit with why the numbers of the classes are not those of the training."""
    folders = getattr(dataset, 'folder_to_idx', None)
    hint = ' (an empty folder keeps the place of a class)' if folders else ''
    stop(key, dataset, f'{fault}; its classes would get other numbers than in the training{hint}')


def warn(key: str, dataset: Any, fault: str) -> None:
    """Say what is odd about a dataset."""
    print_log(f'{key} ({describe(dataset)}): {fault}', logger='current', level=logging.WARNING)


def check_samples(datasets: Dict[str, Any], part: str, num_classes: Optional[int]) -> None:
    """Check every dataset of a data loader by itself.

    Args:
        datasets (dict): The datasets by their places.
        part (str): ``'train'``, ``'val'`` or ``'test'``.
        num_classes (int, optional): Number of classes that the model tells apart.
    """
    found: Dict[str, Samples] = {}
    for key, dataset in datasets.items():
        for fault in class_faults(dataset):
            stop(key, dataset, fault)
        found[key] = samples = look_through(dataset, num_classes)
        for fault in samples.faults(num_classes):
            stop(key, dataset, fault)
        check_boxes(key, dataset, samples, part)
        if part == 'train':
            check_presence(key, dataset, samples, num_classes)
        if type(getattr(dataset, 'pipeline', None)) is Compose:
            dataset.pipeline = PipelineWithNames(dataset.pipeline)
    detection = any(samples.detection for samples in found.values())
    if detection and not any(samples.labels for samples in found.values()):
        key, dataset = next(iter(datasets.items()))
        report = stop if part == 'train' else warn
        report(
            key,
            dataset,
            'no image has a box of the classes; are their names those of the annotations, '
            'and the boxes in pixels?',
        )


def check_boxes(key: str, dataset: Any, samples: Samples, part: str) -> None:
    """Drop boxes of no area from a training: their regression has no finite loss."""
    if not samples.bad_boxes:
        return
    shown = f'{len(samples.bad_boxes)} boxes have no area within their image, [x1, y1, x2, y2]'
    fault = f'{shown}: {names(samples.bad_boxes)}'
    if part != 'train':
        warn(key, dataset, f'{fault}; none of them can be found')
    elif isinstance(dataset, BaseDataset):
        drop_degenerate_boxes(dataset)
        warn(key, dataset, f'{fault}; they are left out of the training')
    else:
        stop(key, dataset, f'{fault}; the loss of them would not be finite')


def check_presence(key: str, dataset: Any, samples: Samples, num_classes: Optional[int]) -> None:
    """Say which classes of a training have no samples."""
    # Among all classes of panoptic segmentation, those that have boxes come first.
    things = (getattr(dataset, 'metainfo', None) or {}).get('thing_classes')
    classes = things or classes_of(dataset) or ()
    if num_classes and classes and len(classes) != num_classes:
        warn(key, dataset, f'has {len(classes)} classes, the model tells {num_classes} apart')
    absent = [name for number, name in enumerate(classes) if number not in samples.labels]
    if absent and samples.labels:
        warn(key, dataset, f'has no sample of {names(absent)}')


def check_like_training(trained: Dict[str, Any], key: str, dataset: Any) -> None:
    """Check that a dataset numbers the classes as one of the training does."""
    differences = [unlike_classes(other, dataset) for other in trained.values()]
    if differences and all(differences):
        other = describe(next(iter(trained.values())))
        refuse_numbers(key, dataset, f'{differences[0]}, compared with {other}')


def check_metrics(metrics: List[Any], key: str, datasets: Dict[str, Any]) -> None:
    """Check that metrics read the annotations of the dataset that they measure."""
    for metric in metrics if len(datasets) == 1 else ():
        (dataset,) = datasets.values()
        try:
            faults = list(metric_faults(metric, dataset))
        except Exception as error:  # annotations lack entries in every way
            faults = [f'cannot be compared with the dataset: {describe_error(error)}']
        for fault in faults:
            stop(f'{key}.ann_file', dataset, fault)
        images = getattr(getattr(metric, '_coco_api', None), 'imgs', ())
        if len(images) > len(dataset):
            fault = (
                f'has {len(images)} images, the dataset {len(dataset)}: the rest count as missed'
            )
            warn(f'{key}.ann_file', dataset, fault)
