"""What every network has to do that can be built, and what errors have to say."""

import math
from dataclasses import replace
from typing import Iterator, Set

import torch
from torch import Tensor, nn

from mmdia.models import LayerAggregation, ResidualBlock
from mmdia.registry import MODELS

from .cases import Case


class Failure(Exception):
    """A network that does what it must not, or an error that does not say enough."""


def argument_names(args: dict) -> Iterator[str]:
    """Names of all arguments, those of nested configs too."""
    for name, value in args.items():
        yield name
        if isinstance(value, dict):
            yield from argument_names(value)


def check_error(error: Exception, names: Set[str]) -> None:
    """Check that an error is a clear refusal: one that names an argument."""
    if not isinstance(error, (TypeError, ValueError)):
        raise Failure(f'{type(error).__name__}: {error}') from error
    if not any(name in str(error) for name in names):
        raise Failure(f'names none of {sorted(names)}: {error}') from error


def build(case: Case) -> nn.Module:
    """Build the network of a case."""
    torch.manual_seed(case.seed)
    return MODELS.get(case.trunk)(**case.args)


def images(case: Case, number: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Images of the size of a case."""
    return torch.randn(number, case.args.get('in_channels', 3), *case.size, dtype=dtype)


def check_levels(case: Case, model: nn.Module, levels: tuple, number: int) -> None:
    """Check number, shapes and values of the outputs."""
    small = case.args.get('small_stem', case.trunk in ('CIFARResNet', 'PreResNet', 'WideResNet'))
    size = case.size if small else [math.ceil(math.ceil(side / 2) / 2) for side in case.size]
    expected = []
    for index in range(model.num_stages):
        size = [math.ceil(side / model.strides[index]) for side in size]
        channels = model.stage_channels[index]
        last = index == model.num_stages - 1
        if last and isinstance(model.interaction, LayerAggregation):
            added = model.interaction.final_norm is not None
            channels += model.interaction.state_channels * added
        if index in model.out_indices:
            expected.append((number, channels, *size))
    if [tuple(level.shape) for level in levels] != expected:
        raise Failure(f'shapes {[tuple(level.shape) for level in levels]}, not {expected}')
    if not all(torch.isfinite(level).all() for level in levels):
        raise Failure('outputs that are not finite')


def assert_close(what: str, ours, expected, tolerance: float = 1e-8) -> None:
    """Check that tensors agree, in relation to the largest entry of each."""
    for a, b in zip(ours, expected, strict=True):
        if a is None and b is None:
            continue
        if a is None or b is None:
            raise Failure(f'{what}: one of them is None')
        difference = (a - b).abs().max() if a.numel() else 0.0
        limit = tolerance * max(1.0, float(b.abs().max()) if b.numel() else 0.0)
        if not difference <= limit:
            raise Failure(f'{what}: differs by {float(difference):.2g}')


def train(model: nn.Module, x: Tensor, seed: int) -> tuple:
    """Outputs and gradients of a step, with the same chance for the same seed."""
    torch.manual_seed(seed)
    model.zero_grad()
    levels = model.train()(x)
    loss = sum(level.float().square().mean() for level in levels)
    if loss.requires_grad:  # not all is frozen
        loss.backward()
    return levels, [p.grad for p in model.parameters()]


def check_training(case: Case, model: nn.Module, x: Tensor) -> None:
    """Check a step of training, with checkpoints and without."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    results = []
    for checkpoints in (False, True):
        model.load_state_dict(before)
        for block in model.modules():
            if isinstance(block, ResidualBlock):
                block.with_cp = checkpoints
        levels, gradients = train(model, x, case.seed)
        check_levels(case, model, levels, len(x))
        if not all(g is None or torch.isfinite(g).all() for g in gradients):
            raise Failure('gradients that are not finite')
        results.append([*gradients, *(b.clone() for b in model.buffers())])
    if x.dtype == torch.float64:
        assert_close('checkpointing', results[1], results[0])


@torch.no_grad()
def check_evaluation(case: Case, model: nn.Module, x: Tensor) -> None:
    """Check that evaluation depends on nothing but weights and image."""
    before = x.clone()
    levels = model.eval()(x)
    check_levels(case, model, levels, len(x))
    if not torch.equal(x, before):
        raise Failure('images that are overwritten')
    with torch.enable_grad():
        assert_close('with gradients', model(x), levels)
    for i in range(len(x)):
        assert_close('alone', model(x[i : i + 1]), [level[i : i + 1] for level in levels])
    if (case.args.get('conv_cfg') or {}).get('type') != 'ConvWS':  # MMCV views its weights
        last = x.contiguous(memory_format=torch.channels_last)
        assert_close('channels last', model.to(memory_format=torch.channels_last)(last), levels)
        model.to(memory_format=torch.contiguous_format)
    twin = build(case).double().eval()
    twin.load_state_dict(model.state_dict())
    if not all(map(torch.equal, twin(x), levels)):
        raise Failure('another network with the same weights: other outputs')


@torch.no_grad()
def check_identity(case: Case, model: nn.Module, x: Tensor) -> None:
    """Check that a network with ``identity_init`` starts as the plain one."""
    interaction = case.args.get('interaction') or {}
    if interaction.get('identity_init'):
        plain = build(replace(case, args={**case.args, 'interaction': None})).double().eval()
        weights = model.state_dict()
        plain.load_state_dict({name: weights[name] for name in plain.state_dict()})
        assert_close('identity_init', model.eval()(x), plain(x))


def check_low_precision(case: Case, model: nn.Module) -> None:
    """Check that training under autocast, or evaluation in half precision, is finite."""
    if case.precision == 'autocast':
        with torch.autocast('cpu', dtype=torch.bfloat16):
            levels, gradients = train(model.float(), images(case, case.batch).float(), case.seed)
    else:
        with torch.no_grad():
            levels = model.bfloat16().eval()(images(case, case.batch).bfloat16())
        gradients = []
    check_levels(case, model, levels, case.batch)
    if not all(g is None or torch.isfinite(g).all() for g in gradients):
        raise Failure('gradients that are not finite')


def refuse(case: Case, error: Exception) -> None:
    """Check the error with which a case could not be built."""
    if case.wrong is None:
        return check_error(error, set(argument_names(case.args)))
    try:
        return check_error(error, {case.wrong})
    except Failure:
        right = replace(case, args=case.right, wrong=None)
        try:
            build(right).init_weights()
        except Exception as other:  # which came first
            return refuse(right, other)
        raise


def check(case: Case) -> bool:
    """Check a case.

    Returns:
        bool: Whether it could be built; if not, it was refused clearly.

    Raises:
        Failure: If something is wrong.
    """
    try:
        model = build(case).double()
        model.init_weights()
    except Exception as error:
        refuse(case, error)
        return False
    if case.wrong is not None:
        raise Failure(f'{case.wrong} was accepted')
    try:
        x = images(case, case.batch)
        check_identity(case, model, x)
        check_training(case, model, x)
        check_evaluation(case, model, x)
        if case.precision != 'double':
            check_low_precision(case, model)
    except Failure:
        raise
    except Exception as error:
        check_error(error, {'images', 'sub_sample'})
        return False
    return True
