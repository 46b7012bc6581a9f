"""A training of a linear layer, which takes a moment, within the process of a test."""

import os
import signal
from itertools import count

import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from mmdia.cli.resume import resume_or_stop
from mmdia.cli.work_dir import latest_checkpoint
from mmdia.engine import DurableCheckpointHook, InterruptionHook

NUMBERS = count()


class Points(Dataset):
    metainfo = {}

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return torch.randn(2) + index


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, *inputs, mode='tensor'):
        values = self.layer(torch.stack(inputs))
        return dict(loss=values.square().mean()) if mode == 'loss' else list(values)


class SendSignal(Hook):
    def __init__(self, iteration):
        self.iteration = iteration

    def after_train_iter(self, runner, **kwargs):
        if runner.iter + 1 == self.iteration:
            os.kill(os.getpid(), signal.SIGTERM)


class Score(BaseMetric):
    def __init__(self, validate):
        super().__init__()
        self.validate = validate

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(accuracy=self.validate())


class ToyTraining:
    """Three epochs, or nine iterations, with a validation after each third.

    Args:
        work_dir (Path): Where it writes.
        by_epoch (bool): Whether it counts epochs.
        **checkpoint: Arguments of the hook that saves.
    """

    def __init__(self, work_dir, by_epoch=True, **checkpoint):
        self.work_dir, self.by_epoch = work_dir, by_epoch
        interval = 1 if by_epoch else 3
        self.checkpoint = dict(
            interval=interval, by_epoch=by_epoch, save_best='accuracy', rule='greater', **checkpoint
        )
        self.optimizer = dict(type='SGD', lr=0.01, momentum=0.9)
        self.schedule = None
        self.seed = 3
        self.batch_size = 2
        self.averages = True
        self.hooks = []
        self.validated = []
        self.interrupted_at = None

    def interrupt_at(self, iteration):
        """Send SIGTERM in an iteration of the next run."""
        self.interrupted_at = iteration

    def validate(self):
        """Note which third was validated; the second is the best."""
        done = self.runner.epoch if self.by_epoch else self.runner.iter // 3
        self.validated.append(done)
        return (0.0, 2.0, 1.0)[done - 1]

    def run(self):
        """Start it, or resume it from its latest checkpoint."""
        loader = dict(
            batch_size=self.batch_size,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=True),
        )
        loop = dict(type='mmdia.ResumableTrainLoop', max_epochs=3)
        if not self.by_epoch:
            loop = dict(type='mmdia.ResumableIterTrainLoop', max_iters=9, val_interval=3)
        latest = latest_checkpoint(str(self.work_dir))
        torch.manual_seed(0)
        self.runner = Runner(
            Line(),
            str(self.work_dir),
            train_dataloader=dict(loader, dataset=Points()),
            val_dataloader=dict(loader, dataset=Points()),
            train_cfg=loop,
            val_cfg=dict(),
            val_evaluator=Evaluator(Score(self.validate)),
            optim_wrapper=dict(optimizer=self.optimizer),
            param_scheduler=self.schedule,
            default_hooks=dict(checkpoint=DurableCheckpointHook(**self.checkpoint)),
            custom_hooks=[
                SendSignal(self.interrupted_at),
                InterruptionHook(),
                *[dict(type='EMAHook')] * self.averages,
                *self.hooks,
            ],
            log_processor=dict(by_epoch=self.by_epoch),
            randomness=dict(seed=self.seed),
            experiment_name=f'toy_{next(NUMBERS)}',
        )
        if latest is not None:
            resume_or_stop(self.runner, latest)
        self.interrupted_at = None
        self.runner.train()

    def files(self):
        """The names of its checkpoints."""
        return sorted(path.name for path in self.work_dir.glob('*.pth'))
