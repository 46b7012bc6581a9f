"""Checks of an interaction: what every method on every network has to do, whatever it computes."""

import copy
import functools
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple, Union

import torch
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import Tensor, nn

from mmdia.models import LayerInteraction, ResNet
from mmdia.models.attachment import quiet
from mmdia.models.utils.eager import CAN_COMPILE

ALL_LEVELS: Dict[str, Any] = dict(out_indices=(0, 1, 2, 3))
TWO_STAGES: Dict[str, Any] = dict(num_stages=2)  # where every block costs time
DRAWS = 5  # of random weights: with some of them, none of few hidden units is active


def randomize(model: nn.Module) -> nn.Module:
    """Give every norm random weights and statistics, so that none hides an error.

    Args:
        model (nn.Module): The model, which is changed.

    Returns:
        nn.Module: The model.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    for name, buffer in model.named_buffers():
        if name.endswith('gate_scale'):
            nn.init.uniform_(buffer, 0.5, 1.5)
    return model


class SmallNetworks:
    """Builds small ResNets with an interaction, for checks.

    Args:
        interaction (dict, optional): Config of the interaction; None for the
            plain residual sum.
        depth (int): Depth of the ResNet. Defaults to 18.
        base_channels (int): Width of its first stage. Defaults to 8.
        unused (Sequence[str]): How the names of those parameters end of which
            the output does not depend, by the method's nature.
            Defaults to none.
    """

    def __init__(
        self,
        interaction: Optional[dict] = None,
        depth: int = 18,
        base_channels: int = 8,
        unused: Sequence[str] = (),
    ) -> None:
        self.interaction = interaction
        self.depth = depth
        self.base_channels = base_channels
        self.unused = tuple(unused)

    def build(self, identity_init: bool = False, **kwargs: Any) -> ResNet:
        """Build and initialize a network.

        Args:
            identity_init (bool): See :class:`LayerInteraction`.
                Defaults to False.
            **kwargs: See :class:`ResNet`.

        Returns:
            ResNet: The network.
        """
        interaction = self.interaction
        if identity_init:
            interaction = dict(interaction or {}, identity_init=True)
        model = ResNet(self.depth, interaction, base_channels=self.base_channels, **kwargs)
        with quiet():
            model.init_weights()
        return model

    def random(self, **kwargs: Any) -> ResNet:
        """Build a network with random norms; see :meth:`build`."""
        model = self.build(**kwargs)
        randomize(model)
        return model

    def plain(self, **kwargs: Any) -> ResNet:
        """Build the network without the interaction, with random norms; see :meth:`build`."""
        return SmallNetworks(None, self.depth, self.base_channels).random(**kwargs)


def images(number: int = 2, size: Tuple[int, int] = (64, 64), **kwargs: Any) -> Tensor:
    """Random images of shape (number, 3, *size)."""
    return torch.randn(number, 3, *size, **kwargs)


def gradients(model: ResNet, x: Tensor) -> Dict[str, Optional[Tensor]]:
    """The gradients of all parameters after a step forward and backward."""
    sum(level.square().mean() for level in model(x)).backward()
    return {name: p.grad for name, p in model.named_parameters()}


def expect(condition: Any, message: str) -> None:
    """Raise an error with a message unless a condition holds."""
    if not condition:
        raise AssertionError(message)


def expect_close(ours: Any, expected: Any, message: str, rtol: float, atol: float) -> None:
    """Raise an error with a message unless tensors agree."""
    torch.testing.assert_close(
        ours, expected, rtol=rtol, atol=atol, msg=lambda details: f'{message}: {details}'
    )


@torch.no_grad()
def check_shapes(networks: SmallNetworks) -> None:
    """Outputs have the shapes of the plain network's, at any size of images."""
    model = networks.build(**ALL_LEVELS).eval()
    for name, module in working_modules(model):
        if isinstance(module, LayerInteraction):
            module.register_forward_hook(functools.partial(expect_like_branch, name))
    for size in ((32, 32), (65, 97), (225, 64)):
        for i, level in enumerate(model(images(1, size))):
            channels = networks.base_channels * model.block.expansion * 2**i
            if i == 3:
                channels = model.feat_dim
            expected = (1, channels, *(-(-side // (4 * 2**i)) for side in size))
            expect(
                tuple(level.shape) == expected,
                f'stage {i + 1} returns a map of shape {tuple(level.shape)} for images of '
                f'{size[0]} x {size[1]} pixels, not {expected}',
            )


def expect_like_branch(name: str, module: nn.Module, halves: Tuple, returned: Any) -> None:
    """Check what an interaction returns for a block; a forward hook."""
    pair = isinstance(returned, tuple) and len(returned) == 2
    expect(pair, f'{name} must return two values, the output of the block and the state')
    ours, expected = tuple(returned[0].shape), tuple(halves[0].shape)
    expect(
        ours == expected, f'{name} returns a map of shape {ours} for a branch of shape {expected}'
    )


@torch.no_grad()
def check_independence_of_samples(networks: SmallNetworks) -> None:
    """In evaluation mode, the output of an image does not depend on others in the batch."""
    model = networks.random(**ALL_LEVELS).double().eval()
    batch = images(4, dtype=torch.float64)
    together = model(batch)
    for i in range(4):
        for level, expected in zip(model(batch[i : i + 1]), together):
            expect_close(
                level[0],
                expected[i],
                'an image by itself has another output than within a batch',
                rtol=1e-12,
                atol=1e-12 * float(expected.abs().max()),
            )


@torch.no_grad()
def check_independence_of_calls(networks: SmallNetworks) -> None:
    """Nothing is left from one call to the next."""
    model = networks.random().eval()
    x = images()
    (first,) = model(x)
    model(images(3, (96, 65)))
    expect(
        torch.equal(model(x)[0], first),
        'the second call returns something else than the first one: state must be returned, '
        'not kept on the module, and nothing be drawn at random in evaluation mode',
    )


def check_nothing_is_kept(networks: SmallNetworks) -> None:
    """After a call, modules hold no tensors except parameters and buffers."""
    model = networks.random()
    for mode in (True, False):
        model.train(mode)(images())
    for name, module in model.named_modules():
        if 'interaction' in name.split('.'):
            others = vars(module).keys() - {'_parameters', '_buffers', '_modules'}
            kept = [key for key in sorted(others) if holds_tensors(vars(module)[key])]
            expect(
                not kept,
                f'{name} holds tensors that are neither parameters nor buffers, as '
                f'{", ".join(kept)}: state must be returned, and other tensors be registered',
            )


def holds_tensors(value: Any) -> bool:
    """Whether a value is a tensor, or a container with one."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple, set)):
        return any(map(holds_tensors, value))
    return isinstance(value, Tensor)


@torch.no_grad()
def check_independence_of_copies(networks: SmallNetworks) -> None:
    """A deep copy shares nothing with the network."""
    model = networks.random()
    before = copy.deepcopy(model.state_dict())
    for parameter in copy.deepcopy(model).parameters():
        parameter.zero_()
    for name, value in model.state_dict().items():
        expect(torch.equal(value, before[name]), f'a deep copy shares {name} with the network')


@torch.no_grad()
def check_state_dict(networks: SmallNetworks) -> None:
    """The state dict has all that a trained network computes with."""
    model, other = networks.random().train(), networks.build().eval()
    model(images(4))
    other.load_state_dict(model.eval().state_dict())
    x = images()
    message = 'a network that loads the state dict has another output: a buffer is missing there'
    expect_close(other(x), model(x), message, rtol=0, atol=0)


@torch.no_grad()
def check_device(networks: SmallNetworks) -> None:
    """Tensors are created on the device of the maps; here on one that stores no values."""
    model = networks.build().eval().to('meta')
    try:
        model(images(device='meta'))
    except RuntimeError as error:
        raise AssertionError(f'fails on another device than the CPU: {error}') from error


def expect_gradients(networks: SmallNetworks, draw: Callable[[], ResNet]) -> None:
    """Check that every parameter gets a gradient, with some of the weights that are drawn."""
    silent: List[Set[str]] = []
    for _ in range(DRAWS):
        silent.append(set())
        for name, grad in gradients(draw(), images(4)).items():
            if grad is None:
                raise AssertionError(f'{name} gets no gradient: nothing computes with it')
            expect(torch.isfinite(grad).all(), f'{name} gets a gradient that is not finite')
            unused = name.endswith(networks.unused)
            expect(not (unused and grad.any()), f'{name} gets a gradient: take it out of unused')
            if not (unused or grad.any()):
                silent[-1].add(name)
        if not set.intersection(*silent):
            return
    name = min(set.intersection(*silent))
    raise AssertionError(
        f'{name} gets a gradient of zero: it never learns; name it in unused if it cannot'
    )


def check_gradients(networks: SmallNetworks) -> None:
    """Every parameter learns."""
    expect_gradients(networks, lambda: networks.random().train())


def check_checkpointing(networks: SmallNetworks) -> None:
    """Computing branches again in the backward pass changes nothing, and is done."""
    plain = networks.random().double().train()
    saving = networks.build(with_cp=True).double().train()
    saving.load_state_dict(plain.state_dict())
    passes = []
    saving.layer2[0].conv1.register_forward_hook(lambda *_: passes.append(1))
    x = images(dtype=torch.float64)
    expected = gradients(plain, x)
    for name, grad in gradients(saving, x).items():
        message = f'with_cp=True changes the gradient of {name}'
        expect_close(grad, expected[name], message, rtol=1e-10, atol=1e-12)
    expect(len(passes) == 2, f'with_cp=True computes a branch {len(passes)} times, not twice')
    buffers = dict(plain.named_buffers())
    for name, buffer in saving.named_buffers():
        message = f'with_cp=True changes the buffer {name}'
        expect_close(buffer, buffers[name], message, rtol=1e-12, atol=1e-14)
        if name.endswith('num_batches_tracked'):
            expect(buffer == 1, f'{name} counts {int(buffer)} batches after one')


def check_identity_init(networks: SmallNetworks) -> None:
    """With ``identity_init`` the network starts as exactly the plain one, and learns.

    An interaction may also refuse it, by a ValueError that names it.
    """
    plain = networks.plain(**ALL_LEVELS).eval()
    try:
        model = networks.build(identity_init=True, **ALL_LEVELS).eval()
    except ValueError as error:
        if 'identity_init' not in str(error):
            raise
        return
    missing, unexpected = model.load_state_dict(plain.state_dict(), strict=False)
    expect(not unexpected, f'the plain network has weights that this one lacks: {unexpected}')
    others = [name for name in missing if 'interaction' not in name.split('.')]
    expect(not others, f'this network has weights outside of its interactions: {others}')
    x = images(2, (65, 97))
    with torch.no_grad():
        for level, expected in zip(model(x), plain(x), strict=True):
            level = level[:, : expected.shape[1]]  # others may follow
            expect(
                torch.equal(level, expected),
                'identity_init=True does not start as the plain network, but differs by up to '
                f'{float((level - expected).abs().max()):.2g}: init_identity must set the weights '
                'so',
            )
    expect_gradients(networks, lambda: after_one_step(networks))


def after_one_step(networks: SmallNetworks) -> ResNet:
    """A network that started as the plain one, after a step of training."""
    model = networks.build(identity_init=True, zero_init_residual=False).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    gradients(model, images(4))
    optimizer.step()
    optimizer.zero_grad()
    return model


def check_half_precision(networks: SmallNetworks) -> None:
    """Networks run under autocast, and with weights of half precision."""
    for dtype in (torch.bfloat16, torch.float16):
        model = networks.build(zero_init_residual=False).train()
        with torch.autocast('cpu', dtype=dtype):
            (level,) = model(images(4))
            loss = level.float().square().mean()
        expect_half(level, dtype, 'autocast')
        loss.backward()
        for name, p in model.named_parameters():
            finite = p.grad is None or torch.isfinite(p.grad).all()
            expect(finite, f'the gradient of {name} is not finite with autocast of {dtype}')
        with torch.no_grad():
            (level,) = settle(networks.build()).to(dtype)(images().to(dtype))
        expect_half(level, dtype, 'weights')


def settle(model: ResNet) -> ResNet:
    """Give the norms of a fresh network statistics, so that its maps do not grow with depth."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = None  # the mean over all batches, which is one
    model.train()(images(4))
    return model.eval()


def expect_half(level: Tensor, dtype: torch.dtype, what: str) -> None:
    """Check the output of a network in half precision."""
    expect(level.dtype == dtype, f'the output is of {level.dtype} with {what} of {dtype}')
    expect(torch.isfinite(level).all(), f'the output is not finite with {what} of {dtype}')


@torch.no_grad()
def check_channels_last(networks: SmallNetworks) -> None:
    """Maps whose channels are innermost in memory stay so, and have the same values."""
    model = networks.random(**ALL_LEVELS).double().eval()
    x = images(dtype=torch.float64)
    expected = model(x)
    model = model.to(memory_format=torch.channels_last)
    for with_gradients in (True, False):
        with torch.set_grad_enabled(with_gradients):
            levels = model(x.contiguous(memory_format=torch.channels_last))
        for level in levels:
            kept = level.is_contiguous(memory_format=torch.channels_last)
            expect(kept, 'a map in channels-last format becomes one in another')
        message = 'maps in channels-last format have other outputs'
        expect_close(levels, expected, message, rtol=1e-10, atol=1e-12)


def check_hooks(networks: SmallNetworks) -> None:
    """Forward hooks see the calls of all layers of an interaction, and change nothing."""
    model = networks.random().double().train()
    twin = copy.deepcopy(model)
    x = images(dtype=torch.float64)
    called: Set[str] = set()
    watched = dict(working_modules(model))
    for name, module in watched.items():
        module.register_forward_hook(lambda *_, name=name: called.add(name))
    message = 'hooks on its layers change the output'
    expect_close(model(x), twin(x), message, rtol=1e-10, atol=1e-12)
    unseen = sorted(watched.keys() - called)
    expect(not unseen, f'hooks do not see the calls of {", ".join(unseen)}')


def working_modules(model: nn.Module) -> Iterator[Tuple[str, nn.Module]]:
    """Names and modules of interactions, and of what is in them without having children."""
    for name, module in model.named_modules():
        if 'interaction' in name.split('.') and not isinstance(module, nn.ModuleList):
            if isinstance(module, LayerInteraction) or not list(module.children()):
                yield name, module


def check_compiling(networks: SmallNetworks) -> None:
    """``torch.compile`` of PyTorch 2.4 and later makes one graph, which computes the same."""
    if not CAN_COMPILE:
        return
    torch.compiler.reset()
    model = networks.random(**TWO_STAGES).double().eval()
    compiled = torch.compile(model, fullgraph=True, backend='eager')
    x = images(dtype=torch.float64)
    message = 'the compiled network has other outputs'
    expect_close(compiled(x), model(x), message, rtol=1e-10, atol=1e-12)


@torch.no_grad()
def check_export(networks: SmallNetworks) -> None:
    """``torch.export`` works for any number and any size of images; from PyTorch 2.5 on."""
    if not hasattr(getattr(torch.export, 'Dim', None), 'DYNAMIC'):
        return
    model = networks.random(**TWO_STAGES).double().eval()
    dynamic = torch.export.Dim.DYNAMIC
    shapes = ({0: dynamic, 2: dynamic, 3: dynamic},)
    x = images(dtype=torch.float64)
    exported = torch.export.export(model, (x,), dynamic_shapes=shapes).module()
    for other in (x, images(3, (96, 160), dtype=torch.float64)):
        message = f'the exported network has other outputs for {tuple(other.shape)}'
        expect_close(exported(other), model(other), message, rtol=1e-9, atol=1e-11)


# Those that take a second each come last.
CHECKS: Tuple[Callable[[SmallNetworks], None], ...] = (
    check_shapes,
    check_independence_of_samples,
    check_independence_of_calls,
    check_nothing_is_kept,
    check_independence_of_copies,
    check_state_dict,
    check_device,
    check_gradients,
    check_checkpointing,
    check_identity_init,
    check_half_precision,
    check_channels_last,
    check_hooks,
    check_compiling,
    check_export,
)


def check_interaction(
    interaction: Union[type, str],
    depth: int = 18,
    base_channels: int = 8,
    unused: Sequence[str] = (),
    **kwargs: Any,
) -> None:
    """Check an interaction on a small ResNet, as the tests of this package check its own.

    Shapes; outputs that depend on their own image alone; nothing kept on
    modules; the state dict; devices; gradients of all parameters;
    checkpointing; ``identity_init``; half precision; channels-last memory;
    hooks; ``torch.compile`` and ``torch.export``. It takes some seconds.

    Args:
        interaction (type | str): The class, or the name that it is registered
            under.
        depth (int): Depth of the ResNet; 50 and more have bottlenecks.
            Defaults to 18.
        base_channels (int): Width of its first stage. Defaults to 8.
        unused (Sequence[str]): How the names of those parameters end on which
            the output does not depend, by the method's nature.
            Defaults to none.
        **kwargs: Arguments of the interaction that fit so narrow a network,
            such as ``ratio=4``.

    Raises:
        AssertionError: If a check fails. The message lists all that do.
        TypeError: If the interaction is none, or cannot be built.
        ValueError: If the interaction cannot be built with these arguments.
    """
    networks = SmallNetworks(dict(type=interaction, **kwargs), depth, base_channels, unused)
    networks.build()  # errors of arguments are those of the caller
    failures = []
    for check in CHECKS:
        try:
            check(networks)
        except Exception as error:
            kind = '' if isinstance(error, AssertionError) else f'{type(error).__name__}: '
            failures.append((f'{check.__name__}: {kind}{error}', error))
    if failures:
        name = interaction if isinstance(interaction, str) else interaction.__name__
        what = '\n'.join(f'- {message}' for message, _ in failures)
        raise AssertionError(
            f'{name} fails {len(failures)} of {len(CHECKS)} checks\n{what}'
        ) from failures[0][1]
