"""Child registries of MMEngine's, under the scope ``mmdia``.

They import the modules that they hold on first use, so that
``type='mmdia.DIAResNet'`` works in the configs of any OpenMMLab library
without ``custom_imports``.
"""

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import Registry

MODELS = Registry('model', parent=MMENGINE_MODELS, scope='mmdia', locations=['mmdia.models'])
DATASETS = Registry(
    'dataset', parent=MMENGINE_DATASETS, scope='mmdia', locations=['mmdia.datasets']
)
HOOKS = Registry('hook', parent=MMENGINE_HOOKS, scope='mmdia', locations=['mmdia.engine'])
LOOPS = Registry('loop', parent=MMENGINE_LOOPS, scope='mmdia', locations=['mmdia.engine'])
OPTIM_WRAPPERS = Registry(
    'optim_wrapper', parent=MMENGINE_OPTIM_WRAPPERS, scope='mmdia', locations=['mmdia.engine']
)
