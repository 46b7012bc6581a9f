"""Tools that trace a network: at one size of batch and image, to be run at others."""

import io
import warnings

import onnxruntime as ort
import pytest
import torch
from torch import nn

from .networks import assert_same, each_part, images, network

OTHER = dict(batch_size=3, size=(24, 40))


class FirstLevel(nn.Module):
    """A network that returns one map."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.eval()  # exporters put the mode of the whole back

    def forward(self, x):
        return self.backbone(x)[0]


@each_part
@pytest.mark.parametrize('gradients', (True, False))
def test_jit_trace(interaction, trunk, gradients):
    model = FirstLevel(network(interaction, trunk))
    with torch.set_grad_enabled(gradients), warnings.catch_warnings():
        warnings.simplefilter('ignore', torch.jit.TracerWarning)
        # Its own check, at the same size, says less than the one below.
        traced = torch.jit.trace(model, images(), check_trace=False)
        for x in (images(), images(**OTHER)):
            assert_same(traced(x), model(x))


def dynamic_shapes():
    return (
        {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC},
    )


@each_part
def test_torch_export(interaction, trunk):
    model = FirstLevel(network(interaction, trunk))
    program = torch.export.export(model, (images(),), dynamic_shapes=dynamic_shapes())
    for x in (images(), images(**OTHER)):
        assert_same(program.module()(x), model(x))


def run_onnx(content, x):
    session = ort.InferenceSession(content, providers=['CPUExecutionProvider'])
    (name,) = [i.name for i in session.get_inputs()]
    return torch.from_numpy(session.run(None, {name: x.numpy()})[0])


@each_part
def test_onnx_by_tracing(interaction, trunk):
    model = FirstLevel(network(interaction, trunk).float())
    axes = {0: 'batch', 2: 'height', 3: 'width'}
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            model,
            (images(dtype=torch.float32),),
            buffer,
            dynamo=False,
            input_names=['images'],
            output_names=['map'],
            dynamic_axes=dict(images=axes, map=axes),
        )
    for options in ({}, OTHER):
        x = images(**options, dtype=torch.float32)
        with torch.no_grad():
            expected = model(x)
        # In single precision, small sums of large terms are as exact as the terms.
        atol = 1e-5 * float(expected.std())
        assert_same(run_onnx(buffer.getvalue(), x), expected, rtol=1e-4, atol=atol)


# It starts with torch.export, which is tested above, and takes 5 to 10 seconds. DIA-LSTM is
# exported so by the tool, in test_export.py.
@pytest.mark.parametrize('interaction', ('mmdia.DLABase', 'mmdia.LayerAggregation', 'mmdia.RLA'))
def test_onnx_by_export(interaction):
    model = FirstLevel(network(interaction, 'ResNet-18').float())
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        program = torch.onnx.export(
            model,
            (images(dtype=torch.float32),),
            dynamo=True,
            verbose=False,
            dynamic_shapes=dynamic_shapes(),
        )
    content = program.model_proto.SerializeToString()
    for options in ({}, OTHER):
        x = images(**options, dtype=torch.float32)
        with torch.no_grad():
            assert_same(run_onnx(content, x), model(x), rtol=1e-4, atol=1e-5)
