"""What mmdia.testing says of methods that do what they must not."""

import pytest
import torch
from torch import nn

from mmdia import testing
from mmdia.models import LayerInteraction
from mmdia.testing import SmallNetworks, check_interaction


class BlockScale(LayerInteraction):
    """A method that is right; see docs/new_method.md."""

    def __init__(self, channels, num_blocks, initial=0.1, **kwargs):
        super().__init__(channels, num_blocks, **kwargs)
        self.scale = nn.Parameter(torch.full((num_blocks,), initial))

    def forward(self, branch, identity, state, index):
        return self.act(identity + self.weigh(branch, index)), state

    def weigh(self, branch, index):
        return self.scale[index].to(branch.dtype) * branch

    def init_identity(self):
        nn.init.ones_(self.scale)


class KeepsState(BlockScale):
    calls = 0

    def weigh(self, branch, index):
        self.calls += 1
        return super().weigh(branch, index) * self.calls


class KeepsMaps(BlockScale):
    """Starts anew in every call, so that outputs are right."""

    def forward(self, branch, identity, state, index):
        maps = [] if index == 0 else self.memory['maps']
        self.memory = dict(maps=[*maps, branch])
        return super().forward(branch, identity, state, index)


class KeepsMapsInTraining(KeepsMaps):
    def forward(self, branch, identity, state, index):
        kind = KeepsMaps if self.training else BlockScale
        return kind.forward(self, branch, identity, state, index)


class HasStatistics(BlockScale):
    def __init__(self, channels, num_blocks, **kwargs):
        super().__init__(channels, num_blocks, **kwargs)
        self.register_buffer('means', torch.zeros(num_blocks), persistent=False)

    def weigh(self, branch, index):
        if self.training:
            self.means[index] = branch.detach().mean()
        return super().weigh(branch - self.means[index].to(branch.dtype), index)


class DrawsConstants(BlockScale):
    def __init__(self, channels, num_blocks, **kwargs):
        super().__init__(channels, num_blocks, **kwargs)
        self.register_buffer('signs', torch.randn(channels, 1, 1).sign(), persistent=False)

    def weigh(self, branch, index):
        return super().weigh(branch * self.signs.to(branch.dtype), index)


class ComputesOnCPU(BlockScale):
    def weigh(self, branch, index):
        return super().weigh(branch * torch.ones(len(branch), 1, 1, 1, dtype=branch.dtype), index)


class MixesSamples(BlockScale):
    def weigh(self, branch, index):
        return super().weigh(branch, index) - branch.mean()


class Shrinks(BlockScale):
    def forward(self, branch, identity, state, index):
        out, state = super().forward(branch, identity, state, index)
        return (out if index == 0 else out[..., :-1, :]), state


class Widens(BlockScale):
    def forward(self, branch, identity, state, index):
        out, state = super().forward(branch, identity, state, index)
        return torch.cat((out, out), dim=1), state


class WidensAtTheEnd(LayerInteraction):
    scope = 'network'

    def finish(self, x, state):
        return torch.cat((x, x), dim=1)


class ReturnsNoState(BlockScale):
    def forward(self, branch, identity, state, index):
        return super().forward(branch, identity, state, index)[0]


class HasMore(BlockScale):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.more = nn.Parameter(torch.zeros(()))


class LearnsNothing(HasMore):
    def weigh(self, branch, index):
        return super().weigh(branch, index) + 0 * self.more


class NoIdentity(BlockScale):
    def init_identity(self):
        pass


class StaysAtIdentity(BlockScale):
    def weigh(self, branch, index):
        return branch * self.scale[index].to(branch.dtype).clamp(max=0.05) / 0.05


class SinglePrecision(BlockScale):
    def weigh(self, branch, index):
        return self.scale[index] * branch.float()


class Overflows(BlockScale):
    def weigh(self, branch, index):
        return (branch + 1e5 - 1e5).to(branch.dtype)


class ChannelsFirst(BlockScale):
    def forward(self, branch, identity, state, index):
        out, state = super().forward(branch, identity, state, index)
        return out.contiguous(), state


class ReadsValues(BlockScale):
    def weigh(self, branch, index):
        return super().weigh(branch, index) * (1 if branch.mean() < 1e9 else 2)


class PassesByForward(BlockScale):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.linear = nn.Linear(1, 1)

    def weigh(self, branch, index):
        return super().weigh(branch, index) * self.linear.weight[0, 0]


class SharesWeights(BlockScale):
    def __deepcopy__(self, memo):
        return self


class DropsInEvaluation(BlockScale):
    def weigh(self, branch, index):
        return super().weigh(branch, index) * torch.rand((), dtype=branch.dtype)


