"""The backbones of the other libraries' configs, with our type in the place of theirs."""

import copy
from importlib import import_module
from itertools import product

import pytest
import torch
from mmengine.registry import init_default_scope
from torch import nn

from mmdia.models.utils import our_names

from ..helpers import randomize
from ..zoos import KINDS, backbones

LIBRARIES = ('mmdet', 'mmpretrain', 'mmrotate', 'mmseg')


@pytest.fixture
def shallow(monkeypatch):
    """Give all networks of bottlenecks few blocks: depths differ in nothing else."""

    def make_shallow(registry):
        for scope, kind in product(('', 'mmdet.', 'mmpretrain.', 'mmdia.'), KINDS):
            cls = registry.get(f'{scope}{kind}')
            if cls is not None:
                (block, _) = cls.arch_settings[50]
                settings = {**cls.arch_settings, 50: (block, (1, 2, 1, 3))}
                monkeypatch.setattr(cls, 'arch_settings', settings)

    return make_shallow


def slim(cfg):
    """The same backbone, narrow and not deep, without pretrained weights."""
    cfg = copy.deepcopy(cfg)
    cfg.pop('pretrained', None)
    if 'Pretrained' in str(cfg.get('init_cfg')):
        del cfg['init_cfg']
    cfg['depth'] = 50 if cfg['depth'] >= 50 else 18
    # Reduced by its ratio, MMPretrain's SE has a multiple of 8 channels.
    cfg.setdefault('base_channels', 32 if cfg['type'].startswith('SE') else 16)
    if 'groups' in cfg:
        cfg['groups'] = min(cfg['groups'], 4)
    if cfg.get('norm_cfg', {}).get('type') == 'GN':
        cfg['norm_cfg']['num_groups'] = 4
    return cfg


def swap(cfg):
    """The config with our type; one of a library that is not the config's keeps its scope."""
    scope, _, name = cfg['type'].rpartition('.')
    return dict(cfg, type=f'mmdia.{name}', **(dict(_scope_=scope) if scope else {}))


def randomize_all(model):
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, 0, 0.1)
    return randomize(model)


def described(model, named=lambda state: state):
    """What can be trained, and which norms are in training mode."""
    norms = {
        f'{name}.{key}': module.training
        for name, module in model.named_modules()
        if 'Norm' in type(module).__name__
        for key, _ in module.named_parameters(recurse=False)
    }
    parameters = dict(model.named_parameters())
    trainable = {key: p.requires_grad for key, p in named(parameters).items()}
    modes = named({k: v for k, v in parameters.items() if k in norms})
    return trainable, dict(zip(modes, (norms[k] for k in parameters if k in norms)))


@torch.no_grad()
def compare(registry, cfg):
    """Build both and compare them; raises where they differ."""
    theirs = randomize_all(registry.build(copy.deepcopy(cfg)))
    ours = registry.build(swap(copy.deepcopy(cfg)))
    own = ours.state_dict()
    given = our_names(theirs.state_dict(), own)
    assert {k: v.shape for k, v in given.items()} == {k: v.shape for k, v in own.items()}
    # By the names that they have there, as in a checkpoint of the whole model.
    ours.load_state_dict(theirs.state_dict())
    theirs.train()
    learned = dict(ours.named_parameters())
    assert described(ours.train()) == described(theirs, lambda state: our_names(state, learned))
    theirs.eval()
    images = torch.randn(1, cfg.get('in_channels', 3), 65, 96)
    expected = theirs(images)
    for level, other in zip(ours.eval()(images), expected, strict=True):
        assert other.isfinite().all() and other.any()
        assert torch.equal(level, other)


def runs(registry, cfg):
    """Whether their own backbone is registered, and computes anything with this PyTorch."""
    try:
        model = registry.build(copy.deepcopy(cfg))
        model.eval()
        model(torch.zeros(1, 3, 32, 32))
    except (KeyError, RuntimeError, ValueError):
        return False
    return True


@pytest.mark.parametrize('library', LIBRARIES)
def test_same_network_in_all_configs(library, shallow, capsys):
    pytest.importorskip(library)
    import_module(f'{library}.models')
    registry = import_module(f'{library}.registry').MODELS
    init_default_scope(library)
    shallow(registry)
    found = [slim(dict(cfg)) for cfg in backbones(library)]
    distinct = {repr(cfg): cfg for cfg in found}
    failures = {}
    for text, cfg in distinct.items():
        try:
            compare(registry, cfg)
        except Exception as error:
            if runs(registry, cfg):
                failures[text] = f'{type(error).__name__}: {error}'
    identical = sum(repr(cfg) not in failures for cfg in found)
    with capsys.disabled():
        print(
            f'\n{library}: {identical} of {len(found)} backbones identical, {len(distinct)} kinds'
        )
    assert found
    assert not failures, '\n'.join(f'{why}\n  {text}' for text, why in failures.items())
