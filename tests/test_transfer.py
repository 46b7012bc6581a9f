"""A classifier's checkpoint serves the detector, attention included."""

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import save_checkpoint


def train_classifier(backbone, path):
    """Train a classifier for two steps and save it as the runner does."""
    from mmpretrain.registry import MODELS
    from mmpretrain.structures import DataSample

    init_default_scope('mmpretrain')
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=backbone,
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=4, in_channels=256),
        )
    )
    model.init_weights()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    samples = [DataSample().set_gt_label(label) for label in (0, 3)]
    for _ in range(2):
        loss = model(torch.randn(2, 3, 64, 64), samples, mode='loss')['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    save_checkpoint(dict(state_dict=model.state_dict(), meta={}), str(path))
    return model.backbone


@pytest.mark.parametrize(
    'interaction',
    (
        dict(type='mmdia.DIALSTM', ratio=4),
        dict(type='mmdia.DLALight', ratio=4),
        dict(type='mmdia.RLA', ratio=4),
    ),
    ids=lambda cfg: cfg['type'],
)
@torch.no_grad()
def test_detector_has_the_features_of_the_classifier(interaction, tmp_path):
    from mmdet.registry import MODELS
    from mmengine.hub import get_config

    backbone = dict(
        type='mmdia.ResNet',
        depth=18,
        stem_channels=32,
        base_channels=32,
        interaction=interaction,
    )
    with torch.enable_grad():
        trained = train_classifier(backbone, tmp_path / 'classifier.pth').eval()

    init_default_scope('mmdet')
    cfg = get_config('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py').model
    cfg.neck.in_channels = [32, 64, 128, 256]
    # identity_init is for plain trunks: trained interactions decide for themselves
    backbone['interaction'] = dict(interaction, identity_init=True)
    cfg.backbone = dict(
        backbone,
        out_indices=(0, 1, 2, 3),
        frozen_stages=1,
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'classifier.pth')),
    )
    detector = MODELS.build(cfg)
    detector.init_weights()
    x = torch.randn(1, 3, 65, 97)
    assert torch.equal(detector.backbone.eval()(x)[-1], trained(x)[-1])
    # Frozen with its stage, since its own weights were loaded.
    layer1 = detector.backbone.layer1
    if layer1.interaction is not None:
        assert not any(p.requires_grad for p in layer1.interaction.parameters())
