"""The index: what the publishers say, and names that there are not."""

from pathlib import Path

import pytest
import torch
from mmengine.fileio import load
from modelindex.load_model_index import load as load_model_index

from mmdia.checkpoints import find_checkpoint, list_models, list_trunks
from mmdia.checkpoints.index import HASH_IN_NAME, model_entries
from mmdia.registry import MODELS

ROOT = Path(__file__).parents[2]
METAFILES = load(ROOT / 'model-index.yml')['Import']
TRUNKS = {trunk.name: trunk for trunk in list_trunks()}
by_trunk = pytest.mark.parametrize('trunk', TRUNKS.values(), ids=TRUNKS)


def published_by(library):
    """Trunks of a library, by the rest of their names."""
    prefix = f'{library}-'
    return {n.removeprefix(prefix): t for n, t in TRUNKS.items() if n.startswith(prefix)}


def test_names_are_unique():
    names = [trunk.name for trunk in list_trunks()]
    assert len(TRUNKS) == len(names) == 36
    assert not set(names) & {entry['Name'] for entry in model_entries()}
    assert (
        sum(len(published_by(library)) for library in ('torchvision', 'timm', 'mmpretrain')) == 36
    )


@by_trunk
def test_hashes_are_those_of_the_file_names(trunk):
    for url in trunk.urls:
        assert url.startswith('https://') and url.endswith(f'/{trunk.filename}')
    assert HASH_IN_NAME.search(trunk.filename)[1] == trunk.sha256


@by_trunk
def test_backbones_build(trunk):
    with torch.device('meta'):
        MODELS.build(trunk.backbone)


def test_torchvision_says_the_same():
    models = pytest.importorskip('torchvision.models')
    for name, trunk in published_by('torchvision').items():
        model, _, version = name.rpartition('-')
        weights = models.get_model_weights(model.replace('-', '_'))[f'IMAGENET1K_{version.upper()}']
        assert trunk.urls[0] == weights.url
        assert trunk.top1 == round(weights.meta['_metrics']['ImageNet-1K']['acc@1'], 2)


def test_timm_says_the_same():
    resnet = pytest.importorskip('timm.models.resnet')
    for name, trunk in published_by('timm').items():
        model, _, recipe = name.rpartition('-')
        cfg = resnet.default_cfgs[model.replace('-', '_')].cfgs[f'{recipe}_in1k']
        # The repository has moved; some addresses are the old ones.
        assert trunk.urls[0] == cfg.url.replace('/rwightman/', '/huggingface/')


def test_mmpretrain_says_the_same():
    mmpretrain = pytest.importorskip('mmpretrain')
    published = {}
    for family in ('resnet', 'resnext', 'seresnet'):
        path = Path(mmpretrain.__path__[0], '.mim', 'configs', family, 'metafile.yml')
        for entry in load(path)['Models']:
            published[entry['Weights'].rpartition('/')[2]] = entry
    for trunk in published_by('mmpretrain').values():
        entry = published[trunk.filename]
        assert entry['Weights'] in trunk.urls
        assert trunk.top1 == entry['Results'][0]['Metrics']['Top 1 Accuracy']


def test_unknown_name():
    with pytest.raises(
        ValueError, match=r"no checkpoint 'resnet51'; .*\n  torchvision-resnet18-v1"
    ):
        find_checkpoint('resnet51')


def test_model_without_weights(name_trunk):
    name_trunk('http://x/weights.pth', models=[dict(Name='ours', Config='ours.py')])
    with pytest.raises(ValueError, match=r'ours has no weights yet; those that have .*\n  trunk$'):
        find_checkpoint('ours')


@pytest.mark.parametrize(
    ('weights', 'metadata', 'digits'),
    (
        ('http://x/ours-0123abcd.pth', None, '0123abcd'),
        ('http://x/ours.pth', dict(SHA256='AB' * 32), 'ab' * 32),
        (['http://x/ours-0123abcd.pth', 'http://y/z.pth'], dict(Epochs=1), '0123abcd'),
    ),
)
def test_model_with_weights(name_trunk, weights, metadata, digits):
    entry = dict(Name='ours', Weights=weights, Metadata=metadata)
    entry['Results'] = [dict(Metrics=None), dict(Metrics={'Top 1 Accuracy': 77.1})]
    name_trunk('http://x/weights.pth', models=[entry, dict(Name='other', Results=None)])
    (model,) = list_models()
    assert model == find_checkpoint('ours')
    assert (model.sha256, model.top1) == (digits, 77.1)
    assert model.filename == f'ours-{digits[:8]}.pth'


@pytest.mark.parametrize('value', ('0123abc', 12345678, 'no digits', None))
def test_hash_that_is_none(name_trunk, value):
    name_trunk('http://x/weights.pth', digits=value)
    with pytest.raises(ValueError, match='SHA256 of checkpoint trunk must be 8 to 64 hexadecimal'):
        find_checkpoint('trunk')


def test_model_without_hash(name_trunk):
    name_trunk('http://x/weights.pth', models=[dict(Name='ours', Weights='http://x/ours.pth')])
    with pytest.raises(ValueError, match='SHA256 of checkpoint ours must be'):
        find_checkpoint('trunk')


def test_model_index_is_complete_and_valid():
    files = (ROOT / 'configs').glob('*/metafile.yml')
    assert sorted(METAFILES) == sorted(str(path.relative_to(ROOT)) for path in files)
    names = [entry['Name'] for entry in model_entries()]
    assert len(set(names)) == len(names)
    problems = load_model_index(str(ROOT / 'model-index.yml')).check(silent=True)
    # Like other OpenMMLab libraries we name pages from the root; they exist, see below.
    assert not [problem for problem in problems if 'Path to README' not in problem]


@pytest.mark.parametrize('path', METAFILES)
def test_metafile(path):
    content = load(ROOT / path)
    for collection in content['Collections']:
        assert collection.keys() >= {'Name', 'Metadata', 'README'}
        assert ('Paper' in collection) == ('small' not in path)
        if 'Paper' in collection:
            assert collection['Paper'].keys() == {'URL', 'Title'}
        assert (ROOT / collection['README']).is_file()
    collections = {collection['Name'] for collection in content['Collections']}
    for entry in content['Models']:
        assert entry['In Collection'] in collections
        assert (ROOT / entry['Config']).is_file()
        assert Path(entry['Config']) == Path(path).with_name(f'{entry["Name"]}.py')
        metadata = entry['Metadata']
        assert metadata.keys() >= {'Training Data', 'Batch Size', 'Parameters'}
        assert ('Epochs' in metadata) != ('Iterations' in metadata)
        assert (metadata['Training Data'] == 'ImageNet-1k') == ('FLOPs' in metadata)
        for result in entry['Results'] or ():
            assert result.keys() == {'Task', 'Dataset', 'Metrics'}
        if entry.get('Weights'):
            assert find_checkpoint(entry['Name']).sha256
