"""Checkpoints of which one is intact, whenever a run is killed."""

import os
from pathlib import Path
from typing import Dict, Optional, Tuple

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmdia.registry import HOOKS

from ..files import BACKEND, remove_parts, replace_file

# How MMEngine's arguments say that files are on disk.
LOCAL: Tuple[dict, ...] = ({}, dict(backend='local'), dict(backend='disk'))


@HOOKS.register_module()
class DurableCheckpointHook(CheckpointHook):
    """Saves checkpoints as MMEngine's hook, but loses none when it is killed.

    A file on disk is complete when it gets its name, and what it replaces is removed after
    that. MMEngine's hook writes over files, and removes old ones first.

    Args:
        *args: See :class:`mmengine.hooks.CheckpointHook`.
        **kwargs: See :class:`mmengine.hooks.CheckpointHook`.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        storage = self.backend_args or self.file_client_args or {}  # type: ignore[has-type]
        if storage in LOCAL and '://' not in str(self.out_dir):
            self.backend_args, self.file_client_args = dict(backend=BACKEND), None
        self._previous_best: Dict[str, Optional[str]] = {}

    def before_train(self, runner: Runner) -> None:
        """Go on as before an interruption, and remove what a killed run left half written."""
        super().before_train(runner)
        # MMEngine updates the last checkpoint with the best one, but not after a resume.
        self.last_ckpt = self._here(runner.message_hub.runtime_info.get('last_ckpt'))
        if self.save_best:
            self._set_best_paths({k: self._here(path) for k, path in self._best_paths().items()})
        if is_main_process():
            for folder in {runner.work_dir, str(self.out_dir)}:
                remove_parts(folder)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        # A run that is killed before this looks for the best anew when it is resumed.
        self._remove_previous_best()
        kept = list(self.keep_ckpt_ids) if self.max_keep_ckpts > 0 else []
        if self.max_keep_ckpts > 0 and step not in kept:
            self.keep_ckpt_ids.append(step)  # which drops the first if there are too many
            # With the first: a run that is killed before it is removed removes it when resumed.
            runner.message_hub.update_info('keep_ckpt_ids', [*kept, step])
        self.last_ckpt = self._path(step)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            self.filename_tmpl.format(step),
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            replace_file(Path(runner.work_dir, 'last_checkpoint'), self.last_ckpt.encode())
        for old in kept:
            if old not in self.keep_ckpt_ids:
                self._remove(self._path(old))

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self.save_best:
            return
        self._previous_best = self._best_paths()
        self._set_best_paths(dict.fromkeys(self._previous_best))  # for MMEngine to remove none
        super()._save_best_checkpoint(runner, metrics)
        self._remove_previous_best()

    def _remove_previous_best(self) -> None:
        previous, self._previous_best = self._previous_best, {}
        if not previous:
            return
        saved = self._best_paths()
        self._set_best_paths({key: saved[key] or path for key, path in previous.items()})
        for key, path in previous.items():
            if path and saved[key] not in (None, path):
                self._remove(path)

    def _path(self, step: int) -> str:
        return self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))

    def _here(self, path: Optional[str]) -> Optional[str]:
        # The work dir may be a copy, and the path that of the original.
        path = path and self.file_backend.join_path(self.out_dir, os.path.basename(path))
        return path if path and self.file_backend.isfile(path) else None

    def _best_paths(self) -> Dict[str, Optional[str]]:
        if len(self.key_indicators) == 1:
            return dict(best=self.best_ckpt_path)
        return dict(self.best_ckpt_path_dict)

    def _set_best_paths(self, paths: Dict[str, Optional[str]]) -> None:
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = paths['best']
        else:
            self.best_ckpt_path_dict = paths

    def _remove(self, path: str) -> None:
        if is_main_process() and self.file_backend.isfile(path):
            self.file_backend.remove(path)