WRONG = (
    (
        testing.check_shapes,
        Shrinks,
        r'layer1\.interaction returns a map of shape .* 7, 8\) for a branch of shape .* 8, 8\)',
    ),
    (testing.check_shapes, Widens, r'returns a map of shape \(1, 16, .* branch of shape \(1, 8, '),
    (testing.check_shapes, WidensAtTheEnd, r'stage 4 returns .* \(1, 128, .* not \(1, 64, '),
    (testing.check_shapes, ReturnsNoState, r'layer1\.interaction must return two values'),
    (testing.check_independence_of_samples, MixesSamples, 'has another output than within a batch'),
    (testing.check_independence_of_calls, KeepsState, 'not kept on the module'),
    (testing.check_independence_of_calls, DropsInEvaluation, 'be drawn at random in evaluation'),
    (testing.check_nothing_is_kept, KeepsMaps, r'layer1\.interaction holds tensors .* as memory'),
    (testing.check_nothing_is_kept, KeepsMapsInTraining, 'holds tensors .* as memory'),
    (
        testing.check_independence_of_copies,
        SharesWeights,
        r'a deep copy shares layer1\.interaction\.scale',
    ),
    (testing.check_state_dict, HasStatistics, 'loads the state dict has another output'),
    (testing.check_state_dict, DrawsConstants, 'loads the state dict has another output'),
    (testing.check_device, ComputesOnCPU, 'fails on another device than the CPU'),
    (testing.check_gradients, HasMore, r'layer1\.interaction\.more gets no gradient: nothing'),
    (testing.check_gradients, LearnsNothing, r'interaction\.more gets a gradient of zero'),
    (testing.check_checkpointing, DropsInEvaluation, 'with_cp=True changes the gradient of'),
    (testing.check_identity_init, NoIdentity, 'differs by up to .* init_identity must set'),
    (testing.check_identity_init, StaysAtIdentity, 'differs by up to|gradient of zero'),
    (testing.check_half_precision, SinglePrecision, 'the output is of torch.float32 with autocast'),
    (
        testing.check_half_precision,
        Overflows,
        'output is not finite with autocast of torch.float16',
    ),
    (testing.check_channels_last, ChannelsFirst, 'becomes one in another'),
    (testing.check_hooks, PassesByForward, r'do not see the calls of layer1\.interaction\.linear'),
    (testing.check_compiling, ReadsValues, '(?i)data-dependent'),
    (testing.check_export, ReadsValues, '(?i)data-dependent'),
)


@pytest.mark.parametrize(('check', 'interaction', 'message'), WRONG)
def test_wrong_method_is_told(check, interaction, message):
    with pytest.raises(Exception, match=message):
        check(SmallNetworks(dict(type=interaction)))


def test_method_is_not_accused_of_another_fault():
    testing.check_independence_of_copies(SmallNetworks(dict(type=DropsInEvaluation)))


def test_right_method_passes(capfd):
    check_interaction(BlockScale, initial=0.2)
    assert 'init_weights' not in ''.join(capfd.readouterr())


@pytest.mark.parametrize(
    ('interaction', 'args'),
    (
        ('mmdia.DIALSTM', dict(ratio=4, extra_norm=True)),
        ('mmdia.LayerAggregation', dict(state_channels=4, append_state=True)),
    ),
)
@pytest.mark.parametrize('check', (testing.check_shapes, testing.check_identity_init))
def test_documented_options_pass(check, interaction, args):
    check(SmallNetworks(dict(type=interaction, **args)))


class HasTwoFaults(HasMore, KeepsState):
    pass


def test_all_failures_are_listed(monkeypatch):
    def check_names(networks):
        raise KeyError('interaction')

    checks = check_names, testing.check_gradients, testing.check_independence_of_calls
    monkeypatch.setattr(testing, 'CHECKS', (*checks, testing.check_shapes))
    with pytest.raises(AssertionError) as raised:
        check_interaction(HasTwoFaults, initial=0.2)
    first, *faults = str(raised.value).splitlines()
    assert first == 'HasTwoFaults fails 3 of 4 checks'
    assert faults[0] == "- check_names: KeyError: 'interaction'"
    assert [fault.split(':')[0][2:] for fault in faults] == [check.__name__ for check in checks]


@pytest.mark.parametrize(
    ('interaction', 'args', 'error', 'message'),
    (
        ('mmdia.DIALSTM', {}, ValueError, 'ratio must be at most the number of channels'),
        ('mmdia.DIA', {}, ValueError, 'interaction must be'),
        (nn.Linear, {}, TypeError, 'interaction must be'),
        (HasMore, dict(unused=['more']), AssertionError, 'more gets no gradient'),
        (BlockScale, dict(unused=['scale']), AssertionError, 'scale gets a gradient: take it out'),
    ),
)
def test_arguments(monkeypatch, interaction, args, error, message):
    monkeypatch.setattr(testing, 'CHECKS', (testing.check_gradients,))
    with pytest.raises(error, match=message):
        check_interaction(interaction, **args)
