"""The weights of checkpoints, as the tools that look at models read them."""

import pytest
import torch

from mmdia.cli.weights import read_weights

WEIGHTS = {'backbone.conv1.weight': torch.ones(2)}


@pytest.mark.parametrize('prefix', ('', 'module.'))
@pytest.mark.parametrize('wrap', (dict, lambda state: dict(state_dict=state)))
def test_names_are_those_of_the_model(prefix, wrap, tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(wrap({f'{prefix}{name}': value for name, value in WEIGHTS.items()}), path)
    found = read_weights(str(path))
    assert found.keys() == WEIGHTS.keys() and found['backbone.conv1.weight'].equal(torch.ones(2))


def test_what_cannot_be_read(tmp_path):
    (tmp_path / 'a.pth').write_text('no checkpoint')
    for name in ('a.pth', 'b.pth'):
        with pytest.raises(SystemExit, match=name):
            read_weights(str(tmp_path / name))
